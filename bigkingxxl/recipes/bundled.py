"""The bundled model: compact, on the images of many laboratories.

    bigkingxxl train bundled --data SARTORIUS --data POOL

Every image is brought to one width of cells, so that cells of 12 and of 115 pixels are the same to
the network, and thin ones are seen closely; maps of sizes tell prediction how large an image shows
its cells. The model that it starts from teaches it the challenge's images again, so that they are
not forgotten. Sets that
nobody may train on without asking are left out by name: `--leave-out SET`.
"""

method = "compact"
init = "sartorius"
settings = {"representation": "flows", "representation_settings": {"size": True, "width": True}}
augment = {
    "size": 256,
    "diameter": 24.0,
    "diameter_of": "width",
    "zoom": (0.67, 1.6),
    "wide_share": 0.2,
    "wide_zoom": (0.25, 4.0),
    "contrast": 0.75,
    "brightness": 0.35,
    "gamma": 1.4,
    "noise": 0.12,
    "blur": 1.6,
    "stretch": 1.15,
    "invert": 0.25,
    "uneven": 1.0,
    "halo": 0.8,
    "debris": 12,
}
training = {
    "epochs": 16,
    "crops_per_epoch": 4000,
    "batch_size": 8,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup_steps": 200,
    "averaging": 0.998,
    "label_policy": "fill_holes",
    "validation_images": 36,
    "varied_share": 0.08,
    "untyped": "none",
    # The challenge's images and phase contrast of other laboratories are what most users bring.
    "set_weights": {
        "sartorius": 3.0,
        "livecell_lines": 1.5,
        "deepcell_phase": 1.5,
        "ctc_u373": 1.5,
    },
}
teacher = {"model": "sartorius", "weight": 0.4, "flips": 1, "sets": ("sartorius",), "share": 0.08}
varied_images = 160
finish = {"calibrate_images": 240, "quality_images": 240, "export": True}
prediction = {"scale": 1.5, "tile": 1088, "overlap": 64}

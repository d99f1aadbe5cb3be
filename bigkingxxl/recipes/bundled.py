"""The bundled model: compact, on the images of many laboratories.

    bigkingxxl train bundled --data SARTORIUS --data POOL

Every image is brought to one width of cells, so that cells of 12 and of 115 pixels are the same to
the network, and thin ones are seen closely; maps of sizes tell prediction how large an image shows
its cells. The model that it starts from teaches it the challenge's images again, so that they are
not forgotten. Sets that nobody may train on without asking are left out by name:
`--leave-out SET`.
"""

extends = "open"
init = "sartorius"
training = {
    "epochs": 16,
    "crops_per_epoch": 4000,
    "warmup_steps": 200,
    "validation_images": 36,
    "varied_share": 0.08,
    # The challenge's images and phase contrast of other laboratories are what most users bring.
    "set_weights": {
        "sartorius": 3.0,
        "livecell_lines": 1.5,
        "deepcell_phase": 1.5,
        "ctc_u373": 1.5,
    },
}
teacher = {"model": "sartorius", "weight": 0.4, "flips": 1, "sets": ("sartorius",), "share": 0.08}
finish = {"calibrate_images": 240, "quality_images": 240}

"""The open model: compact, on simulated images and on data sets whose terms allow every use.

    bigkingxxl data synthesize SYNTHETIC --images 160 --seed 1
    bigkingxxl train open --data SYNTHETIC --data SET --data SET ...

It looks at images as the recipe `bundled` does.
"""

method = "compact"
init = "open"
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
    "epochs": 8,
    "crops_per_epoch": 2400,
    "batch_size": 8,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup_steps": 100,
    "averaging": 0.998,
    "label_policy": "fill_holes",
    "validation_images": 12,
    "varied_share": 0.15,
    "untyped": "none",
}
varied_images = 160
finish = {"calibrate_images": 120, "quality_images": 120, "export": True, "int8_images": 60}
prediction = {"scale": 1.5, "tile": 1088, "overlap": 64}

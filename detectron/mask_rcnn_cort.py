"""Mask R-CNN for one cell type, cort: a third of the team's ensemble by type.

    bigkingxxl train detectron/mask_rcnn_cort.py --data DIR --out RUN_CORT
    bigkingxxl predict IMAGES --out OUT --model RUN_ASTRO/model.safetensors
        --model RUN_CORT/model.safetensors --model RUN_SHSY5Y/model.safetensors

For one GPU of 16 GB. Trained and judged on images of cort alone; at prediction what the
models see decides by vote which of them is asked. (The last command is one line.)
"""

cell_types = ("cort",)
method = "mask_rcnn"
settings = {
    "backbone": "resnet50",
    "pretrained": "hub",
    "norm": "frozen",
    "anchor_sizes": ((4.0, 8.0), (16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0)),
}
augment = {"size": 800, "zoom": (3.0, 4.6)}
training = {
    "epochs": 20,
    "crops_per_epoch": 3000,
    "batch_size": 4,
    "learning_rate": 2e-4,
    "warmup_steps": 500,
    "averaging": 0.999,
    "validation_images": 24,
}
prediction = {"scale": 3.85, "tile": 1088, "overlap": 192, "batch_size": 1}

"""Your own cells, from a few annotated images, in ten CPU minutes: the start is kept unless beaten.

Size and thresholds are chosen first, in seconds. Then models are trained without a part of the
images, to see on it whether training helps, and at last one on all images. Simulated cells among
the crops, and weights of the start in the mean, keep old cells from being forgotten.
"""

method = "compact"
init = "bundled"
# Images are enlarged or shrunk until cells look as large as those the model knows.
adapt = True
augment = {
    "size": 192,
    "zoom": (0.75, 1.35),
    "wide_share": 0.1,
    "contrast": 0.3,
    "brightness": 0.25,
    "gamma": 1.3,
}
training = {
    "epochs": 1,
    "max_cpu_minutes": 9.5,
    "crops_per_epoch": 20000,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "warmup_steps": 20,
    "averaging": 0.98,
    # Batch statistics of a few images would make the network forget all others.
    "freeze_statistics": True,
    "label_policy": "mended",
    "small_set": 20,
    "validation_images": 1,
    "varied_share": 0.15,
}
varied_images = 12
finish = {"start_share": 0.5}
finetune = {"checks": 2, "check_share": 0.5}

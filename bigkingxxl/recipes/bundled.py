"""The bundled model: compact, from the synthetic one, on the challenge's training images.

    bigkingxxl train bundled --data SARTORIUS --fold 0

106 minutes of training on one CPU core, with another process at work on the second. The learning
rate falls with the time, so that another machine ends its training in the same time. The shipped
file is the mean of this run's weights and those of a second one that goes on from it with simulated
cells of any kind mixed in: see weights/MODEL_CARD.md for its command.
"""

method = "compact"
init = "synthetic"
settings = {"representation": "flows"}
augment = {"size": 256, "zoom": (1.0, 2.2), "contrast": 0.3, "invert": 0.06}
training = {
    "epochs": 200,
    "max_minutes": 106,
    "crops_per_epoch": 2400,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "averaging": 0.998,
    "label_policy": "fill_holes",
    "validation_images": 16,
    "patience": 1000,
}
prediction = {"scale": 1.5, "tile": 1088, "overlap": 64}

"""Learning curves of a run, read from its TensorBoard log."""

from __future__ import annotations

import io
from pathlib import Path


def read_curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) pairs by name for every scalar in the newest log of a run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    versions = sorted((run / "lightning_logs").glob("version_*"), key=lambda p: p.stat().st_mtime)
    if not versions:
        return {}
    log = EventAccumulator(str(versions[-1]))
    log.Reload()
    return {
        name: [(event.step, event.value) for event in log.Scalars(name)]
        for name in log.Tags()["scalars"]
    }


def plot_curves(run: Path) -> bytes:
    """Plot the training loss and the validation mAP over steps as PNG."""
    from matplotlib.figure import Figure

    curves = read_curves(run)
    figure = Figure(figsize=(8, 3.2), dpi=100, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes, prefix, title in ((losses, "train/", "training loss"), (scores, "val/", "mAP")):
        for name, points in curves.items():
            if name.startswith(prefix) and points:
                axes.plot(*zip(*points, strict=True), label=name.removeprefix(prefix))
        axes.set_xlabel("step")
        axes.set_title(title)
        axes.legend(fontsize=7)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()

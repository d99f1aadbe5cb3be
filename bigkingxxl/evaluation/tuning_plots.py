"""Plots of the mAP over each parameter, per cell type, with the other parameters as tuned."""

from __future__ import annotations

from collections.abc import Sequence

from bigkingxxl.evaluation.plots import figure, png
from bigkingxxl.evaluation.tuning import Tuner, changed_parameter
from bigkingxxl.operating_points import OperatingPoints


def parameter_plots(tuner: Tuner, ids: Sequence[str], points: OperatingPoints) -> dict[str, bytes]:
    """Return PNG files by parameter: a line per cell type, a dot at its value (in-sample)."""
    groups = tuner.by_type(ids)
    names = [(part, parameter) for part, parameter, _ in tuner.grid(ids)]
    return {
        parameter: _parameter_plot(tuner, groups, points, part, parameter)
        for part, parameter in names
    }


def _parameter_plot(
    tuner: Tuner,
    groups: dict[str, tuple[str, ...]],
    points: OperatingPoints,
    part: str,
    parameter: str,
) -> bytes:
    drawing, axes = figure(parameter.replace("_", " "), "mAP (in-sample)")
    for kind, own in groups.items():
        point = points.of(kind)
        values_now = {**tuner.cache.decode_defaults, **point.decode, **point.select.model_dump()}
        chosen = values_now[parameter]
        (values,) = [each for _, name, each in tuner.grid(own) if name == parameter]
        values = sorted({*values, chosen})
        scores = [
            float(tuner.scores(own, changed_parameter(point, part, parameter, value)).mean())
            for value in values
        ]
        (line,) = axes.plot(values, scores, marker=".", markersize=3, label=kind)
        best = scores[values.index(chosen)]
        axes.plot([chosen], [best], marker="o", color=line.get_color())
    axes.legend()
    return png(drawing)

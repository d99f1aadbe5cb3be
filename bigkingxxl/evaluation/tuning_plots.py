"""The mAP over each knob, by cell type, all other knobs as tuned: one PNG a knob."""

from __future__ import annotations

from collections.abc import Sequence

from bigkingxxl.evaluation.plots import figure, png
from bigkingxxl.evaluation.tuning import Tuner, changed_knob
from bigkingxxl.operating_points import OperatingPoints


def knob_plots(tuner: Tuner, ids: Sequence[str], points: OperatingPoints) -> dict[str, bytes]:
    """Knob name to PNG: a line a cell type, a dot where its value stands (in-sample)."""
    groups = tuner.by_type(ids)
    names = [(part, knob) for part, knob, _ in tuner.grid(ids)]
    return {knob: _knob_plot(tuner, groups, points, part, knob) for part, knob in names}


def _knob_plot(
    tuner: Tuner, groups: dict[str, tuple[str, ...]], points: OperatingPoints, part: str, knob: str
) -> bytes:
    drawing, axes = figure(knob.replace("_", " "), "mAP (in-sample)")
    for kind, own in groups.items():
        point = points.of(kind)
        values_now = {**tuner.cache.decode_defaults, **point.decode, **point.select.model_dump()}
        chosen = values_now[knob]
        (values,) = [each for _, name, each in tuner.grid(own) if name == knob]
        values = sorted({*values, chosen})
        scores = [
            float(tuner.scores(own, changed_knob(point, part, knob, value)).mean())
            for value in values
        ]
        (line,) = axes.plot(values, scores, marker=".", markersize=3, label=kind)
        best = scores[values.index(chosen)]
        axes.plot([chosen], [best], marker="o", color=line.get_color())
    axes.legend()
    return png(drawing)

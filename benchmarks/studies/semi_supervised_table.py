"""The rows of `semi_supervised` as a table, a verdict in words and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.plots import figure, png

Row = Mapping[str, Any]
Arms = Mapping[str, Sequence[Row]]

SUPERVISED = "supervised"
TYPES = ("astro", "cort", "shsy5y")
LEARNT = 0.02  # below this no arm finds cells yet, and equal scores mean nothing
FEWEST = 3  # seeds an arm: ranges of two and two lie apart by chance in 1 of 6
HEAD = (
    "arm", "seeds", "challenge-mix mAP, {measure}", "lowest to highest", "std",
    "astro / cort / shsy5y", "minus supervised", "same seed, lowest to highest", "steps",
)  # fmt: skip


def read_rows(folder: Path) -> list[Row]:
    """All row files of a folder, supervised first, then by weight and seed.

    Raises:
        InputError: there are none, or two of different settings: they cannot share a table.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(f"{folder} holds no rows: train some first")
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for path, row in zip(paths, rows, strict=True):
        check_same_setting(path, row["setting"], rows[0]["setting"])
    return sorted(
        rows, key=lambda row: (row["weight"] is not None, row["weight"] or 0, row["seed"])
    )


def check_same_setting(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a row that was made otherwise than it should.

    Raises:
        InputError: it names the settings that differ.
    """
    keys = sorted({*found, *expected})
    odd = [key for key in keys if found.get(key) != expected.get(key)]
    if odd:
        raise InputError(
            f"{path} has another setting ("
            + ", ".join(f"{key}: {found.get(key)}, not {expected.get(key)}" for key in odd)
            + "): keep different settings in different --runs folders"
        )


def by_arm(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each arm, in their order."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    return arms


def measure_of(rows: Sequence[Row]) -> str:
    """'crossfitted' where every row has it; one that was cut off before has 'default' alone."""
    return "crossfitted" if all("crossfitted" in row["scores"] for row in rows) else "default"


def score(row: Row, measure: str) -> float:
    """The challenge-mix mAP, or the plain one where a type is absent."""
    found = row["scores"][measure]
    return float(found["competition_map" if found["challenge_mix"] is None else "challenge_mix"])


def scores(rows: Sequence[Row], measure: str) -> list[float]:
    """Of each row."""
    return [score(row, measure) for row in rows]


def table(rows: Sequence[Row]) -> str:
    """Markdown: what was compared, a line an arm, the verdict."""
    measures = list(dict.fromkeys((measure_of(rows), "default")))
    parts = [heading(rows)]
    for measure in measures:
        head = [cell.format(measure=named(measure)) for cell in HEAD]
        lines = [head, ["---"] * len(head), *cells(by_arm(rows), measure)]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    parts += ["\n".join(f"- {each}" for each in verdicts(by_arm(rows), measures[0]))]
    return "\n\n".join(parts) + "\n"


def named(measure: str) -> str:
    """As the table's reader knows it."""
    return "cross-fitted" if measure == "crossfitted" else "default operating points"


def heading(rows: Sequence[Row]) -> str:
    """What all rows have in common."""
    setting, first = rows[0]["setting"], rows[0]
    machines = ", ".join(sorted({row["machine"] for row in rows}))
    return (
        f"{setting['images']} annotated images; the adversarial arms saw "
        f"{setting['unlabelled']} more without annotation. {setting['minutes']:g} minutes of "
        f"training each, validation included ({machines}). Scored on {first['scored']} images of "
        f"fold {setting['fold']} that chose no checkpoint."
    )


def cells(arms: Arms, measure: str) -> list[list[str]]:
    """The table's cells, a list an arm."""
    base = {row["seed"]: score(row, measure) for row in arms.get(SUPERVISED, ())}
    lines = []
    for arm, rows in arms.items():
        own = scores(rows, measure)
        paired = [score(row, measure) - base[row["seed"]] for row in rows if row["seed"] in base]
        compared = arm != SUPERVISED and bool(base)
        types = [row["scores"][measure]["by_type"] for row in rows]
        lines.append([
            arm,
            str(len(own)),
            f"{mean(own):.3f}",
            f"{min(own):.3f} to {max(own):.3f}",
            f"{stdev(own):.3f}" if len(own) > 1 else "",
            " / ".join(f"{mean(each.get(kind, 0) for each in types):.3f}" for kind in TYPES),
            f"{mean(own) - mean(base.values()):+.3f}" if compared else "",
            f"{min(paired):+.3f} to {max(paired):+.3f}" if compared and paired else "",
            f"{mean(row['steps'] for row in rows):.0f}",
        ])  # fmt: skip
    return lines


def verdicts(arms: Arms, measure: str) -> list[str]:
    """A sentence for each adversarial arm, and which to use.

    An arm is called better or worse only where its seeds and the supervised ones do not mix.
    """
    base = scores(arms.get(SUPERVISED, ()), measure)
    others = {arm: scores(rows, measure) for arm, rows in arms.items() if arm != SUPERVISED}
    if not base or not others:
        return ["Nothing to compare: rows of the supervised and of an adversarial arm are needed."]
    if max(map(max, (base, *others.values()))) < LEARNT:
        return [f"No run reaches {LEARNT:g}: the training was too short to compare anything."]
    said = [sentence(arm, own, base) for arm, own in others.items()]
    better = {arm: mean(own) for arm, own in others.items()
              if min(own) > max(base) and min(len(own), len(base)) >= FEWEST}  # fmt: skip
    if better:
        best = max(better, key=lambda arm: better[arm])
        said.append(f"Use {best}: it is better than supervised training by more than the spread.")
    else:
        said.append(
            "No adversarial arm is better than supervised training by more than the spread of the "
            "seeds: use supervised training."
        )
    return said


def sentence(arm: str, own: Sequence[float], base: Sequence[float]) -> str:
    """How an arm compares."""
    start = f"{arm}: {mean(own) - mean(base):+.3f}"
    if min(len(own), len(base)) < FEWEST:
        return f"{start}, of fewer than {FEWEST} seeds an arm: too few to tell."
    chance = f"by chance in 1 of {comb(len(own) + len(base), len(own))}"
    if min(own) > max(base):
        return f"{start}, better: each seed is above all supervised ones ({chance})."
    if max(own) < min(base):
        return f"{start}, worse: each seed is below all supervised ones ({chance})."
    return f"{start}, no difference beyond the spread: the seeds mix with the supervised ones."


def plot(rows: Sequence[Row]) -> bytes:
    """A PNG file: validation mAP over the minutes of training, a colour an arm, a line a seed."""
    drawing, axes = figure("minutes of training", "mAP on validation images")
    for place, (arm, own) in enumerate(by_arm(rows).items()):
        for number, row in enumerate(own):
            steps, values = zip(*row["curve"], strict=True)
            # A step takes about as long as the next: their share is the time's.
            minutes = [row["minutes"] * step / steps[-1] for step in steps]
            axes.plot(minutes, values, marker=".", markersize=4, linewidth=1, color=f"C{place}",
                      label=arm if number == 0 else None)  # fmt: skip
    axes.legend()
    return png(drawing)

"""The report of a run over many images: results on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bigkingxxl.cli.json_output import print_json
from bigkingxxl.display_text import counted, printable
from bigkingxxl.runs.deadline import EXIT_GO_ON

if TYPE_CHECKING:
    from bigkingxxl.model_card import ModelCard
    from bigkingxxl.runs.folder_result import FolderResult

MOST_LINES = 20  # failed images that are listed; the table has the rest
MOST_NAMES = 3
EXIT_SOME_FAILED = 1


def show(
    out: Path, result: FolderResult, advice: Sequence[str] = (), *, quiet: bool = False,
    as_json: bool = False, is_new: bool = False,
) -> None:  # fmt: skip
    """Print the result of a run, and exit with 1 if an image failed or 75 if it must be continued.

    Args:
        out: The folder of the run.
        result: What the run did.
        advice: Sentences on the images, omitted if quiet; see `advice_on`.
        quiet: Print only what is necessary.
        as_json: Print JSON to stdout, for programs.
        is_new: The cells were predicted just now; their origin is then mentioned only if some are
            others.
    """
    if as_json:
        print_json(_values(out, result))
    else:
        typer.echo(printable(f"{out}: {_counts(result)}"))
    if result.cells and (result.corrected or not is_new):
        from bigkingxxl.runs.corrected import correction_sentence

        _tell(correction_sentence(out, [result.corrected.get(name, "") for name in result.cells]))
    for sentence in notes(out, result):
        _tell(sentence)
    for sentence in () if quiet else advice:
        _tell(sentence)
    failed = [*result.failed.values(), *result.damaged.values()]
    for sentence in failed[:MOST_LINES]:
        _tell(sentence)
    if len(failed) > MOST_LINES:
        _tell(f"{len(failed) - MOST_LINES} more images failed: `--format summary` lists why")
    if result.stopped:
        _tell(f"ended for {result.stopped} with {counted(result.left, 'file')} left: run again to "
              f"continue (exit code {EXIT_GO_ON})")  # fmt: skip
        raise typer.Exit(EXIT_GO_ON)
    lacking = result.tables.unfinished
    if lacking.numbers:
        named = [f"{number}/{lacking.count}" for number in lacking.numbers]
        if lacking.changed:
            _tell(
                "the files in the folder of images changed between the shards, so that the parts "
                "that earlier shards did are no longer right"
            )
        _tell(
            f"not all shards are done ({_some(named)} are missing), and the tables lack their "
            f"images: run them, then `bigkingxxl tables {out}` (exit code {EXIT_GO_ON})"
        )
        raise typer.Exit(EXIT_GO_ON)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _values(out: Path, result: FolderResult) -> dict[str, object]:
    """Return what programs read of the result of a run."""
    return {
        "folder": out, "cells": result.cells, "done_before": result.skipped,
        "failed": result.failed, "warnings": result.warnings, "kept": result.kept,
        "diameters": result.diameters, "expected_quality": result.expected_quality,
        "corrected": result.corrected, "kept_models": result.kept_models,
        "replaced": result.replaced, "remarks": result.remarks, "damaged": result.damaged,
        "gone": result.tables.gone, "of_other_settings": result.tables.others,
        "stopped": result.stopped, "files_left": result.left,
        "too_large": result.tables.too_large,
        "shards_missing": result.tables.unfinished.numbers,
        "shards_of_other_files": result.tables.unfinished.changed,
    }  # fmt: skip


def _counts(result: FolderResult) -> str:
    """Summarise the result of a run in one line."""
    done = f" ({counted(result.skipped, 'image')} done before)" if result.skipped else ""
    images = counted(len(result.cells), "image")
    return f"{counted(sum(result.cells.values()), 'cell')} in {images}{done}"


def notes(out: Path, result: FolderResult) -> list[str]:
    """Return a sentence on everything that may differ from a user's expectation."""
    found = []
    if result.kept_models:
        models = sorted(set(result.kept_models.values()))
        found.append(
            f"{_some(list(result.kept_models))}: corrected before, so kept with the cells and the "
            f"model that made them ({_some(models)}), and not predicted again"
        )
    if result.kept:
        them = "it" if len(result.kept) == 1 else "them"
        found.append(
            f"{_some([_within(out, path) for path in result.kept])}: changed by hand or not "
            f"written by a run, so kept (--overwrite replaces {them})"
        )
    if result.is_part and not result.stopped:
        found.append(f"when all shards are done, `bigkingxxl tables {out}` makes the tables")
    for name, remarks in list(result.remarks.items())[:MOST_LINES]:
        found += [f"{name}: {remark}" for remark in remarks]
    if len(result.remarks) > MOST_LINES:
        found.append(f"{len(result.remarks) - MOST_LINES} more images have remarks of such kind")
    if result.replaced:
        folders = sorted({str(path.parent) for path in result.replaced.values()})
        found.append(
            f"{_some(list(result.replaced))}: replaced results of other images with the same "
            f"names (in {_some(folders)}): use a separate folder for each set of images (--out)"
        )
    if result.removed:
        found.append(
            f"{counted(result.removed, 'file')} of an earlier run under other names of the same "
            "images removed"
        )
    found += _too_large(result)
    for name, count in result.tables.incomplete.items():
        found.append(f"the table of '{name}' lacks {counted(count, 'image')}: run these again")
    if result.tables.gone:
        found.append(
            f"{_some(result.tables.gone)}: no longer where the image was, so left out of the "
            "tables; the other results are kept"
        )
    if result.tables.others:
        found.append(
            f"{_some(result.tables.others)}: predicted with another model or other settings, so "
            "left out of the tables: predict these again, or use another folder"
        )
    blank = [name for name, each in result.warnings.items() if _is_blank(each)]
    if blank:
        found.append(f"{_some(blank)}: constant or empty, so no cells were sought")
    return found


def _too_large(result: FolderResult) -> list[str]:
    """Return sentences on the images that are in no table of a format."""
    from bigkingxxl.runs.outputs import RUN_FORMATS

    found = []
    unwritten = {path.name for path in result.tables.unwritten}
    for name, images in result.tables.too_large.items():
        files = RUN_FORMATS[name].files
        named = " and ".join(files)
        is_empty = unwritten.issuperset(files)
        so = f"and no other image is in {named}, so it is not written" if is_empty \
            else f"so left out of {named}"  # fmt: skip
        found.append(f"{_some(images)}: too large for the format '{name}', {so}")
    return found


def advice_on(
    result: FolderResult, card: ModelCard, size_given: bool, has_summary: bool
) -> list[str]:
    """Return sentences on the assumed cell size and on how many images should be checked.

    Args:
        result: What the run did.
        card: Card of the model.
        size_given: Whether the user gave the cell size.
        has_summary: Whether the run writes `summary.csv`, which holds the quality of each image.
    """
    from bigkingxxl.inference.domain.quality_assessment import QualityAssessment, advice
    from bigkingxxl.inference.size.size_summary import size_sentence

    size = "" if size_given else size_sentence(list(result.diameters.values()))
    found = []
    for name in result.cells:
        warnings = result.warnings.get(name, ())
        if not _is_blank(warnings):
            found.append((name, QualityAssessment(result.expected_quality.get(name), warnings)))
    badly = advice(card, len(result.cells), found, size_given)
    where = "`summary.csv`" if has_summary else "`--format summary`"
    return [each for each in (size, badly and f"{badly}; see {where}") if each]


def _is_blank(warnings: Sequence[str]) -> bool:
    from bigkingxxl.runs.outcome import BLANK

    return BLANK in warnings


def _some(names: Sequence[str]) -> str:
    """List the first names and the number of the others."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _within(out: Path, path: Path) -> str:
    return str(path.relative_to(out)) if path.is_relative_to(out) else str(path)


def _tell(sentence: str) -> None:
    typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)

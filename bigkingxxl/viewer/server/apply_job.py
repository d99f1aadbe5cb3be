"""Applying other thresholds to all uncorrected images, without running a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigkingxxl.data.progress_reports import Label, Total
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.files_workspace import ImagesWorkspace
from bigkingxxl.viewer.server.job_status import Finished, Report
from bigkingxxl.viewer.server.run_workspace import RunWorkspace
from bigkingxxl.viewer.server.session import Session


class ApplyJob:
    """Selects the cells of a run anew.

    Args:
        session: The session.
        settings: The sliders' values; None takes the model's own.
    """

    kind: wire.JobKind = "apply"
    can_resume = True

    def __init__(self, session: Session, settings: wire.Settings) -> None:
        self.session, self.settings = session, settings

    def run(self, report: Report) -> Finished:
        """See `Job`."""
        from bigkingxxl.runs.folder import predict_folder, run_settings
        from bigkingxxl.runs.open_options import OpenOptions
        from bigkingxxl.runs.pipeline import Pipeline

        run = run_of(self.session)
        before = run.run_settings
        selection = run.selection(self.settings)
        settings = run_settings(
            before.key, selection, before.formats, model=before.model,
            reading=dict(before.reading), models=before.selection.get("models") or (),
        )  # fmt: skip
        ids: dict[Path, list[str]] = {}
        for name, image in run.run.items():
            if not image.failure and not image.record.is_gone():
                ids.setdefault(image.path, []).append(name)
        reading = OpenOptions.of(before.reading)

        def open_images(path: Path) -> Sequence[ImageSource]:
            return reading.reopen(path, ids[path])

        def track(items: Iterable[Any], total: Total, _: Label) -> Iterator[Any]:
            for index, item in enumerate(items):
                count = total() if callable(total) else total
                report.step(index, count, "selecting cells")
                yield item

        pipeline = Pipeline(replace(settings, formats=before.formats), selection, track=track)
        result = predict_folder(
            pipeline, sorted(ids), open_images, run.folder, name_of=lambda path: ids[path][0],
            ahead=1,
        )  # fmt: skip
        reload_all(self.session)
        failed = len(result.failed)
        if failed:
            first = next(iter(result.failed.values()))
            raise InputError(f"{failed} of {len(ids)} images failed: {first}")
        return Finished(applied_sentence(len(result.cells), len(result.corrected)))


def applied_sentence(images: int, corrected: int) -> str:
    """Describe the result for a run, whose corrected images are left unchanged.

    >>> applied_sentence(3, 1)
    'applied to 2 images; 1 corrected image was not changed'
    """
    changed = images - corrected
    told = f"applied to {changed} {'image' if changed == 1 else 'images'}"
    if corrected == 0:
        return told
    spared = "image was not changed" if corrected == 1 else "images were not changed"
    return f"{told}; {corrected} corrected {spared}"


def run_of(session: Session) -> RunWorkspace:
    """Return the run that is open.

    Raises:
        InputError: There is none.
    """
    workspace = session.workspace
    found = workspace.done if isinstance(workspace, ImagesWorkspace) else workspace
    if not isinstance(found, RunWorkspace):
        raise InputError("there is no run of `bigkingxxl predict` here")
    return found


def reload_all(session: Session) -> None:
    """Read the run again, so that uncorrected cells are those that it has now."""
    workspace = session.workspace
    if isinstance(workspace, ImagesWorkspace | RunWorkspace):
        workspace.reload()
    session.reload()
    session.forget_predictions()
    session.events.add("folder")

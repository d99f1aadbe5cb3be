"""Predicting a folder of images in the background while it is open; the image shown comes first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.files_workspace import FilesWorkspace, ImagesWorkspace
from bigkingxxl.viewer.server.job_status import Finished, Report
from bigkingxxl.viewer.server.session import Session
from bigkingxxl.viewer.server.workspace import KnownImage

log = logging.getLogger(__name__)
FORMATS = ("labels", "measurements", "summary")


class PredictJob:
    """Opens the files of a folder and predicts the cells of their images.

    Args:
        session: The session.
        model: Name or file of the model.
    """

    kind: wire.JobKind = "predict"
    can_resume = True

    def __init__(self, session: Session, model: str) -> None:
        self.session, self.model = session, model
        self._urgent: list[str] = []
        self._lock = threading.Lock()

    @property
    def is_needed(self) -> bool:
        """Whether there are files that were not opened yet, or images that wait."""
        workspace = self.session.workspace
        return isinstance(workspace, FilesWorkspace) and bool(
            workspace.unopened
            or any(image.state == "waiting" for image in workspace.images().values())
        )

    def urgent(self, key: str) -> None:
        """Do an image before all others that wait."""
        with self._lock:
            self._urgent.insert(0, key)

    def run(self, report: Report) -> Finished:
        """See `Job`."""
        workspace = self.session.workspace
        if not isinstance(workspace, FilesWorkspace):
            return Finished()
        self._open_files(workspace, report)
        if not isinstance(workspace, ImagesWorkspace):
            return Finished()
        if self.session.store.read_only:
            return Finished("no image was predicted, because the folder cannot be written")
        report.step(0, None, "loading the model")
        with self._predictor(workspace) as predict:
            done = 0
            while (image := self._next(workspace)) is not None:
                waiting = sum(each.state == "waiting" for each in workspace.images().values())
                report.step(done, done + waiting, f"predicting {image.name}")
                predict(image)
                done += 1
        self.session.reload()
        self.session.events.add("folder")
        return Finished(f"{done} image{'' if done == 1 else 's'} predicted")

    def _open_files(self, workspace: FilesWorkspace, report: Report) -> None:
        """Find out how many images each file holds."""
        names = workspace.unopened
        for index, name in enumerate(names):
            report.step(index, len(names), "opening the images")
            workspace.expand(name)
        self.session.reload()
        self.session.events.add("folder")

    def _next(self, workspace: ImagesWorkspace) -> KnownImage | None:
        waiting = {image.key: image for image in workspace.images().values()
                   if image.state == "waiting"}  # fmt: skip
        with self._lock:
            for key in self._urgent:
                if key in waiting:
                    return waiting[key]
        return next(iter(waiting.values()), None)

    @contextmanager
    def _predictor(self, workspace: ImagesWorkspace) -> Iterator[Any]:
        """Yield the function that predicts an image into the run, as `bigkingxxl predict` does."""
        from bigkingxxl.inference.domain.quality_assessment import assess_quality
        from bigkingxxl.runs.pipeline import Pipeline
        from bigkingxxl.runs.selection import Selection
        from bigkingxxl.runs.store import RunStore
        from bigkingxxl.runs.tables import make_tables
        from bigkingxxl.viewer.default_run import default_predictor, default_settings

        predictor, card = default_predictor(self.model)
        chosen = workspace.settings
        selection = Selection(card.operating_points, None, chosen.min_score, chosen.min_area, False)
        settings = default_settings(self.model, selection, FORMATS, workspace.reading)
        store = RunStore(workspace.cells_folder)
        with store.at_work(settings) as settings:
            workspace.reload()
            self._note_failed(workspace, store, settings)
            pipeline = Pipeline(settings, selection, predictor, partial(assess_quality, card))
            yield partial(self._predict, workspace, store, pipeline)
            make_tables(store, settings)

    def _note_failed(self, workspace: ImagesWorkspace, store: Any, settings: Any) -> None:
        """List files that cannot be opened in the run's summary, as `predict` does."""
        from bigkingxxl.runs.outcome import fail

        for image in workspace.images().values():
            if image.state == "failed" and (workspace.done is None or image.name not in
                                            workspace.done.run):  # fmt: skip
                fail(
                    store,
                    settings,
                    image.name,
                    image.path,
                    BigKingXXLError(image.failure, file=image.path),
                )

    def _predict(
        self, workspace: ImagesWorkspace, store: Any, pipeline: Any, image: KnownImage
    ) -> None:
        from bigkingxxl.runs.outcome import fail
        from bigkingxxl.runs.pipeline import RunImage
        from bigkingxxl.runs.work_units import finish_image

        try:
            sources = workspace.chosen.reopen(image.path, [image.name])
            if not sources:
                raise BigKingXXLError(
                    f"{image.path} no longer contains '{image.name}'",
                    file=image.path,
                    key=image.name,
                )
            finish_image(store, pipeline, RunImage(sources[0], image.path, image.frame))
        except BigKingXXLError as error:
            fail(store, pipeline.settings, image.name, image.path, error, image.frame)
        workspace.refresh(image.name)
        known = workspace.images().get(image.name)
        if known is None or known.state == "waiting":
            known = replace(
                image,
                state="failed",
                failure="the prediction ended without a result for this image",
            )
        self.session.learned(known)

"""The candidates of an image that its run stored, and those of a less strict prediction."""

from __future__ import annotations

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.viewer.server.low_score_candidates import LowScoreCandidates
from bigkingxxl.viewer.server.run_workspace import RunWorkspace
from bigkingxxl.viewer.server.workspace import KnownImage, Workspace


class OfferedCandidates:
    """The candidates of the images of a workspace that a user can add as cells."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._low_score = LowScoreCandidates()

    def has_any(self, image: KnownImage) -> bool:
        """Return whether candidates are stored for an image."""
        try:
            candidates = self.workspace.candidates(image)
        except BigKingXXLError:
            return False
        return candidates is not None and len(candidates) > 0

    def of(self, image: KnownImage) -> Candidates | None:
        """Return the stored candidates and those of a second prediction; None without a run.

        Raises:
            FormatError: The stored candidates are damaged.
        """
        stored = self.workspace.candidates(image)
        run = getattr(self.workspace, "done", self.workspace)
        if stored is None or not isinstance(run, RunWorkspace):
            return stored
        further = self._low_score.candidates(run, image)
        if further is None or further.type_names != stored.type_names:
            return stored
        return Candidates.concatenate([stored, further])

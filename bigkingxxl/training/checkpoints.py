"""Checkpoints of a run: written atomically, also within epochs, and read without pickles."""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.files import CANNOT_WRITE, make_folder, whole_file
from bigkingxxl.training.devices import agreed
from bigkingxxl.training.interrupt import StopRequest
from bigkingxxl.training.run_folder import last_checkpoint

NEEDED = ("state_dict", "loops", "optimizer_states", "lr_schedulers", "global_step", "epoch")


def best_checkpoint(run: Path) -> Path:
    """Return the path of the weights with the best validation score."""
    return run / "checkpoints" / "best.ckpt"


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically and flush it to disk.

    Raises:
        OutputError: It cannot be written; an existing checkpoint is kept.
    """
    try:
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            _serialise(content, stream)
    except OutputError as error:
        kept = "the one before it is kept" if path.is_file() else "there is none before it"
        raise OutputError(
            f"{error}; {kept}: free some space, then run the command again with --resume", file=path
        ) from error


def _serialise(content: dict[str, Any], stream: BinaryIO) -> None:
    try:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    except RuntimeError as error:
        # torch's archive writer raises its own error if the stream failed.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the tensors, numbers and texts of a checkpoint; no code from the file is run.

    Raises:
        InputError: It is damaged, or contains other objects.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint", file=path) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError,
            AttributeError, TypeError, OSError) as error:  # fmt: skip
        raise InputError(
            f"{path} is not a checkpoint that can be resumed: it is damaged, or contains more than "
            "tensors and numbers; start again with another --out",
            file=path,
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise InputError(f"{path} is not a checkpoint of a training", file=path)
    return content


def crops_done(path: Path, batch_size: int) -> tuple[int, int]:
    """Return the epoch in which a checkpoint continues, and how many of its crops are used up."""
    content = load_checkpoint(path)
    place = content.get("place", {"epoch": content.get("epoch", 0), "batches": 0})
    return int(place["epoch"]), int(place["batches"]) * batch_size


@contextmanager
def sentences_of_disks(run: Path) -> Iterator[None]:
    """Convert the errors that a full disk causes in the logs of a training.

    Raises:
        OutputError: The run folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise OutputError(
            f"{run} cannot be written: {os.strerror(error.errno)}; the last checkpoint is kept: "
            "free some space, then run the command again with --resume",
            file=run,
        ) from error


class WholeFiles(CheckpointIO):
    """Lightning's interface for reading and writing checkpoints."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """See `save_checkpoint`."""
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint from which training can continue; see `load_checkpoint`.

        Raises:
            InputError: A part of it is missing.
        """
        content = load_checkpoint(Path(path))
        missing = [name for name in NEEDED if name not in content]
        if missing:
            raise InputError(
                f"{path} cannot be resumed: it contains no {' and no '.join(missing)}",
                file=path,
                expected=tuple(missing),
            )
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Keeps the last state and the best weights of a run, and stops it early.

    The last state is saved every few minutes, before and after each validation, and when a signal
    ends the training.

    Args:
        run: The run folder.
        minutes: The time between two checkpoints within an epoch.
        patience: The number of epochs without a better score after which training stops; None keeps
            no best weights.
        stop: Whether a signal asked for the end.

    Attributes:
        best: The best score.
        stale: The number of epochs since the best score.
    """

    def __init__(
        self, run: Path, minutes: float, patience: int | None, stop: StopRequest
    ) -> None:  # fmt: skip
        self.run, self.minutes, self.patience, self.stop = run, minutes, patience, stop
        self.best, self.stale = -math.inf, 0
        self.saved = time.monotonic()
        self._validation_is_due = self._is_validated = False
        self._random: dict[str, Any] | None = None

    # ---- when to save -------------------------------------------------------------------------

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Check that the folder can be written before hours are spent."""
        make_folder(last_checkpoint(self.run).parent)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Continue a resumed training; a finished one stays finished."""
        self.stop.listen()
        self.saved = time.monotonic()
        if self._random is not None:
            restore_random(self._random)
        self._end_if_stale(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Save the state at intervals; the validation after the last batch saves its own."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        is_due = time.monotonic() - self.saved > 60 * self.minutes
        signum, due = agreed((self.stop.signum or 0, is_due), pl_module.device)
        if signum and not self.stop:  # another process of this training received the signal
            self.stop.signum = int(signum)
        if self.stop or due:
            self._save_last(trainer)
        self.stop.check()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the state of the epoch, because a validation may take minutes."""
        self._validation_is_due = True
        try:
            self._save_last(trainer)
        finally:
            self._validation_is_due = False
        self.stop.check()

    def on_validation_batch_end(self, *arguments: Any) -> None:
        """Stop if a signal asked for it; the state was saved when the validation began."""
        self.stop.check()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the best weights, then the state."""
        module: Any = pl_module
        if self.patience is not None:
            self.stale += 1
            if module.score > self.best:
                self.best, self.stale = module.score, 0
        self._is_validated = True
        try:
            self._save_last(trainer, is_best=self.patience is not None and self.stale == 0)
        finally:
            self._is_validated = False
        self._end_if_stale(trainer)
        self.stop.check()

    def _end_if_stale(self, trainer: L.Trainer) -> None:
        if self.patience is not None and self.stale >= self.patience:
            trainer.should_stop = True

    # ---- what to save -------------------------------------------------------------------------

    def _save_last(self, trainer: L.Trainer, is_best: bool = False) -> None:
        last, best = last_checkpoint(self.run), best_checkpoint(self.run)
        if is_best:
            # The weights first: a state must not refer to a best score without its weights.
            trainer.save_checkpoint(best)
        is_linked = is_best and trainer.is_global_zero and linked(best, last)
        if not trainer.strategy.broadcast(is_linked):
            trainer.save_checkpoint(last)
        self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far."""
        return {"best": float(self.best), "stale": self.stale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score."""
        self.best, self.stale = float(state_dict["best"]), int(state_dict["stale"])

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:  # fmt: skip
        """Add the position of the next crops and the state of the random generators."""
        progress = trainer.fit_loop.epoch_loop.batch_progress
        checkpoint["place"] = {"epoch": trainer.current_epoch, "batches": progress.current.ready}
        checkpoint["random"], checkpoint["validated"] = random_state(), self._is_validated
        if self._validation_is_due:
            due_for_validation(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:  # fmt: skip
        """Read the random state; the setup before the first step draws random numbers."""
        self._random = checkpoint.get("random")


def linked(path: Path, target: Path) -> bool:
    """Create a hard link `target`; return False if the file system does not support it."""
    try:
        with whole_file(target) as temporary:
            temporary.hardlink_to(path)
    except (OSError, OutputError, NotImplementedError):
        return False
    return True


def due_for_validation(loops: dict[str, Any]) -> None:
    """Change the saved state of Lightning's loops so that a complete validation comes next.

    Otherwise Lightning would repeat a validation only if it stopped before its first image.
    """
    begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    validation = loops["epoch_loop.val_loop.batch_progress"]
    validation["total"], validation["current"] = dict(begun), dict(begun)
    validation["is_last_batch"] = False


def random_state() -> dict[str, Any]:
    """Return the state of torch's random generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random(state: dict[str, Any]) -> None:
    """Restore the state of torch's random generators."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

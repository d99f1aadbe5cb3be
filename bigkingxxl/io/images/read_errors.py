"""Errors of decoders as `ImageError`s: damaged files, and files that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bigkingxxl.errors import BigKingXXLError, ImageError


@contextmanager
def damage_reported(
    path: Path, problem: str = "is damaged or truncated", **details: Any
) -> Iterator[None]:
    """Within the block, turn whatever a decoder raises into an `ImageError`.

    The exceptions of decoders have no common base class: damaged bytes can raise any of them.

    Args:
        path: The file that is decoded.
        problem: What the message says of the file, before the decoder's own message.
        **details: Further fields of the error.

    Raises:
        ImageError: The file cannot be decoded or does not fit into memory.
    """
    try:
        yield
    except BigKingXXLError:
        raise
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory", file=path) from None
    except Exception as error:
        raise ImageError(f"{path} {problem} ({one_line(error)})", file=path, **details) from error


def one_line(error: BaseException) -> str:
    """Return the message of an error in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."

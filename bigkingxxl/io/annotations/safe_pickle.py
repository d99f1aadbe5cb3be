"""Read pickles of arrays and plain values without running anything in them.

A pickle is a program that may call any function. This reader resolves only the few names with which
numpy pickles arrays (and `pathlib` paths), and maps them to classes that merely record their
arguments. The arrays are created and checked afterwards. Any other name stops the reading.
"""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from pathlib import PurePosixPath
from typing import Any, BinaryIO, ClassVar

import numpy as np

KINDS = "biufcSUO"
DEEPEST = 100


class PickleError(ValueError):
    """A pickle is damaged, or contains more than arrays and plain values."""


class _Noted(ABC):
    """Records a call in a pickle, with its arguments and state, without executing it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @abstractmethod
    def made(self) -> Any:
        """Create the value; an exception means that the arguments are invalid."""


class _Dtype(_Noted):
    """A data type: a name such as 'u2'; the state contains the byte order."""

    def made(self) -> np.dtype[Any]:
        name = self.arguments[0]
        dtype = np.dtype(name if isinstance(name, str) else "V")
        if dtype.kind not in KINDS:
            raise ValueError(f"values of the type {name}")
        return dtype.newbyteorder(">") if self.state and self.state[1] == ">" else dtype


class _Array(_Noted):
    """An array; the state contains its shape, type, order and bytes (or, for objects, a list)."""

    def made(self) -> np.ndarray[Any, Any]:
        _, shape, dtype, is_column_major, content = self.state
        if dtype.kind == "O":
            values = np.empty(len(content), object)
            for place, value in enumerate(content):
                values[place] = value
        else:
            values = np.frombuffer(content, dtype).copy()
        if min(shape, default=0) < 0:  # numpy would infer a negative side
            raise ValueError("a negative side")
        return values.reshape(shape, order="F" if is_column_major else "C")


class _Scalar(_Noted):
    """A numpy scalar: its type and its bytes."""

    def made(self) -> Any:
        dtype, content = self.arguments
        (value,) = np.frombuffer(content, dtype)
        return value


class _Bytes(_Noted):
    """Bytes as in the oldest pickles: text with one character per byte."""

    def made(self) -> bytes:
        return bytes(self.arguments[0].encode("latin-1")) if self.arguments else b""


class _Path(_Noted):
    """A path, as its parts."""

    def made(self) -> str:
        return str(PurePosixPath(*self.arguments))


NAMES: dict[tuple[str, str], type[_Noted] | str] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "ndarray",  # only an argument, never called
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    NAMES |= {(_module, "_reconstruct"): _Array, (_module, "scalar"): _Scalar}
for _module in ("pathlib", "pathlib._local"):
    for _name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        NAMES[_module, _name] = _Path


# The C implementation trusts the sizes in a pickle and allocates as much memory.
class _Reader(pickle._Unpickler):
    """An unpickler for which only the names above exist."""

    stack: list[Any]

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in NAMES:
            raise PickleError(f"contains the object {module}.{name}, and only arrays may be in it")
        return NAMES[module, name]

    # The Python implementation also allocates the stated size before checking it.
    def load_bytearray8(self) -> None:
        raise PickleError("contains a byte array that can be changed, and only arrays may be in it")

    # Hashing nested tuples of the same tuple can take exponential time.
    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        _check_keys(self.stack[0::2])
        super().load_setitems()  # type: ignore[misc]

    def load_dict(self) -> None:
        _check_keys(self.stack[0::2])
        super().load_dict()  # type: ignore[misc]

    def load_set(self) -> None:
        raise PickleError("contains a set, and only arrays and plain values may be in it")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.EMPTY_SET[0]: load_set,
        pickle.FROZENSET[0]: load_set,
    }


def _check_keys(keys: list[Any]) -> None:
    if not all(isinstance(key, str | bytes | int | float | None) for key in keys):
        raise PickleError("contains a mapping whose keys are neither text nor numbers")


def read_plain(stream: BinaryIO) -> Any:
    """Read a pickle from a stream: arrays, lists, mappings, text and numbers.

    Raises:
        PickleError: It contains anything else (the first is named), or it is damaged. The message
            completes a sentence that begins with the name of the file.
    """
    try:
        noted = _Reader(io.BytesIO(stream.read()), encoding="latin-1").load()
        return _Builder().build(noted)
    except PickleError:
        raise
    # The unpickler and numpy raise many kinds of exception for a damaged pickle.
    except Exception as error:
        raise PickleError(f"is damaged ({type(error).__name__}: {error})") from error


class _Builder:
    """Creates values from records, each once, however often it is referred to."""

    def __init__(self) -> None:
        # Each record is kept beside its value, so that its id is not reused.
        self.done: dict[int, tuple[Any, Any]] = {}
        self.depth = 0

    def build(self, noted: Any) -> Any:
        """Create the value, including the items of lists and mappings."""
        if id(noted) not in self.done:
            self.depth += 1
            if self.depth > DEEPEST:
                raise PickleError(f"contains values nested more than {DEEPEST} levels deep")
            self.done[id(noted)] = (noted, self._made(noted))
            self.depth -= 1
        return self.done[id(noted)][1]

    def _made(self, noted: Any) -> Any:
        if isinstance(noted, _Noted):
            noted.arguments, noted.state = self.build(noted.arguments), self.build(noted.state)
            return noted.made()
        if isinstance(noted, dict):
            return {self.build(key): self.build(value) for key, value in noted.items()}
        if isinstance(noted, list | tuple):
            return type(noted)(self.build(each) for each in noted)
        return noted

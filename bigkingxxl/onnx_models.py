"""Open exported models with ONNX Runtime, whose telemetry is switched off."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bigkingxxl.errors import ModelError
from bigkingxxl.model_bytes import uses_other_files
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import card_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TELEMETRY = "ORT_DISABLE_TELEMETRY"


def open_onnx(path: Path, threads: int = 0) -> tuple[ModelCard, InferenceSession]:
    """Open an exported model; return its card and a CPU session.

    Args:
        path: The .onnx file.
        threads: The number of threads; 0 uses OMP_NUM_THREADS, or one thread per core.

    Raises:
        ModelError: The file is missing, damaged, not a model of this package, or uses an operator
            that ONNX Runtime does not know.
    """
    runtime()
    if not path.is_file():
        raise ModelError(f"{path}: no such model file", file=path)
    session = _session_of(path, _content_of(path), threads)
    return card_of(path, session.get_modelmeta().custom_metadata_map), session


def _session_of(path: Path, content: bytes, threads: int = 0) -> InferenceSession:
    """Open the content of an exported model; see `open_onnx`."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(asked) if asked.isdecimal() else 0)
    # Idle threads must not spin: decoding and writing need their cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised; printing them as well would not help
    try:
        session: InferenceSession = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the exceptions of ONNX Runtime have no common base class
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{path} is not an ONNX model that the runtime can run ({reason})", file=path
        ) from error
    return session


def _content_of(path: Path) -> bytes:
    """Read the file of an exported model, which must contain its weights itself.

    Raises:
        ModelError: The file is damaged, or its weights are in other files.
    """
    content = path.read_bytes()
    try:
        if uses_other_files(content):
            raise ModelError(
                f"{path} keeps its weights in other files, which are not read: save it as one file",
                file=path,
                key="external_data",
            )
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX model, or it is damaged ({error})",
                         file=path) from error  # fmt: skip
    return content


def runtime() -> ModuleType:
    """Import ONNX Runtime with its telemetry switched off.

    Some builds send usage data by default. Set ORT_DISABLE_TELEMETRY=0 to allow it.
    """
    asked = os.environ.get(TELEMETRY)
    if asked is None:
        os.environ[TELEMETRY] = "1"  # read at import
    try:
        import onnxruntime
    finally:
        if asked is None:
            os.environ.pop(TELEMETRY, None)
    if asked != "0":
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module

"""The main commands leave the process as they found it and change no shared setting."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bigkingxxl.io.images.tiff_files import silent
from bigkingxxl.io.tables.csv_table import stream_table

ROOT = Path(__file__).parents[1]

# In a fresh process: imports here may change the state, the commands may not.
STATE = """
import csv, gc, locale, logging, mimetypes, multiprocessing, os, random, signal, socket, ssl, sys
import tempfile, threading, warnings
import numpy as np
import matplotlib, onnxruntime, PIL.Image, scipy.sparse, scipy.special, skimage.measure
import tifffile, zarr
import typer.main
from bigkingxxl.cli.main import app

import rich.style  # draws a number at random as it is imported

command = typer.main.get_command(app)  # calling `app` itself would set an excepthook of Typer's


def state():
    found = {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "csv limit": csv.field_size_limit(),
        "pillow limit": PIL.Image.MAX_IMAGE_PIXELS,
        "pillow truncated": getattr(sys.modules.get("PIL.ImageFile"), "LOAD_TRUNCATED_IMAGES", 0),
        "socket timeout": socket.getdefaulttimeout(),
        "certificates": repr(ssl._create_default_https_context),
        "start method": multiprocessing.get_start_method(),
        "signals": {str(each): repr(signal.getsignal(each)) for each in signal.valid_signals()},
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.unraisablehook)],
        "recursion": sys.getrecursionlimit(), "switches": sys.getswitchinterval(),
        # Libraries add filters as they are imported; those that silence everything are ours.
        "filters": [repr(each) for each in warnings.filters
                    if each[2] in (Warning, UserWarning) and not (each[1] or each[3])],
        "path": list(sys.path), "temporary": tempfile.tempdir and "",
        "locale": locale.setlocale(locale.LC_ALL),
        "numpy errors": np.geterr(), "numpy printing": repr(np.get_printoptions()),
        "random": hash(random.getstate()), "numpy random": hash(str(np.random.get_state())),
        "garbage": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "plots": hash(repr(sorted((key, str(matplotlib.rcParams[key]))
                                  for key in matplotlib.rcParams))),
        "loggers": {
            name: [each.level, each.propagate, each.disabled, len(each.handlers),
                   len(each.filters)]
            for name, each in [("", logging.root), *logging.Logger.manager.loggerDict.items()]
            if isinstance(each, logging.Logger)
            and (each.level or each.handlers or each.filters or not each.propagate or each.disabled)
        },
        "logging": [logging.root.manager.disable, repr(logging.getLoggerClass())],
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = [
            torch.get_num_threads(), torch.get_num_interop_threads(),
            str(torch.get_default_dtype()), torch.is_grad_enabled(),
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic, torch.multiprocessing.get_sharing_strategy(),
            hash(torch.get_rng_state().numpy().tobytes()), torch.is_anomaly_enabled(),
        ]
    return found


def run(*arguments):
    before = state()
    try:
        command.main(list(arguments), "bigkingxxl", standalone_mode=False)
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    after = state()
    for key in before:
        assert before[key] == after[key], (arguments[0], key, before[key], after[key])
"""

WITHOUT_TORCH = """
run("data", "synthesize", "data", "--images", "6", "--size", "96x96", "--workers", "1")
run("data", "info", "data")
run("data", "split", "data")
run("predict", "data/train", "--out", "out", "--quiet",
    "--format", "labels,measurements,overlay,submission")
run("measure", "out")
run("evaluate", "out", "data", "--report", "report.html")
run("data", "convert", "data", "labels")
run("recipes")
run("recipes", "--schema")
run("models")
"""

WITH_TORCH = """
import lightning, timm, torch, torchvision, monai, torch.utils.tensorboard
run("train", "compact", "--data", "data", "--out", "run", "--quiet", *SMALL)
run("export", "run/model.safetensors", "--out", "model.onnx")
run("predict", "data/train", "--out", "more", "--quiet", "--model", "run/model.safetensors")
run("calibrate", "run/model.safetensors", "--data", "data", "--out", "calibrated.safetensors")
run("tune", "run/model.safetensors", "--data", "data", "--fold", "0")
"""
SMALL = [
    "--set=settings.widths=[8,8,8,8]", "--set=augment.size=64", "--set=augment.zoom=[1.0,1.2]",
    "--set=training.epochs=1", "--set=training.crops_per_epoch=8", "--set=training.batch_size=4",
    "--set=training.validation_images=1", "--set=training.workers=0", "--set=prediction.tile=64",
    "--set=prediction.overlap=16", "--seed=3",
]  # fmt: skip


def ran(code: str, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_commands_without_torch_leave_the_process_as_it_was(tmp_path: Path) -> None:
    ran(STATE + WITHOUT_TORCH, tmp_path)


@pytest.mark.slow
def test_commands_with_torch_leave_the_process_as_it_was(tmp_path: Path) -> None:
    made = (
        'run("data", "synthesize", "data", "--images", "6", "--size", "96x96", "--workers", "1")\n'
    )
    ran(f"{STATE}\nSMALL = {json.dumps(SMALL)}\n{made}{WITH_TORCH}", tmp_path)


def test_a_change_is_found(tmp_path: Path) -> None:
    """The test above can fail."""
    code = (
        STATE
        + """
import bigkingxxl.cli.recipes as recipes
shown = recipes.shipped_recipes
def changing():
    csv.field_size_limit(2**20)
    return shown()
recipes.shipped_recipes = changing
try:
    run("recipes")
except AssertionError as error:
    assert "csv limit" in str(error)
else:
    raise SystemExit("not found")
"""
    )
    ran(code, tmp_path)


def test_interleaved_tables_restore_the_field_limit(tmp_path: Path) -> None:
    long = "1 2 " * 100_000  # beyond what the csv module allows by itself
    path = tmp_path / "a.csv"
    path.write_text(f"id,annotation\na,{long}\nb,{long}\n")
    before = csv.field_size_limit()
    one, two = stream_table(path, ["id"]), stream_table(path, ["id"])
    assert next(one) == next(two) == ["id", "annotation"]
    assert csv.field_size_limit() == before
    assert len(list(one)) == 2
    assert [row[0] for row in two] == ["a", "b"]
    assert csv.field_size_limit() == before


def test_blocks_without_complaints_may_end_in_any_order() -> None:
    log = logging.getLogger("tifffile")
    before = (log.level, list(log.filters))
    one, two = silent(), silent()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert len(log.filters) == len(before[1]) + 1
    two.__exit__(None, None, None)
    assert (log.level, list(log.filters)) == before

"""Replaces `bigkingxxl train finetune`: prints the same lines, and writes a model.

It takes the same options; the file `slow` beside --init makes it wait to be stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--out", "--init", "--data"):
        parser.add_argument(name, type=Path, required=True)
    options, _ = parser.parse_known_args()
    out, init = options.out, options.init
    out.mkdir(parents=True, exist_ok=True)
    if (init.parent / "broken").exists():
        sys.exit("bigkingxxl: it cannot be learnt from this")
    shutil.copy(init, out / "model.onnx")
    say(event="begin", stages=["settings"], images=1)
    say(event="progress", stage="settings", done=0.5, overall=0.5, text="half of it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while (init.parent / "slow").exists() and "--resume" not in sys.argv:
        time.sleep(0.05)
    shutil.copy(init.parent / "better.onnx", out / "model.onnx")
    gain = {"gain": 0.2, "gain_interval_95": [0.1, 0.3]}
    say(
        event="result",
        model=str(out / "model.onnx"),
        kept="settings",
        sentence="it is better",
        start={"map": 0.4},
        settings={"map": 0.6, **gain},
        trained=None,
        images=1,
        moved={"score_threshold": [0.3, 0.4]},
        notes=["--resume" if "--resume" in sys.argv else ""],
        size={"diameter": None, "before": None},
        per_unit={"p0": {"start": 0.4, "settings": 0.6}},
    )


if __name__ == "__main__":
    main()

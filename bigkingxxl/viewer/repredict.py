"""Predict a run again with another model, as a separate process.

python -m bigkingxxl.viewer.repredict reads a JSON object from one line of stdin: `model`
(name or file), `out` (the folder of the run), `images` ([id, file] of each), `reading`
(see `runs.open_options`) and `formats`. It prints a line of JSON per image: `done`, `total`. Cells
that a person corrected are kept. It ends when its stdin is closed; see `run_as_child`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bigkingxxl.data.progress_reports import Label, Total
from bigkingxxl.errors import BigKingXXLError, Interrupted
from bigkingxxl.images import ImageSource
from bigkingxxl.processes import raise_on_sigterm
from bigkingxxl.viewer.run_as_child import end_with_stdin


def repredict(given: dict[str, Any]) -> None:
    """Predict the images again; see the module.

    Raises:
        ModelError: The model cannot be loaded.
        MissingExtraError: The model needs a package that is not installed.
        OutputError: A result cannot be written.
    """
    from bigkingxxl.inference.domain.quality_assessment import assess_quality
    from bigkingxxl.runs.folder import predict_folder
    from bigkingxxl.runs.open_options import OpenOptions
    from bigkingxxl.runs.pipeline import Pipeline
    from bigkingxxl.runs.selection import Selection
    from bigkingxxl.viewer.default_run import default_predictor, default_settings

    predictor, card = default_predictor(given["model"])
    selection, reading = Selection(card.operating_points), OpenOptions.of(given["reading"])
    settings = default_settings(given["model"], selection, given["formats"], reading.as_json())
    ids: dict[Path, list[str]] = {}
    for name, file in given["images"]:
        ids.setdefault(Path(file), []).append(name)

    def open_images(file: Path) -> Sequence[ImageSource]:
        return reading.reopen(file, ids[file])

    judge = partial(assess_quality, card)
    predict_folder(
        Pipeline(settings, selection, predictor, judge, track=_told), sorted(ids), open_images,
        Path(given["out"]), name_of=lambda file: ids[file][0], ahead=1,
    )  # fmt: skip


def _told(items: Iterable[Any], total: Total, _: Label) -> Iterator[Any]:
    for done, item in enumerate(items, 1):
        number = total() if callable(total) else total
        sys.stdout.write(json.dumps({"done": done, "total": number}) + "\n")
        sys.stdout.flush()
        yield item


def main() -> int:
    """Run the task and return the exit code."""
    raise_on_sigterm()
    try:
        given = json.loads(sys.stdin.readline())
        end_with_stdin()
        repredict(given)
    except BigKingXXLError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 2
    except Interrupted as end:
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The commands of docs/correct.md, one after the other, on two small images."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.model_files import read_card

PAGE = Path(__file__).parents[2] / "docs" / "correct.md"
# Options that shorten a training of minutes to seconds.
SMALL = (
    "training.epochs=1", "training.crops_per_epoch=4", "training.batch_size=2",
    "training.workers=0", "augment.size=64", "training.validation_images=1",
)  # fmt: skip


def commands() -> list[list[str]]:
    """Return the commands in the page's `sh` blocks as words, without the program's name."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    words = [shlex.split(line, comments=True) for line in lines]
    assert all(each[0] == "bigkingxxl" for each in words)
    return [each[1:] for each in words]


@pytest.mark.slow
def test_the_page_works_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "set", Recipe(2, 0, ("cort",), (128, 160)), workers=1)
    shutil.copytree(tmp_path / "set" / "train", tmp_path / "my_images")
    names = sorted(path.stem for path in (tmp_path / "my_images").iterdir())
    # This command starts a server and waits for its user: tests/viewer covers it.
    found = [each for each in commands() if each[0] != "view"]
    assert {each[0] for each in found} == {"predict", "data", "evaluate", "train"}
    for command in found:
        extra = [word for value in SMALL for word in ("--set", value)]
        result = CliRunner().invoke(app, [*command, *(extra if command[0] == "train" else [])])
        assert result.exit_code == 0, f"{' '.join(command)}\n{result.output}"
        if command[:2] == ["data", "convert"]:
            for name in names:
                correct(tmp_path / "corrected" / f"{name}_seg.npy")
    # The starting model or the new one: the page says that one of them exists.
    models = list((tmp_path / "runs" / "mine").glob("model.*"))
    assert all(read_card(each).trained_on for each in models)
    assert models
    labels = open_dataset(tmp_path / "corrected").instances(names[0]).label_map()
    assert len(np.unique(labels[2:9, 2:9])) == 1
    with Image.open(tmp_path / "better" / "labels" / f"{names[0]}.tif") as image:
        assert image.size == (160, 128)


def correct(path: Path) -> None:
    """Do what Cellpose's program does when a user draws cells and saves."""
    content = np.load(path, allow_pickle=True).item()
    for left in range(2, 150, 20):
        content["masks"][2:9, left : left + 7] = content["masks"].max() + 1
    np.save(path, content)

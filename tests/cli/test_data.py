"""The `data` commands as a user types them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bigkingxxl.cli.main import app
from tests.data.small_data import kaggle_folder, rectangles
from tests.refusals import numbers_of, refused_by

ROOT = Path(__file__).parents[2]


def bigkingxxl(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cells = {f"i{place}": rectangles((2, 2, 9, 9), types=(place % 2,)) for place in range(10)}
    fields = {name: f"f{place // 2}" for place, name in enumerate(cells)}
    data = kaggle_folder(tmp_path / "data", cells)
    lines = ["id,field", *(f"{name},{field}" for name, field in fields.items())]
    (data / "fields.csv").write_text("\n".join(lines) + "\n")
    return data


def spoil(folder: Path) -> None:
    """An odd number of values on line 3, and a missing image on line 4."""
    table = folder / "train.csv"
    lines = table.read_text().splitlines()
    lines[2] = lines[2].replace(",103 7 ", ",103 7 9 ")
    lines[3] = lines[3].replace("i2,", "i99,")
    table.write_text("\n".join(lines) + "\n")


def test_split_prints_groups_and_writes_the_table(folder: Path) -> None:
    result = bigkingxxl("split", folder)
    assert result.exit_code == 0
    assert numbers_of(result.stdout)[:2] == [10, 5]
    with (folder / "folds.csv").open() as stream:
        fold = {row["id"]: row["fold"] for row in csv.DictReader(stream)}
    assert sorted(fold.values()) == sorted("0011223344")
    assert all(fold[f"i{place}"] == fold[f"i{place + 1}"] for place in range(0, 10, 2))
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["astro", "cort"]


def test_split_accepts_options_and_is_reproducible(folder: Path, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        result = bigkingxxl("split", folder, "--out", tmp_path / name, "--folds", 2, "--seed", 3)
        assert result.exit_code == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert not (folder / "folds.csv").exists()


def test_a_folder_that_is_read_only_asks_for_another_place(folder: Path) -> None:
    folder.chmod(0o555)
    result = bigkingxxl("split", folder)
    folder.chmod(0o755)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "read-only" in result.stderr
    assert "--out" in result.stderr
    assert not (folder / "folds.csv").exists()


def test_preprocess_uses_the_split_that_was_made(folder: Path, tmp_path: Path) -> None:
    bigkingxxl("split", folder, "--out", tmp_path / "folds.csv", "--folds", 2)
    out = tmp_path / "out"
    result = bigkingxxl(
        "preprocess", folder, "--out", out, "--folds", tmp_path / "folds.csv", "--fold", 1,
        "--workers", 1, "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert numbers_of(result.stdout.splitlines()[-1])[-2:] == [10, 10]
    with (tmp_path / "folds.csv").open() as stream:
        expected = {row["id"] for row in csv.DictReader(stream) if row["fold"] == "1"}
    assert {path.stem for path in (out / "tif" / "val").glob("*[0-9].tif")} == expected
    again = bigkingxxl(
        "preprocess", folder, "--out", out, "--folds", tmp_path / "folds.csv", "--fold", 1
    )
    assert numbers_of(again.stdout.splitlines()[-1])[-1] == 10


def test_preprocess_makes_the_requested_kinds(folder: Path) -> None:
    result = bigkingxxl("preprocess", folder, "--only", "labels, coco", "--workers", 1, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert (folder / "annotations_val.json").is_file()
    assert len(list((folder / "labels").iterdir())) == 10
    assert not (folder / "tif").exists()


def test_a_bad_row_is_reported_and_skipped_only_on_request(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    result = bigkingxxl("preprocess", folder, "--out", tmp_path / "out", "--workers", 1)
    assert result.exit_code == 2
    refused_by(result, file="train.csv", line=3)
    assert not (tmp_path / "out").exists()
    result = bigkingxxl(
        "preprocess", folder, "--out", tmp_path / "out", "--workers", 1, "--skip-bad", "--quiet"
    )
    assert result.exit_code == 0, result.stderr
    assert numbers_of(result.stdout.splitlines()[-1])[-2:] == [8, 8]
    assert "train.csv, line 3:" in result.stderr
    assert "train.csv, line 4:" in result.stderr


def test_an_unreadable_image_ends_in_failure_after_the_rest(folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "i4.png").write_bytes(b"no image")
    arguments = ("preprocess", folder, "--out", tmp_path / "out", "--workers", 1, "--quiet")
    result = bigkingxxl(*arguments)
    assert result.exit_code == 1
    assert result.stderr.count("i4.png") == 1
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 9
    assert bigkingxxl(*arguments, "--skip-bad").exit_code == 0


def test_info_speaks_to_people_and_programs(folder: Path, tmp_path: Path) -> None:
    result = bigkingxxl("info", folder, "--plot", tmp_path / "plot.png", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert [10, 0] in [numbers_of(line) for line in result.stdout.splitlines()]
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    read = json.loads(bigkingxxl("info", folder, "--json").stdout)
    assert (read["images"], read["cells"]) == (10, 10)
    assert read["types"]["cort"]["area"]["p50"] == 49


def test_synthesize_repeats_itself(tmp_path: Path) -> None:
    for name in ("one", "two"):
        result = bigkingxxl(
            "synthesize", tmp_path / name, "--images", 2, "--seed", 4, "--cell-type", "cort",
            "--size", "64x96", "--workers", 1,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
    assert numbers_of(result.stdout.splitlines()[-1])[0] == 2
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert len([path for path in one if path.suffix == ".png"]) == 2


@pytest.mark.parametrize("size", ["64", "axb", "64x", "64x96x3", "-64x96"])
def test_a_size_is_height_x_width(tmp_path: Path, size: str) -> None:
    result = bigkingxxl("synthesize", tmp_path / "data", f"--size={size}")
    assert result.exit_code == 2
    refused_by(result, key="--size", found=size)
    assert not (tmp_path / "data").exists()


def test_download_accepts_a_local_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("train.csv", "id\n")
    result = bigkingxxl("download", tmp_path / "data", "--archive", tmp_path / "mine.zip")
    assert result.exit_code == 0, result.stderr
    assert "1 files" in result.stdout
    assert "SHA-256" in result.stdout
    assert (tmp_path / "data" / "train.csv").read_text() == "id\n"


@pytest.mark.parametrize("command", ["preprocess", "info", "split"])
def test_a_missing_folder_is_one_sentence(tmp_path: Path, command: str) -> None:
    result = bigkingxxl(command, tmp_path / "nowhere")
    assert result.exit_code == 2
    refused_by(result, file="nowhere")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_dataset(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(tmp_path / "dataset")
    monkeypatch.chdir(tmp_path)
    assert bigkingxxl("split").exit_code == 0
    assert (tmp_path / "dataset" / "folds.csv").is_file()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (["sh", str(ROOT / "get-data.sh")], "--archive"),
        ([sys.executable, str(ROOT / "preprocess-data.py")], "--skip-bad"),
    ],
)
def test_the_team_s_entry_points_still_work(script: list[str], words: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    result = subprocess.run(
        [*script, "--help"], capture_output=True, text=True, check=True, cwd=ROOT.parent,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert words in result.stdout


def test_preprocess_data_py_preprocesses(folder: Path) -> None:
    # Two processes: the script must be importable by the processes it starts.
    subprocess.run(
        [sys.executable, ROOT / "preprocess-data.py", folder, "--workers", "2", "--quiet"],
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert len(list((folder / "labels").iterdir())) == 10

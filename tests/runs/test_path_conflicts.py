"""Results are not written among images, wherever the two folders lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bigkingxxl.cluster.run import Sharing, predict_job
from bigkingxxl.errors import InputError
from bigkingxxl.io.images import find_images
from bigkingxxl.runs.path_conflicts import check_path_conflicts
from tests.cluster.jobs import squares_job
from tests.refusals import refused
from tests.threshold import Threshold, run, save_images


@pytest.fixture
def my(tmp_path: Path) -> Path:
    save_images(tmp_path / "my", (3, 5))
    save_images(tmp_path / "my" / "sub", (2,))
    return tmp_path / "my"


@pytest.mark.parametrize("out", ["my", "my/", "my/sub/..", "link", "my/sub/../../link", "my/sub"])
def test_results_among_images_are_refused_and_nothing_is_written(
    tmp_path: Path, my: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(my)
    monkeypatch.chdir(tmp_path)
    before = sorted(my.rglob("*"))
    paths = [file.path for file in find_images(["my"]).files]
    assert len(paths) == 3
    for images in (paths, [path.absolute() for path in paths]):
        with refused(InputError, "_cells", key="--out"):
            run(images, Path(out))
        with pytest.raises(InputError):
            predict_job(
                squares_job(Path(out), tmp_path / "n"), {path: path.stem for path in images},
                Sharing(workers=2),
            )  # fmt: skip
    assert sorted(my.rglob("*")) == before


def test_links_to_images_are_resolved(tmp_path: Path, my: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for path in my.glob("*.png"):
        (tmp_path / "elsewhere" / path.name).symlink_to(path)
    with pytest.raises(InputError):
        run(sorted((tmp_path / "elsewhere").iterdir()), my)


@pytest.mark.parametrize("folder", ["labels", "overlays", "records", "cells", "corrections"])
def test_images_in_a_folder_that_results_are_written_into(tmp_path: Path, folder: str) -> None:
    paths = save_images(tmp_path / "my" / folder, (3,))
    with refused(InputError, folder, file=tmp_path / "my", key="--out"):
        run(paths, tmp_path / "my")
    assert [path.name for path in (tmp_path / "my").iterdir()] == [folder]


@pytest.mark.parametrize("out", ["my.zarr", "my.zarr/cells", "my.zarr/labels/cells"])
def test_results_within_an_image_that_is_a_folder(tmp_path: Path, out: str) -> None:
    (tmp_path / "my.zarr").mkdir()
    with refused(InputError, file=tmp_path / out, key="--out", found=tmp_path / "my.zarr"):
        check_path_conflicts([tmp_path / "my.zarr"], tmp_path / out)
    check_path_conflicts([tmp_path / "my.zarr"], tmp_path / "my.zarr_cells")


@pytest.mark.parametrize("pattern", ["", "**/*.png", "**/*"])
def test_results_below_the_images_are_accepted(tmp_path: Path, my: Path, pattern: str) -> None:
    places = [str(my / pattern) if pattern else str(my)]
    first = [file.path for file in find_images(places).files]
    assert len(first) == 3
    run(first, my / "cells")
    run(first, my / "sub" / "deep" / "cells")
    again = find_images(places)
    assert [file.path for file in again.files] == first
    assert "results of earlier runs" in str(again.sentence())
    # A user who names the results means them.
    assert len(find_images([str(my / "cells" / "overlays" / "*.png")]).files) == 2
    shutil.rmtree(my / "cells")


def test_images_below_the_results_are_accepted(tmp_path: Path) -> None:
    paths = save_images(tmp_path / "my" / "images", (3, 5))
    predictor = Threshold()
    assert run(paths, tmp_path / "my", predictor=predictor).failed == {}
    assert [file.path for file in find_images([str(tmp_path / "my")]).files] == paths

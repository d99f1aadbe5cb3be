"""Synthetic data sets: the same bytes from the same seed, readable, never over other data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.data.synthesize import Recipe, simulated, synthesize, type_sequence
from bigkingxxl.errors import InputError
from bigkingxxl.simulate import CELL_TYPES, simulate_field
from tests.refusals import refused
from tests.support import stack_of

SIZE = (64, 96)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_seed_is_the_same_bytes_over_any_processes(tmp_path: Path) -> None:
    recipe = Recipe(images=3, seed=5, size=SIZE)
    cells = synthesize(tmp_path / "one", recipe, workers=1)
    assert synthesize(tmp_path / "two", recipe, workers=2) == cells
    one = tree(tmp_path / "one")
    assert one == tree(tmp_path / "two")
    synthesize(tmp_path / "three", Recipe(images=3, seed=6, size=SIZE), workers=1)
    pictures = [{content for name, content in tree(tmp_path / place).items() if "png" in name}
                for place in ("one", "three")]  # fmt: skip
    assert not pictures[0] & pictures[1]
    assert len(pictures[0]) == 3, "no two images are the same"


def test_written_files_match_the_simulation(tmp_path: Path) -> None:
    cells = synthesize(tmp_path, Recipe(2, 1, ("shsy5y",), SIZE), workers=1)
    dataset = open_dataset(tmp_path)
    assert set(dataset.ids) == set(cells)
    assert find_groups(dataset).grouped_by == "fields.csv"
    for name in dataset.ids:
        instances = dataset.instances(name)
        assert len(instances) == cells[name] > 0
        assert instances.size == SIZE
        assert dataset.cell_type(name) == "shsy5y"
        pixels = np.asarray(Image.open(dataset.image_path(name)))
        np.testing.assert_array_equal(dataset.source(name).read()[0], pixels)
    # The simulator receives the seeds that the recipe's seed gives in its first draw.
    seed = int(np.random.SeedSequence(1).generate_state(2, np.uint32)[0])
    field = simulate_field("shsy5y", size=SIZE, seed=seed)
    first = dataset.instances(dataset.ids[0])
    union = np.zeros(SIZE, bool)
    for cell in field.cells:
        rows, cols = cell.mask.shape
        union[cell.row0 : cell.row0 + rows, cell.col0 : cell.col0 + cols] |= cell.mask
    np.testing.assert_array_equal(stack_of(first).any(axis=0), union)


@pytest.mark.parametrize(
    ("images", "types", "counts"),
    [
        (606, CELL_TYPES, {"astro": 131, "cort": 320, "shsy5y": 155}),
        (8, CELL_TYPES, {"astro": 2, "cort": 4, "shsy5y": 2}),
        (1, CELL_TYPES, {"cort": 1}),
        (5, ("astro",), {"astro": 5}),
        (10, ("cort", "shsy5y"), {"cort": 7, "shsy5y": 3}),
    ],
)
def test_types_have_the_proportions_of_the_challenge(
    images: int, types: tuple[str, ...], counts: dict[str, int]
) -> None:
    for seed in range(3):
        assert Counter(type_sequence(images, types, seed)) == counts


def test_other_data_are_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("mine")
    with refused(InputError, file=tmp_path):
        synthesize(tmp_path, Recipe(1, 0, size=SIZE), workers=1)
    assert tree(tmp_path) == {"train.csv": b"mine"}


def test_making_it_again_is_allowed_and_something_else_is_not(tmp_path: Path) -> None:
    recipe = Recipe(1, 0, ("cort",), SIZE)
    synthesize(tmp_path, recipe, workers=1)
    before = tree(tmp_path)
    synthesize(tmp_path, recipe, workers=1)
    assert tree(tmp_path) == before
    with refused(InputError, file=tmp_path):
        synthesize(tmp_path, Recipe(2, 0, ("cort",), SIZE), workers=1)


@pytest.mark.parametrize(
    ("images", "seed", "types", "key", "found"),
    [
        (0, 0, CELL_TYPES, "images", 0),
        (1, -1, CELL_TYPES, "seed", -1),
        (1, 0, ("cot",), "cell_type", "cot"),
    ],
)
def test_impossible_requests_are_refused(
    images: int, seed: int, types: tuple[str, ...], key: str, found: object
) -> None:
    with refused(InputError, key=key, found=found):
        Recipe(images, seed, types)


@pytest.mark.parametrize("change", ["annotations are missing", "another seed", "nothing"])
def test_simulated_images_of_a_run_are_whole_and_its_own(tmp_path: Path, change: str) -> None:
    recipe, out = Recipe(2, 5, ("cort",), (48, 48)), tmp_path / "varied"
    simulated(out, recipe)
    made = tree(out)
    if change == "annotations are missing":  # the run was killed while it made them
        (out / "train.csv").unlink()
        next((out / "train").iterdir()).write_bytes(b"half")
    elif change == "another seed":
        simulated(out, Recipe(3, 6, ("cort",), (48, 48)))
        assert tree(out) != made
    simulated(out, recipe)
    assert tree(out) == made

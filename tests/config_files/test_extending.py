"""`extends` and `without`: joined key by key, inside the folder, and never in a circle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.config_files.parsed import Place
from bigkingxxl.config_files.reading import MOST_BASES, read_config
from bigkingxxl.errors import SettingsError
from tests.config_files.test_reading import refused, saved

BASE = """
method = "one"
settings = {"a": 1, "b": {"c": 2, "d": 3}}
zoom = (1, 2)
teacher = {"model": "x"}
"""
JOINED = {
    "method": "two",
    "settings": {"a": 1, "b": {"c": 4}},
    "zoom": [3],
}


OWN = {
    "own.py": """
extends = "base"
without = ("teacher", "settings.b.d")
method = "two"
zoom = (3,)
settings = {"b": {"c": 4}}
""",
    "own.toml": """
extends = "base"
without = ["teacher", "settings.b.d"]
method = "two"
zoom = [3]
[settings.b]
c = 4
""",
    "own.yaml": """
extends: base
without: [teacher, settings.b.d]
method: two
zoom: [3]
settings: {b: {c: 4}}
""",
    "own.json": """{
"extends": "base", "without": ["teacher", "settings.b.d"], "method": "two",
"zoom": [3], "settings": {"b": {"c": 4}}
}""",
}


@pytest.mark.parametrize(("name", "text"), OWN.items(), ids=OWN)
def test_a_config_contains_only_its_differences(tmp_path: Path, name: str, text: str) -> None:
    saved(tmp_path, "base.py", BASE)
    assert read_config(saved(tmp_path, name, text)).values == JOINED


def test_every_value_knows_the_file_that_it_came_from(tmp_path: Path) -> None:
    base = saved(tmp_path, "base.py", BASE)
    own = saved(tmp_path, "own.py", 'extends = "base"\nsettings = {\n    "b": {"c": 4},\n}')
    places = read_config(own).places
    assert places["settings", "a"] == Place(str(base), 3)
    assert places["settings", "b", "c"] == Place(str(own), 3)
    assert places["method",] == Place(str(base), 2)
    assert ("extends",) not in places


def test_a_value_replaces_a_mapping(tmp_path: Path) -> None:
    saved(tmp_path, "base.py", BASE)
    own = saved(tmp_path, "own.py", 'extends = "base"\nteacher = None\nmethod = {"a": 1}')
    values = read_config(own).values
    assert values["teacher"] is None
    assert values["method"] == {"a": 1}


def test_aliases_of_the_base_are_independent(tmp_path: Path) -> None:
    saved(tmp_path, "base.yaml", "a: &x {b: 1}\nc: *x")
    own = saved(tmp_path, "own.yaml", "extends: base\na: {b: 2}")
    assert read_config(own).values == {"a": {"b": 2}, "c": {"b": 1}}


def test_a_name_is_one_of_the_folder_then_a_shipped_one(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    saved(shipped, "base.py", "where = 'shipped'")
    own = saved(tmp_path / "own", "mine.toml", "extends = 'base'")
    assert read_config(own, shipped).values == {"where": "shipped"}
    saved(tmp_path / "own", "base.yaml", "where: folder")
    assert read_config(own, shipped).values == {"where": "folder"}


def test_a_file_may_extend_the_shipped_one_of_its_own_name(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    saved(shipped, "compact.py", "epochs = 1\nmethod = 'compact'")
    own = saved(tmp_path, "compact.py", "extends = 'compact'\nepochs = 2")
    assert read_config(own, shipped).values == {"epochs": 2, "method": "compact"}


def test_a_file_in_a_subfolder_may_be_extended(tmp_path: Path) -> None:
    saved(tmp_path / "inner", "base.toml", "a = 1")
    own = saved(tmp_path, "own.toml", "extends = 'inner/base.toml'")
    assert read_config(own).values == {"a": 1}


def extends(folder: Path, value: Any) -> SettingsError:
    """Return the error for a config whose second line extends something."""
    path = saved(folder, "own.py", f"a = 1\nextends = {value!r}")
    error = refused(path)
    assert (error.file, error.line, error.key) == (path, 2, "extends")
    return error


def test_a_missing_base_names_the_nearest(tmp_path: Path) -> None:
    saved(tmp_path, "sartorius.py", "a = 1")
    error = extends(tmp_path, "sartorus")
    assert (error.found, error.did_you_mean) == ("sartorus", "sartorius")
    extends(tmp_path, "sub/gone.py")
    extends(tmp_path, "gone.toml")


@pytest.mark.parametrize(
    "value",
    ["../outside.py", "/etc/passwd", "inner/../../outside.py", "..\\outside.py", "", " ", 3, None,
     ["base"], "x" * 5000, "a\0b", "own", "own.py", "inner/own.py/../../own.py", "link.py"],
)  # fmt: skip
def test_an_invalid_base_is_refused(tmp_path: Path, value: Any) -> None:
    saved(tmp_path, "outside.py", "a = 1")
    folder = tmp_path / "own"
    (folder / "inner").mkdir(parents=True)
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    extends(folder, value)


def test_an_ambiguous_base_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "base.py", "a = 1")
    saved(tmp_path, "base.toml", "a = 2")
    assert extends(tmp_path, "base").expected == ("base.py", "base.toml")
    own = saved(tmp_path, "own.py", "extends = 'base.toml'")
    assert read_config(own).values == {"a": 2}


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "one.py", "extends = 'two'")
    saved(tmp_path, "two.toml", "extends = 'three'")
    last = saved(tmp_path, "three.yaml", "# a comment\nextends: one")
    error = refused(tmp_path / "one.py")
    assert (error.file, error.line, error.key) == (last, 2, "extends")
    assert "one.py -> two.toml -> three.yaml -> one.py" in str(error)


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    for number in range(MOST_BASES + 3):
        saved(tmp_path, f"c{number}.py", f"extends = 'c{number + 1}'")
    saved(tmp_path, f"c{MOST_BASES + 3}.py", "a = 1")
    assert refused(tmp_path / "c0.py").key == "extends"
    assert read_config(tmp_path / "c3.py").values == {"a": 1}


@pytest.mark.parametrize(
    "value", ["'gone'", "'settings.gone'", "'method.gone'", "'settings.b.d.e'", "3", "[3]", "''"]
)
def test_a_key_to_leave_out_must_exist(tmp_path: Path, value: str) -> None:
    saved(tmp_path, "base.py", BASE)
    path = saved(tmp_path, "own.py", f"extends = 'base'\nwithout = {value}")
    error = refused(path)
    assert (error.file, error.line, error.key) == (path, 2, "without")


def test_an_unknown_key_to_leave_out_suggests_the_nearest(tmp_path: Path) -> None:
    saved(tmp_path, "base.py", BASE)
    error = refused(saved(tmp_path, "own.py", "extends = 'base'\nwithout = ['taecher']"))
    assert (error.found, error.did_you_mean) == ("taecher", "teacher")


def test_only_extended_keys_can_be_left_out(tmp_path: Path) -> None:
    error = refused(saved(tmp_path, "own.py", "without = ['a']\na = 1"))
    assert (error.line, error.key) == (1, "without")


def test_code_of_the_base_is_not_run_either(tmp_path: Path) -> None:
    base = saved(tmp_path, "base.py", "a = sum((1, 2))")
    own = saved(tmp_path, "own.toml", "extends = 'base'")
    error = refused(own)
    assert (error.file, error.line) == (base, 1)
    assert read_config(own, allow_code=True).values == {"a": 3}

"""The list of recipes is read from their files, and every shipped recipe is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.cli.recipes import describe, shipped_recipes
from bigkingxxl.errors import SettingsError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["recipes", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_every_recipe_is_listed_with_its_method_and_summary() -> None:
    rows = json.loads(run("--json"))
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert "unetr" in [row["name"] for row in rows]
    lines = run().splitlines()
    for row, line in zip(rows, lines, strict=True):
        assert line.split()[:2] == [row["name"], row["method"]]
        assert line.endswith(row["summary"])
        assert row["summary"].endswith(".")


def test_a_recipe_is_read_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text('"""One line.\n\nMore."""\nmethod = "unetr"\n')
    assert describe(path, tmp_path)[:3] == ("mine", "unetr", "One line.")
    path.write_text("x = 1")
    assert describe(path, tmp_path)[:3] == ("mine", "", "")
    path.write_text("raise SystemExit(3)")
    with pytest.raises(SettingsError) as caught:
        describe(path, tmp_path)
    assert (caught.value.file, caught.value.line) == (path, 1)


def test_an_unknown_recipe_names_the_nearest() -> None:
    result = CliRunner().invoke(app, ["recipes", "unter"])
    assert result.exit_code == 2
    assert "'unetr'" in result.stderr


@pytest.mark.parametrize("name", ["bundled", "mask_rcnn", "unetr"])
def test_a_recipe_is_printed_in_full(name: str, tmp_path: Path) -> None:
    from bigkingxxl.training.recipe import load_recipe

    path = tmp_path / "mine.yaml"
    path.write_text(run(name, "--full"), encoding="utf-8")
    assert "extends" not in path.read_text("utf-8")
    assert load_recipe(str(path)) == load_recipe(name)
    whole = json.loads(run(name, "--full", "--json"))
    assert whole["method"] == load_recipe(name).method


def test_full_output_needs_a_recipe_name() -> None:
    assert CliRunner().invoke(app, ["recipes", "--full"]).exit_code == 2
    assert CliRunner().invoke(app, ["recipes", "unter", "--full"]).exit_code == 2


@pytest.mark.parametrize("entry", shipped_recipes(), ids=lambda entry: entry.name)
def test_a_printed_recipe_is_an_equivalent_config_file(
    entry: tuple[str, ...], tmp_path: Path
) -> None:
    from bigkingxxl.training.recipe import load_recipe

    path = tmp_path / "mine.py"
    path.write_text(run(entry[0]), encoding="utf-8")
    assert load_recipe(str(path)) == load_recipe(entry[0])
    assert load_recipe(entry[0]).method == entry[1]

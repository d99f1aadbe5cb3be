"""The list of recipes is read from their files, and every recipe shipped is a valid one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.cli.recipes import describe, shipped_recipes


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


def test_a_recipe_is_read_not_run() -> None:
    entry = describe("mine", '"""One line.\n\nMore."""\nmethod = "unetr"\nraise SystemExit(3)\n')
    assert entry[:3] == ("mine", "unetr", "One line.")
    assert describe("bare", "x = 1")[:3] == ("bare", "", "")


def test_an_unknown_recipe_names_the_nearest() -> None:
    result = CliRunner().invoke(app, ["recipes", "unter"])
    assert result.exit_code == 2
    assert "did you mean 'unetr'?" in result.stderr


@pytest.mark.parametrize("entry", shipped_recipes(), ids=lambda entry: entry.name)
def test_a_printed_recipe_is_a_config_file_that_says_the_same(
    entry: tuple[str, ...], tmp_path: Path
) -> None:
    from bigkingxxl.training.recipe import load_recipe

    path = tmp_path / "mine.py"
    path.write_text(run(entry[0]), encoding="utf-8")
    assert load_recipe(str(path)) == load_recipe(entry[0])
    assert load_recipe(entry[0]).method == entry[1]

"""`bigkingxxl models`: the shipped models, as text and as JSON, and each card."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.model_files import model_hash, read_card
from bigkingxxl.shipped_models import SHIPPED
from tests.refusals import refused_by


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_every_model_is_listed_with_size_licence_and_data() -> None:
    text = run()
    for name, model in SHIPPED.items():
        assert any(line.split()[:1] == [name] for line in text.splitlines())
        assert model.purpose in text
        assert f"{model.path.stat().st_size / 1e6:.1f} MB; licence: {model.licence}" in text
        assert ", ".join(model.data) in text


def test_as_json() -> None:
    rows = json.loads(run("--json"))
    assert [row["name"] for row in rows] == list(SHIPPED)
    for row in rows:
        file = Path(row["file"])
        card = read_card(file)
        assert (row["bytes"], row["hash"]) == (file.stat().st_size, model_hash(file))
        assert (row["method"], row["median_diameter"]) == (card.method, card.median_diameter)
        assert row["trained_images"] == len(card.trained_on) > 0
        assert row["licence"]
        assert row["data"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_printed(name: str) -> None:
    text = SHIPPED[name].card.read_text(encoding="utf-8")
    assert run("show", name) == text
    told = json.loads(run("show", name, "--json"))
    assert (told["name"], told["card"]) == (name, text)


def test_an_unknown_model_names_the_nearest() -> None:
    result = CliRunner().invoke(app, ["models", "show", "sartorious"])
    refused_by(result, "'sartorius'", key="model", found="sartorious", expected="sartorius")


def test_the_list_is_made_without_the_network() -> None:
    """The text is printed without heavy imports."""
    code = (
        "import sys; from typer.testing import CliRunner; from bigkingxxl.cli.main import app; "
        "assert CliRunner().invoke(app, ['models']).exit_code == 0; "
        "assert not {'torch', 'onnxruntime', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

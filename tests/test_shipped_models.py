"""The shipped models: one registry, and for each name weights, a card and a licence."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigkingxxl import shipped_models
from bigkingxxl.cli.main import app
from bigkingxxl.errors import ModelError
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.shipped_models import EARLIER_NAMES, FREE, SHIPPED, name_of

MOST_BYTES = 25e6


@pytest.mark.parametrize("model", SHIPPED.values(), ids=SHIPPED)
def test_each_has_weights_a_card_and_a_licence(model: shipped_models.ShippedModel) -> None:
    card = read_card(model.path)
    assert resolve_model(model.name) == model.path
    text = model.card.read_text(encoding="utf-8")
    assert text.startswith(f"# Model card: `{model.name}`\n")
    assert model.licence in text
    if model.licence == FREE:
        assert model.licence_text is None
        assert card.licence == ""
    else:
        assert model.licence_text is not None
        terms = (model.path.parent / model.licence_text).read_text(encoding="utf-8")
        assert "non-commercial" in terms
        assert "non-commercial" in card.licence
        assert model.licence_text in text


@pytest.mark.parametrize("model", SHIPPED.values(), ids=SHIPPED)
def test_files_referenced_by_a_card_exist(model: shipped_models.ShippedModel) -> None:
    links = re.findall(r"\]\(([^)]+)\)", model.card.read_text(encoding="utf-8"))
    assert links
    for link in links:
        file = link.partition("#")[0]  # the site's build looks for the section
        assert (model.card.parent / file).resolve().is_file(), link


def test_all_files_of_weights_have_a_name_and_are_small() -> None:
    (folder,) = {model.path.parent for model in SHIPPED.values()}
    files = {path for path in folder.iterdir() if path.suffix == ".onnx"}
    assert files == {model.path for model in SHIPPED.values()}
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    cards = set(folder.glob("*.md"))
    assert cards == {model.card for model in SHIPPED.values()}


def test_models_under_the_code_licence_used_no_restricted_images() -> None:
    for model in SHIPPED.values():
        assert (shipped_models.SARTORIUS_IMAGES in model.data) == (model.licence != FREE)


@pytest.mark.parametrize("name", EARLIER_NAMES)
def test_earlier_names_work_with_a_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    shipped_models._announce_new_name.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = [resolve_model(name) for _ in range(2)]
    assert found == [SHIPPED[EARLIER_NAMES[name]].path] * 2
    (sentence,) = caplog.messages
    assert name in sentence
    assert EARLIER_NAMES[name] in sentence


def test_a_file_of_that_name_is_no_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("open").write_bytes(b"")
    assert resolve_model("open") == SHIPPED["open"].path
    assert resolve_model(Path("./open").absolute()) == tmp_path / "open"


def test_a_model_without_weights_is_reported_and_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in distributions of free software, which leave out weights under other terms."""
    kept = shipped_models._place(SHIPPED["open"].weights)
    monkeypatch.setattr(
        shipped_models, "_place", lambda file: kept if file == kept.name else tmp_path / file
    )
    with pytest.raises(ModelError) as caught:
        resolve_model("bundled")
    assert (caught.value.found, caught.value.expected) == ("bundled", ("open",))
    assert "--model open" in str(caught.value), "what to type"
    assert resolve_model("open") == kept
    listed = CliRunner().invoke(app, ["models", "--json"])
    assert [each["name"] for each in json.loads(listed.stdout)] == ["open"]
    assert CliRunner().invoke(app, ["models"]).exit_code == 0


def test_a_file_of_the_package_is_named_by_its_model(tmp_path: Path) -> None:
    assert [name_of(model.path) for model in SHIPPED.values()] == list(SHIPPED)
    assert name_of(tmp_path / "open.onnx") == str(tmp_path / "open.onnx")

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import bigkingxxl as bk
from bigkingxxl.errors import ModelError
from bigkingxxl.licences import show_licence
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.shipped_models import FREE, SHIPPED
from tests.refusals import refused

TERMS = "These weights are for research."


@pytest.fixture(autouse=True)
def _fresh_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_terms_are_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        show_licence(TERMS)
    (sentence,) = said(caplog)
    assert sentence.startswith(TERMS)
    show_licence("Other terms.")
    assert len(said(caplog)) == 2


def test_no_terms_no_words(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    show_licence("")
    assert said(caplog) == []
    assert not (tmp_path / "state").exists()


def test_terms_are_shown_each_time_without_a_state_folder(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        show_licence(TERMS)
    assert len(said(caplog)) == 2


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_found_by_name(name: str) -> None:
    card = read_card(resolve_model(name))
    assert (card.method, card.settings["representation"]) == ("compact", "flows")
    # Only models trained on the challenge's images are bound by its terms.
    assert ("non-commercial" in card.licence) == (SHIPPED[name].licence != FREE)


def test_the_bundled_model_shows_its_terms_at_first_use(caplog: pytest.LogCaptureFixture) -> None:
    bk.load()
    bk.load()
    assert len([each for each in said(caplog) if "non-commercial" in each]) == 1
    bk.load("open")
    assert len(said(caplog)) == 1


def test_no_such_model(tmp_path: Path) -> None:
    with refused(ModelError, "bundled", "sartorius", "open"):
        resolve_model("bundeld")
    with refused(ModelError, file="absent.onnx"):
        resolve_model(tmp_path / "absent.onnx")

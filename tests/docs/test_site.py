"""The parts of the documentation fit together, without building the site (`make docs` does)."""

from __future__ import annotations

import ast
import importlib.util
import posixpath
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT

DOCS = ROOT / "docs"


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE: Any = load_hook()
MADE = {place: (text, folder) for place, text, folder in SITE.made_pages()}
OWN = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}


def test_the_table_of_contents_names_pages_that_there_are() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = list(SITE.places(nav))
    assert set(named) <= {*MADE, *OWN}
    assert len(named) == len(set(named))


def test_unplaced_pages_are_listed(tmp_path: Path) -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    class Config:
        pass

    config = Config()
    config.nav = nav  # type: ignore[attr-defined]
    for part in nav:
        part.update({key: [e for e in value if "gpu.md" not in str(e)]
                     for key, value in part.items() if isinstance(value, list)})  # fmt: skip
    assert "gpu.md" not in SITE.places(nav)
    SITE.on_config(config)
    assert {*OWN, *(place for place in MADE if "/api/" in place)} <= set(SITE.places(nav))


@pytest.mark.parametrize("place", sorted({*OWN, *MADE}))
def test_links_lead_to_pages_or_files(place: str) -> None:
    text, folder = MADE.get(place) or (OWN[place].read_text(encoding="utf-8"), OWN[place].parent)
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#\s]+)", SITE.with_links(text, place, folder)):
        if "://" in link:
            file = link.removeprefix(SITE.FILES + "/")
            assert file == link or (ROOT / file).exists()
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
        pictures = {f"models/{path.name}" for path in SITE.picture_sources()}
        assert target in {*OWN, *MADE, *pictures} or (DOCS / target).is_file(), link


def test_a_dead_link_is_found() -> None:
    with pytest.raises(FileNotFoundError):
        SITE.with_links("[x](../no_such_file.py)", "index.md", DOCS)


def test_the_api_has_every_public_name() -> None:
    shown = set(re.findall(r"^::: (\S+)", "\n".join(t for t, _ in MADE.values()), re.M))
    for path in sorted((ROOT / "bigkingxxl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] in SITE.NO_API:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        public = [n.name for n in tree.body if isinstance(n, kinds) and n.name[0] != "_"]
        if public:
            assert ".".join(parts).removesuffix(".__init__") in shown


def test_commands_and_settings_are_all_listed() -> None:
    from bigkingxxl.cli.main import COMMANDS
    from bigkingxxl.training.recipe import Recipe

    commands, settings = (MADE[f"reference/{name}.md"][0] for name in ("commands", "settings"))
    for name in (*COMMANDS, "data split", "models show"):
        assert f"## {name}\n" in commands
        assert f"Usage: bigkingxxl {name} " in commands
    for name in Recipe.model_fields:
        assert f"| `{name}` |" in settings
    assert "method compact" in settings


def test_examples_of_the_package_are_code(tmp_path: Path) -> None:
    griffe = pytest.importorskip("griffe")
    package = tmp_path / "small"
    package.mkdir()
    text = '"""Words.\n\n>>> a[0][1]\n2\n\nMore.\n"""\n'
    (package / "__init__.py").write_text(text, encoding="utf-8")
    (package / "inner.py").write_text(text, encoding="utf-8")
    extensions = griffe.load_extensions(str(DOCS / "site_docstrings.py"))
    loaded = griffe.load("small", search_paths=[tmp_path], extensions=extensions)
    expected = "Words.\n\n```pycon\n>>> a[0][1]\n2\n```\n\nMore."
    assert loaded.docstring.value == expected
    assert loaded["inner"].docstring.value == expected

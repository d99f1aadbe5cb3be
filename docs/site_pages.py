"""Pages of the documentation that are generated from the project when the site is built.

This is a hook of mkdocs (see `mkdocs.yml`). What belongs here: pages whose text is elsewhere (model
cards, CONTRIBUTING.md, ...) or follows from the code (the API, the commands, the settings), and
links from pages to files of the repository that are no pages. What does not: anything that could be
a Markdown page.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "bigkingxxl"
WEIGHTS = PACKAGE / "weights"
FILES = "https://github.com/BigKingXXL/Sartorius/blob/main"
PAPERS = ("CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")
# Modules that are not imported by users: the command line, data files, and modules for `python -m`.
NO_API = ("cli", "recipes", "weights", "viewer", "__main__")

Page = tuple[str, str, Path]  # path in docs, text, the folder to which its links are relative


# ---- hooks -------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Add the API's pages, and those that `mkdocs.yml` does not list, to the table of contents."""
    for part in config.nav:
        if "Reference" in part:
            pages = [{title: f"reference/api/{place}.md"} for place, title, _ in rooms()]
            part["Reference"].append({"API": pages})
    pages_of_docs = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    for part in config.nav:
        if "How to" in part:
            part["How to"] += sorted(pages_of_docs - set(places(config.nav)))
    return config


def places(nav: Any) -> Iterator[str]:
    """Yield the pages of a table of contents."""
    if isinstance(nav, str):
        yield nav
    else:
        for inner in nav.values() if isinstance(nav, dict) else nav:
            yield from places(inner)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and the pictures of the model cards."""
    from mkdocs.structure.files import File

    for place, text, _ in made_pages():
        files.append(File.generated(config, place, content=text))
    for picture in sorted(WEIGHTS.glob("*.png")):
        made = File.generated(config, f"models/{picture.name}", abs_src_path=str(picture))
        files.append(made)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Point links to files outside `docs` to the page made of them, or to the repository."""
    place = page.file.src_uri
    origins = {made: folder for made, _, folder in made_pages(texts=False)}
    return with_links(markdown, place, origins.get(place, (DOCS / place).parent))


def with_links(markdown: str, place: str, folder: Path) -> str:
    """Return a page's text, with links to files of the repository replaced by links of the site.

    Args:
        markdown: The text.
        place: Path of the page in the site.
        folder: The folder to which its links are relative.

    Raises:
        FileNotFoundError: A link leads nowhere.
    """
    made = {source: target for target, source in page_sources()}

    def lead(match: re.Match[str]) -> str:
        link, _, anchor = match[2].partition("#")
        if not link or "://" in link or link.startswith("mailto:"):
            return match[0]
        target = Path(os.path.normpath(folder / link))
        if target == DOCS:
            target = DOCS / "index.md"
        if target in made or target.is_relative_to(DOCS):
            known = made.get(target) or target.relative_to(DOCS).as_posix()
            if target not in made and not target.exists() and known not in made.values():
                return match[0]  # mkdocs reports that it is missing
            found = os.path.relpath(known, Path(place).parent)
        elif target in picture_sources():
            found = os.path.relpath(f"models/{target.name}", Path(place).parent)
        elif target.exists():
            found = f"{FILES}/{target.relative_to(ROOT).as_posix()}"
        else:
            raise FileNotFoundError(f"{place}: there is no {target}")
        return f"{match[1]}{found}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"(\]\()([^)\s]+)\)", lead, markdown)


def picture_sources() -> set[Path]:
    """Return the pictures of the model cards."""
    return set(WEIGHTS.glob("*.png"))


def page_sources() -> Iterator[tuple[str, Path]]:
    """Yield pages whose text is a file elsewhere: the path in the site, and the file."""
    for card in sorted(WEIGHTS.glob("CARD-*.md")):
        yield f"models/{card.stem.removeprefix('CARD-')}.md", card
    for name in PAPERS:
        yield f"{name.lower()}.md", ROOT / f"{name}.md"


def made_pages(*, texts: bool = True) -> Iterator[Page]:
    """Yield all pages that are not files of `docs`; without `texts`, only their paths."""
    for place, source in page_sources():
        yield place, source.read_text(encoding="utf-8") if texts else "", source.parent
    for room, title, modules in rooms():
        yield f"reference/api/{room}.md", api_page(title, modules) if texts else "", ROOT
    yield "reference/commands.md", commands_page() if texts else "", ROOT
    yield "reference/settings.md", settings_page() if texts else "", ROOT


# ---- the API -----------------------------------------------------------------------------------


def rooms() -> list[tuple[str, str, list[str]]]:
    """Return the pages of the API: name, title and the modules with public names of each."""
    grouped: dict[str, list[str]] = {"bigkingxxl": []}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in NO_API or (parts != ("__init__",) and not public_names(path)):
            continue
        room = "bigkingxxl" if len(parts) == 1 else parts[0]
        if parts[0] == "io" and len(parts) > 2:
            room = f"io.{parts[1]}"
        module = ".".join(("bigkingxxl", *parts)).removesuffix(".__init__")
        grouped.setdefault(room, []).append(module)
    return [
        (room, room if room == "bigkingxxl" else f"bigkingxxl.{room}", modules)
        for room, modules in grouped.items()
    ]


def public_names(path: Path) -> list[str]:
    """Return the public functions and classes of a module, in order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]


def api_page(title: str, modules: Iterable[str]) -> str:
    """Return a page with the documentation of some modules."""
    parts = [f"# {title}", ""]
    for module in modules:
        parts += [f"## {module.removeprefix('bigkingxxl.')}", "", f"::: {module}"]
        parts += ["    options:", "      show_root_heading: false", ""]
    return "\n".join(parts)


# ---- commands and settings ---------------------------------------------------------------------


def commands_page() -> str:
    """Return a page with the help of every command."""
    parts = ["# Commands", "", "What `bigkingxxl COMMAND --help` says.", ""]
    for words, command in commands():
        context = command.make_context(words[-1], [], resilient_parsing=True)
        context.info_name = " ".join(words)
        text = re.sub(r"\x1b\[[0-9;]*m", "", command.get_help(context))
        parts += [f"## {' '.join(words[1:])}", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(parts)


def commands() -> Iterator[tuple[list[str], Any]]:
    """Yield every command with its words, including each command of a group."""
    from bigkingxxl.cli.main import COMMANDS, load

    for name in COMMANDS:
        command = load(name)
        yield ["bigkingxxl", name], command
        for inner, each in getattr(command, "commands", {}).items():
            yield ["bigkingxxl", name, inner], each


def settings_page() -> str:
    """Return a page of all recipe settings with kind and default, from the published schema."""
    from bigkingxxl.training.recipe_schema import recipe_schema

    schema = recipe_schema()
    said = (
        "What a settings file may hold, and what `--set` takes as `key=value`, where dots go "
        "deeper (`--set training.epochs=3`). `bigkingxxl recipes --schema` prints the same as JSON "
        "Schema."
    )
    parts = ["# Settings", "", said, ""]
    parts += section("Recipe", schema)
    for name, part in schema["$defs"].items():
        if "properties" in part:
            parts += section(name, part)
    return "\n".join(parts)


def section(name: str, schema: dict[str, Any]) -> list[str]:
    """Return a heading, the text and a table of the settings of one group."""
    text, _, attributes = str(schema.get("description", "")).partition("Attributes:")
    needed = schema.get("required", [])
    lines = [f"## {name}", "", text.strip(), ""]
    if attributes:
        lines += ["```text", *attributes.strip("\n").splitlines(), "```", ""]
    lines += ["| setting | kind | default |", "| --- | --- | --- |"]
    for key, value in schema["properties"].items():
        default = "needed" if key in needed else f"`{default_of(value)}`"
        lines.append(f"| `{key}` | {kind_of(value)} | {default} |")
    return [*lines, ""]


def default_of(value: dict[str, Any]) -> str:
    """Format a default; groups of settings have their own table."""
    default = value.get("default", "")
    return "see below" if isinstance(default, dict) and default else str(default)


def kind_of(value: dict[str, Any]) -> str:
    """Describe the values that a setting accepts, in a few words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower().replace(' ', '-')})"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{each}`" for each in value.get("enum", [value.get("const")]))
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(kind_of(each) for each in value["anyOf"]))
    if "prefixItems" in value:
        return "(" + ", ".join(kind_of(each) for each in value["prefixItems"]) + ")"
    bounds = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
    said = [f"{sign}{value[key]:g}" for key, sign in bounds.items() if key in value]
    return " ".join([str(value.get("type", "any")), *said])

"""The project's documents keep their formats, and everything that they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import bigkingxxl

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
FORMS = sorted(
    path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
)
PAPERS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "README.md")


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [WORKFLOW]),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [ROOT / ".github/ISSUE_TEMPLATE/config.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_of_the_repository_hold_their_schema(schema: str, files: list[Path]) -> None:
    assert files
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*program, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def jobs() -> dict[str, Any]:
    content = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    found: dict[str, Any] = content["jobs"]
    return found


def test_all_systems_and_versions_are_tested() -> None:
    matrix = jobs()["test"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    resolutions = jobs()["dependencies"]["strategy"]["matrix"]["include"]
    assert {each["resolution"] for each in resolutions} == {"lowest-direct", "highest"}


def quick_files() -> set[Path]:
    """The test files that `make check` runs."""
    program = "include Makefile\nshown:\n\t@echo $(QUICK)\n"
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", "-", "shown"], input=program, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    named = [ROOT / word for word in done.stdout.split()]
    assert all(path.exists() for path in named)
    return {
        file for path in named for file in (path.rglob("test_*.py") if path.is_dir() else [path])
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_quick_tests_are_a_part_that_needs_no_torch() -> None:
    quick, every = quick_files(), set((ROOT / "tests").rglob("test_*.py"))
    assert quick < every
    assert len(every) / 6 < len(quick) < len(every) / 2
    heavy = re.compile(r"^(?:import|from) (?:torch|lightning|timm|monai)\b", re.M)
    assert not [path for path in quick if heavy.search(path.read_text(encoding="utf-8"))]
    rooms = {path.relative_to(ROOT / "tests").parts[0] for path in quick}
    assert {"io", "evaluation", "runs", "docs", "cli"} <= rooms


def test_commands_of_the_workflow_and_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    runs = [step.get("run", "") for job in jobs().values() for step in job["steps"]]
    texts = "\n".join(runs + [(ROOT / name).read_text(encoding="utf-8") for name in PAPERS])
    called = {
        word
        for line in re.findall(r"(?:^|`)make ((?:[a-z]+ ?)+)", texts, re.M)
        for word in line.split()
    }
    assert {"check", "lint", "docs", "coverage", "notebooks", "cellpose"} <= called <= targets


@pytest.mark.parametrize("name", PAPERS)
def test_links_to_files_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == bigkingxxl.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{bigkingxxl.__version__}]" in changes
    headings = re.findall(r"^### (.+)$", changes, re.M)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_licence_of_the_citation_is_that_of_the_code() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"].split()[0] == citation["license"]
    assert citation["authors"] == project["authors"]


def test_the_archive_of_sources_holds_tests_and_documentation() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    included = build["build"]["targets"]["sdist"]["include"]
    assert {"/bigkingxxl", "/tests", "/docs", "/LICENSE", "/CHANGELOG.md"} <= set(included)
    assert not [name for name in included if not (ROOT / name.lstrip("/")).exists()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_the_archive_of_sources_holds_everything_that_is_committed() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    included = {name.lstrip("/") for name in build["build"]["targets"]["sdist"]["include"]}
    program = ["git", "ls-files", "-z", "--cached"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    committed = {name.partition("/")[0] for name in done.stdout.split("\0") if name}
    # The build adds these two by itself.
    assert committed - {".gitignore", "pyproject.toml"} <= included


def test_the_conda_recipe_has_the_package_dependencies() -> None:
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python, *others = recipe["requirements"]["run"]
    assert [each.replace(" ", "") for each in others] == sorted(project["dependencies"])
    assert python.replace(" ", "") == f"python{project['requires-python']}"
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"bigkingxxl = {project['scripts']['bigkingxxl']}"
    assert recipe["context"]["version"] == bigkingxxl.__version__
    assert recipe["about"]["license"] == project["license"]
    assert all((ROOT / file).is_file() for file in recipe["about"]["license_file"])
    assert recipe["about"]["homepage"] == project["urls"]["Homepage"]


def test_the_conda_recipe_is_one_that_the_builder_accepts() -> None:
    builder = pytest.importorskip("rattler_build")
    recipe = builder.Stage0Recipe.from_file(str(ROOT / "conda" / "recipe.yaml"))
    (rendered,) = recipe.render(builder.VariantConfig())
    assert rendered.recipe.package.name == "bigkingxxl"
    assert "numpy >=2.0" in map(str, rendered.recipe.requirements.run)


def test_conflicting_extras_are_reported() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    floors: dict[str, set[str]] = {}
    for each in [word for words in extras.values() for word in words]:
        name, _, floor = each.partition(";")[0].partition(">=")
        floors.setdefault(name.strip(), set()).add(floor.strip())
    several = {name: found for name, found in floors.items() if len(found) > 1}
    # There are two of Cellpose by intention: installers refuse to install both.
    assert set(several) == {"cellpose"}


@pytest.mark.parametrize("page", ["README.md", "docs/packaging.md"])
def test_pages_name_every_extra(page: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"`([\w-]+)`", (ROOT / page).read_text(encoding="utf-8")))
    assert set(project["optional-dependencies"]) - {"dev", "docs"} <= named

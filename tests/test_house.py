"""Rules of the repository: import directions, a fast start, nothing specific to one machine."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "timm", "lightning", "pytorch_lightning", "monai", "cellpose",
         "numba")  # fmt: skip
COMMANDS = ("data", "train", "predict", "tables", "measure", "evaluate", "compare", "report",
            "template", "ensemble", "tune", "export", "import-weights", "demo", "models",
            "recipes")  # fmt: skip


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- import arrows -----------------------------------------------------------------------------


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / "lint-imports"
    environment = os.environ | {"PYTHONPATH": str(root), "NO_COLOR": "1"}
    return subprocess.run(
        [str(script), "--config", str(root / "pyproject.toml"), "--no-cache"],
        capture_output=True, text=True, cwd=root, env=environment, check=False,
    )  # fmt: skip


ROOMS = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for path in (ROOT / "bigkingxxl").rglob("__init__.py")
    if path.parent.name != "bigkingxxl" and "node_modules" not in path.parts
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_documents_its_scope(room: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text("utf-8"))) or ""
    sentences = re.findall(r"\w.{20,}?[.](?= |$)", " ".join(text.split()))
    assert len(sentences) >= 2, "one of what belongs there, and one of what does not"


def test_imports_run_downward_only() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "words"),
    [
        ("geometry.py", "import bigkingxxl.candidates", "bigkingxxl.geometry"),
        ("io/annotations/kaggle.py", "from bigkingxxl.evaluation import report", "bigkingxxl.io"),
        ("decoding/base.py", "import bigkingxxl.networks.unetr", "bigkingxxl.decoding"),
        ("simulate/optics.py", "import bigkingxxl.io.annotations.kaggle", "bigkingxxl.simulate"),
        ("instances.py", "import torch", "torch"),
        ("newcomer.py", "", "newcomer"),
    ],
)
def test_an_import_against_the_arrows_is_found(
    tmp_path: Path, module: str, line: str, words: str
) -> None:
    """The rules above can fail."""
    shutil.copytree(ROOT / "bigkingxxl", tmp_path / "bigkingxxl",
                    ignore=shutil.ignore_patterns("__pycache__", "node_modules"))  # fmt: skip
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "bigkingxxl" / module).open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert words in done.stdout


# ---- a light start -----------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = python("import sys, bigkingxxl; print(*sys.modules)").split()
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, "numpy", "scipy"}


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import contextlib, io, sys
from bigkingxxl.cli import main
sys.argv = ["bigkingxxl", *{arguments!r}]
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    main.main()
assert "Usage: bigkingxxl" in shown.getvalue(), shown.getvalue()
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in python(code).split()}
    slow = {"numpy", "scipy", "skimage", "matplotlib", "tifffile", "pandas", "onnxruntime", "PIL"}
    assert not loaded & {*HEAVY, *slow}


def test_prediction_with_the_base_install_imports_nothing_heavy() -> None:
    """Every module except those about networks and training."""
    code = """
import importlib, pkgutil, sys
import bigkingxxl
for module in pkgutil.walk_packages(bigkingxxl.__path__, "bigkingxxl."):
    part = module.name.split(".")[1]
    if part not in ("networks", "detection", "training", "recipes", "demo", "__main__"):
        importlib.import_module(module.name)
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in python(code).split()}
    assert "numpy" in loaded
    assert not loaded & set(HEAVY)


# ---- the files ---------------------------------------------------------------------------------

# Put together here so that this file does not find itself.
OF_ONE_MACHINE = re.compile(
    "|".join(
        [
            "/" + "work/", "/" + "root/", r"/" + r"home/\w", "/" + "opt/wheels",
            "pypi" + r"\.org", "pythonhosted" + r"\.org", "download" + r"\.pytorch",
            "npmjs" + r"\.", "index" + "-url", "find" + "-links",
        ]
    )
)  # fmt: skip


def project_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of the project's files")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_one_machine_or_a_registry() -> None:
    found = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" in content[:8000]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if OF_ONE_MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found


def test_no_function_of_the_package_needs_scrolling() -> None:
    import ast

    long = []
    for path in sorted((ROOT / "bigkingxxl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                if lines > 50:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines}")
    assert not long

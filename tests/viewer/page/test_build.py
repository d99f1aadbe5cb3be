"""The shipped page is the one built from its sources, and uses the contract's types."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bigkingxxl.viewer.page import generate_types

PAGE = Path(generate_types.__file__).parent
BUILT = PAGE / "dist"
LIMIT_BYTES = 300_000
HAS_NODE = shutil.which("node") is not None and (PAGE / "node_modules" / "esbuild").is_dir()
needs_node = pytest.mark.skipif(not HAS_NODE, reason="Node.js or the page's packages are missing")


def npm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["npm", "run", "--silent", *command], cwd=PAGE, capture_output=True,
                          text=True, check=False)  # fmt: skip


def test_types_are_those_of_the_contract() -> None:
    written = generate_types.TYPES.read_text(encoding="utf-8")
    assert written == generate_types.contract_types(), "run `make page`"


def test_an_unknown_kind_of_type_is_refused() -> None:
    with pytest.raises(ValueError, match="no TypeScript type"):
        generate_types.typescript({"type": "object"})


def test_the_page_is_built_of_these_sources() -> None:
    """The fingerprint in the script is found without Node.js."""
    names = [each.relative_to(PAGE).as_posix() for each in (PAGE / "src").rglob("*")
             if each.is_file()]  # fmt: skip
    digest = hashlib.sha256()
    for name in sorted([*names, "build.mjs", "package-lock.json"]):
        digest.update(f"{name}\0".encode())
        digest.update((PAGE / name).read_bytes() + b"\0")
    found = re.search(r"Sources: ([0-9a-f]{64})", (BUILT / "page.js").read_text(encoding="utf-8"))
    assert found is not None
    assert found[1] == digest.hexdigest(), "run `make page`"


@needs_node
def test_the_sources_give_this_page_byte_by_byte() -> None:
    done = npm("built")
    assert done.returncode == 0, done.stderr


@needs_node
def test_the_sources_have_no_wrong_types() -> None:
    done = npm("check")
    assert done.returncode == 0, done.stdout


@needs_node
def test_tools_and_model_of_the_page() -> None:
    done = npm("test")
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_page_is_small_and_requests_nothing_external() -> None:
    files = [each for each in BUILT.iterdir() if each.is_file()]
    assert {each.name for each in files} == {"index.html", "page.js", "page.css", "icon.svg"}
    assert sum(each.stat().st_size for each in files) < LIMIT_BYTES
    for each in files:
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`)]*",
                                   each.read_text(encoding="utf-8")))  # fmt: skip
        # Names of XML vocabularies look like addresses and are never requested.
        assert {found for found in addresses if "www.w3.org" not in found} == set(), each.name

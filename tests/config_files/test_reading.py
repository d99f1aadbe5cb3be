"""Config files are read, not run; four syntaxes mean the same; traps are refused by line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.config_files.parsed import Place
from bigkingxxl.config_files.plain import MOST_BYTES
from bigkingxxl.config_files.reading import read_config
from bigkingxxl.errors import SettingsError
from tests.config_files.bombs import ALIASES

SAME = {
    "data": "somewhere/else",
    "epochs": 6,
    "share": -0.5,
    "flip": True,
    "zoom": [1.0, 2.5],
    "optimiser": {"learning_rate": 0.001, "names": ["a", "b"]},
}
PYTHON = '''"""What it is for."""

# A comment.
data = "somewhere/" "else"
epochs: int = 2 * 3
share = -1 / 2
flip = True
zoom = (1.0, 2.5)
optimiser = {
    "learning_rate": 10 ** -3,
    "names": ["a", "b"],
}
'''
TOML = """data = "somewhere/else"
epochs = 6
share = -0.5
flip = true
zoom = [1.0, 2.5]

[optimiser]
learning_rate = 1e-3
names = ["a", "b"]
"""
YAML = """
data: somewhere/else
epochs: 6
share: -0.5
flip: true
zoom: [1.0, 2.5]
optimiser:
  learning_rate: 0.001
  names: [a, b]
"""
JSON = """{
  "data": "somewhere/else", "epochs": 6, "share": -0.5, "flip": true,
  "zoom": [1.0, 2.5],
  "optimiser": {
    "learning_rate": 0.001, "names": ["a", "b"]}
}"""
TEXTS = {"a.py": PYTHON, "a.toml": TOML, "a.yaml": YAML, "a.yml": YAML, "a.json": JSON}


def saved(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, **options: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read_config(path, **options)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 400 + len(str(path))
    return caught.value


@pytest.mark.parametrize("name", TEXTS)
def test_all_syntaxes_are_equivalent(tmp_path: Path, name: str) -> None:
    assert read_config(saved(tmp_path, name, TEXTS[name])).values == SAME


@pytest.mark.parametrize(
    ("name", "line"), [("a.py", 10), ("a.toml", 8), ("a.yaml", 8), ("a.yml", 8), ("a.json", 5)]
)
def test_the_line_of_every_key_is_known(tmp_path: Path, name: str, line: int) -> None:
    path = saved(tmp_path, name, TEXTS[name])
    assert read_config(path).places["optimiser", "learning_rate"] == Place(str(path), line)


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_matter(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        assert read_config(saved(tmp_path, name, content)).values == SAME


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nimport os", 2),
        ("a = 1\nfrom os import path", 2),
        ("a = 1\nb = a", 2),
        ("a = f'{1}'", 1),
        ("a = open('/etc/passwd').read()", 1),
        ("a = {\n 'b': 1,\n 'c': [2, len('x')]}", 3),
        ("a = {**{'b': 1}}", 1),
        ("a = {open('x'): 1}", 1),
        ("a = [x for x in (1, 2)]", 1),
        ("a = 1\nif a:\n    b = 2", 2),
        ("a, b = 1, 2", 1),
        ("a = b = 1", 1),
        ("a = {}\na['b'] = 1", 2),
        ("a = 1\na += 1", 2),
        ("a = b'bytes'", 1),
        ("a = {1, 2}", 1),
        ("a = ...", 1),
        ("a = 1j", 1),
        ("a = 'x' * 3", 1),
        ("a = 'x' + 'y'", 1),
        ("a = not True", 1),
        ("a = 1 if True else 2", 1),
        ("def f(): pass", 1),
        ("a = 1\n'text'", 2),
        ("a: int", 1),
        ("a = (b := 1)", 1),
        ("a = __import__('os').system('true')", 1),
    ],
)
def test_a_file_that_needs_code_is_refused_with_the_line(
    tmp_path: Path, text: str, line: int
) -> None:
    path = saved(tmp_path, "a.py", text)
    error = refused(path)
    assert (error.file, error.line) == (path, line)
    assert "--allow-code" in str(error), "what to type"


def test_code_is_run_only_if_allowed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = saved(tmp_path, "a.py", f"a = 1\nopen({str(made)!r}, 'w').close()\nb = sum((2, 3))")
    refused(path)
    assert not made.exists()
    assert read_config(path, allow_code=True).values == {"a": 1, "b": 5}
    assert made.exists()


def test_a_program_returns_plain_values(tmp_path: Path) -> None:
    text = """
from pathlib import Path
from bigkingxxl.operating_points import SelectionParameters
stages = [SelectionParameters(nms_iou=0.25)]
data = Path("somewhere") / "else"
_hidden = 1
def helper(): ...
"""
    values = read_config(saved(tmp_path, "a.py", text), allow_code=True).values
    assert list(values) == ["stages", "data"]
    assert values["stages"][0]["nms_iou"] == 0.25
    assert values["data"] == str(Path("somewhere/else"))


@pytest.mark.parametrize("text", ["raise SystemExit(0)", "1 / 0", "import no_such_module"])
def test_a_program_that_fails_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = saved(tmp_path, "a.py", text)
    assert refused(path, allow_code=True).file == path


@pytest.mark.parametrize(
    ("name", "text", "line", "key"),
    [
        ("a.py", "a = 1\nb = 2\na = 3", 3, "a"),
        ("a.py", "a = {\n'b': 1,\n'b': 2}", 3, "b"),
        ("a.yaml", "a: 1\nb: 2\na: 3", 3, "a"),
        ("a.yaml", "a:\n  b: 1\n  c: 2\n  b: 2", 4, "b"),
        ("a.json", '{"a": 1,\n"b": 2,\n"a": 3}', 3, "a"),
        ("a.json", '{"a": [{"b": 1}, {"b": 1,\n"\\u0062": 2}]}', 2, "b"),
        ("a.toml", "a = 1\na = 2", 2, None),
        ("a.toml", "[a]\nb = 1\n[a]\nc = 2", 3, None),
    ],
)
def test_a_duplicate_key_is_refused(
    tmp_path: Path, name: str, text: str, line: int, key: str | None
) -> None:
    path = saved(tmp_path, name, text)
    error = refused(path)
    assert (error.file, error.key) == (path, key)
    assert error.line == line


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.json", '{"a": 1,\n', 2),
        ("a.json", "[1]", None),
        ("a.yaml", "a: 1\nb: c: d", 2),
        ("a.yaml", "", None),
        ("a.yaml", "!!python/object/apply:os.getcwd []", 1),
        ("a.yaml", "a: 2024-01-01", None),
        ("a.yaml", "a: !!set {b}", None),
        ("a.yaml", "a: !!binary aGVsbG8=", None),
        ("a.yaml", "1: 2", None),
        ("a.yaml", "[1, 2]: 3", 1),
        ("a.toml", "a = 1\nb = ", 2),
        ("a.toml", "a = 2024-01-01", None),
        ("a.py", "a = 1\nb = ", 2),
        ("a.py", "a = 1 / 0", 1),
        ("a.py", "a = (-8) ** 0.5", 1),
        ("a.py", "a = {1: 2}", 1),
        ("a.py", "a = 1\0", None),
        ("a.py", b"a = 1\nb = '\xff'", 2),
    ],
)
def test_a_file_that_is_not_a_config_is_refused(
    tmp_path: Path, name: str, text: str | bytes, line: int | None
) -> None:
    path = saved(tmp_path, name, text)
    error = refused(path)
    assert error.file == path
    assert line is None or error.line == line


TRAPS = [
    ("a.py", "a = " + "-" * 100_000 + "1"), ("a.py", "a = " + "1+" * 100_000 + "1"),
    ("a.py", "a = " + "[" * 100_000), ("a.py", "a = " + "[" * 50 + "]" * 50),
    ("a.py", "a = 9 ** 9 ** 9"), ("a.py", "a = 2 ** 64 * 2 ** 64"), ("a.py", "a = 1" + "0" * 5000),
    ("a.py", "a = 0x" + "f" * 6000), ("a.py", "a = 9.0 ** 60 ** 2"),
    ("a.py", "a = " + "(" * 60 + "1" + "+1)" * 60),
    ("a.json", '{"a": ' + "[" * 100_000), ("a.json", '{"a": 1' + "0" * 5000 + "}"),
    ("a.json", '{"a": ' + "[" * 50 + "]" * 50 + "}"), ("a.json", '{"a": 1' + "0" * 30 + "}"),
    ("a.yaml", f"a: {ALIASES[0]}"), ("a.yaml", f"a: {ALIASES[1]}"),
    ("a.yaml", "a: " + "[" * 20_000),
    ("a.yaml", "{a: " * 20_000), ("a.yaml", "a: 0x" + "f" * 6000),
    ("a.toml", "a" + ".a" * 100_000 + " = 1"), ("a.toml", "[a" + '."a"' * 60_000 + "]"),
    ("a.toml", "a = " + "[" * 100_000), ("a.toml", "a = " + "{a=" * 60_000),
    ("a.toml", "a = 1" + "0" * 5000), ("a.toml", "a = 0x" + "f" * 6000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), TRAPS, ids=lambda part: part[:20])
def test_malicious_files_are_refused(tmp_path: Path, name: str, text: str) -> None:
    path = saved(tmp_path, name, text)
    assert refused(path).file == path


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    for name in TEXTS:
        path = saved(tmp_path, name, b" " * (MOST_BYTES + 1))
        assert refused(path).expected == MOST_BYTES


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.yaml", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}")
    assert read_config(path).values == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_other_endings_and_missing_files_are_refused(tmp_path: Path) -> None:
    error = refused(saved(tmp_path, "a.ini", "a = 1"))
    assert error.found == ".ini"
    assert error.expected == (".py", ".toml", ".yaml", ".yml", ".json")
    assert refused(tmp_path / "gone.yaml").file == tmp_path / "gone.yaml"
    (tmp_path / "folder.py").mkdir()
    assert refused(tmp_path / "folder.py").file == tmp_path / "folder.py"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.py", "a = 1")
    path.chmod(0)
    assert refused(path).file == path

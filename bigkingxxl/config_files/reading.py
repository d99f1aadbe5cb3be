"""Read a config file with all files that it extends, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bigkingxxl.config_files import extending
from bigkingxxl.config_files.json_text import read_json
from bigkingxxl.config_files.parsed import Config, ConfigSyntaxError, NeedsCodeError, Parsed, Place
from bigkingxxl.config_files.parsed import Path as KeyPath
from bigkingxxl.config_files.plain import MOST_BYTES, check_plain
from bigkingxxl.config_files.python_text import read_python
from bigkingxxl.config_files.toml_text import read_toml
from bigkingxxl.config_files.yaml_text import read_yaml
from bigkingxxl.errors import SettingsError

SYNTAXES: dict[str, Callable[[str], Parsed]] = {
    ".py": read_python,
    ".toml": read_toml,
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".json": read_json,
}
MOST_BASES = 10


def read_config(path: Path, shipped: Path | None = None, *, allow_code: bool = False) -> Config:
    """Read a config file, merged over the files that it extends.

    Args:
        path: The file.
        shipped: The folder of configs that `extends` may name in addition to those in the folder of
            the file.
        allow_code: Run a Python file that contains more than literals; it may do anything.

    Raises:
        SettingsError: The file does not exist, has another ending, is not a config or needs code;
            or a file to extend is missing, elsewhere, or extends this one.
    """
    files = [path]
    configs = [_one(path, allow_code)]
    while (base := extending.base_of(files[-1], configs[-1], shipped)) is not None:
        place = configs[-1].places["extends",]
        if any(base.resolve() == each.resolve() for each in files):
            chain = " -> ".join(each.name for each in (*files, base))
            raise SettingsError(
                f"{place}: 'extends' leads back to a file before ({chain})",
                file=place.file, line=place.line, key="extends", found=base.name,
            )  # fmt: skip
        if len(files) > MOST_BASES:
            raise SettingsError(f"{place}: more than {MOST_BASES} files extend each other",
                                file=place.file, line=place.line, key="extends")  # fmt: skip
        files.append(base)
        configs.append(_one(base, allow_code))
    values: dict[str, Any] = {}
    places: dict[KeyPath, Place] = {}
    for each in reversed(configs):
        extending.write_over(values, places, each)
    return Config(values, places)


def _one(path: Path, allow_code: bool) -> Config:
    """Read a single file, with `extends` among its values."""
    parsed = _parsed(path, allow_code)
    places = {key: Place(str(path), line) for key, line in parsed.lines.items()}
    for key in parsed.values:
        places.setdefault((key,), Place(str(path)))
    return Config(parsed.values, places)


def _parsed(path: Path, allow_code: bool) -> Parsed:
    text = _text_of(path)
    try:
        try:
            found = SYNTAXES[path.suffix](text)
        except NeedsCodeError:
            if not allow_code:
                raise
            from bigkingxxl.config_files.code import run_python

            found = run_python(path)
        check_plain(found.values)
    except ConfigSyntaxError as error:
        hint = ""
        if isinstance(error, NeedsCodeError):
            hint = ": write the value itself, or add --allow-code if you trust the whole file"
        raise SettingsError(f"{Place(str(path), error.line)}: {error}{hint}", file=path,
                            line=error.line, key=error.key) from error  # fmt: skip
    return found


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise SettingsError(f"{path}: no such config file", file=path)
    if path.suffix not in SYNTAXES:
        *most, last = SYNTAXES
        raise SettingsError(
            f"{path}: a config file ends in {', '.join(most)} or {last}",
            file=path, found=path.suffix, expected=tuple(SYNTAXES),
        )  # fmt: skip
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})", file=path) from error
    if len(content) > MOST_BYTES:
        raise SettingsError(
            f"{path}: it is larger than {MOST_BYTES // 1024} kB, which no config file is",
            file=path, expected=MOST_BYTES,
        )  # fmt: skip
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{Place(str(path), line)}: it is not text in UTF-8", file=path,
                            line=line) from error  # fmt: skip

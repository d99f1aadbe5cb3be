"""`extends` and `without`: a config that gives only its differences from another one.

    extends = "sartorius"             # the config with this name in the same folder, or a shipped
    one
    without = ["settings.norm"]       # keys of that config to leave out

Mappings are merged key by key; any other value replaces the earlier one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigkingxxl.config_files.parsed import Config, Place
from bigkingxxl.config_files.parsed import Path as KeyPath
from bigkingxxl.config_files.plain import copied
from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import closest, nearest

EXTENDS, WITHOUT = "extends", "without"
LONGEST_NAME = 200
ENDINGS = (".py", ".toml", ".yaml", ".yml", ".json")


def base_of(path: Path, config: Config, shipped: Path | None) -> Path | None:
    """Return the file that a config extends, or None.

    Raises:
        SettingsError: It is missing, outside the folder of the config, or ambiguous.
    """
    name = config.values.get(EXTENDS)
    if EXTENDS not in config.values:
        if WITHOUT in config.values:
            raise _error(config, WITHOUT, "'without' leaves out keys of another config, and there "
                         "is no 'extends' that names it")  # fmt: skip
        return None
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
        raise _error(config, EXTENDS, "'extends' is not the name of a config", found=name,
                     expected="the name of a config")  # fmt: skip
    folder = path.parent
    if Path(name).suffix in ENDINGS or "/" in name or "\\" in name:
        return _within(folder, name, config)
    own = [folder / f"{name}{ending}" for ending in ENDINGS]
    beside = [each for each in own if each.is_file() and each.resolve() != path.resolve()]
    if len(beside) > 1:
        names = tuple(each.name for each in beside)
        raise _error(config, EXTENDS, f"'extends' is '{name}', which may be {' or '.join(names)}: "
                     "name one with its ending", found=name, expected=names)  # fmt: skip
    if beside:
        return _within(folder, beside[0].name, config)
    if shipped is not None and (shipped / f"{name}.py").is_file():
        return shipped / f"{name}.py"
    return _missing(path, name, config, shipped)


def _missing(path: Path, name: str, config: Config, shipped: Path | None) -> Path:
    if path.stem == name:
        raise _error(config, EXTENDS, f"'extends' is '{name}', which is this file", found=name)
    near = {each.stem for each in path.parent.iterdir() if each.suffix in ENDINGS} - {path.stem}
    there = {each.stem for each in shipped.glob("[!_]*.py")} if shipped is not None else set()
    known = sorted(near | there)
    raise _error(
        config, EXTENDS, f"'extends' is '{name}', and no config of this name is in {path.parent} "
        f"or shipped{nearest(name, known)}", found=name, expected=tuple(known),
        did_you_mean=closest(name, known),
    )  # fmt: skip


def _within(folder: Path, name: str, config: Config) -> Path:
    """Return a file in the folder or one of its subfolders."""
    found = folder / name
    if "\\" in name or not found.resolve().is_relative_to(folder.resolve()):
        raise _error(config, EXTENDS, f"'extends' is '{name}', expected a file inside {folder}",
                     found=name)  # fmt: skip
    if not found.is_file():
        raise _error(config, EXTENDS, f"'extends' is '{name}', and there is no such file in "
                     f"{folder}", found=name)  # fmt: skip
    return found


def write_over(values: dict[str, Any], places: dict[KeyPath, Place], config: Config) -> None:
    """Write the values of a config over those that it extends.

    Raises:
        SettingsError: A key to leave out does not exist.
    """
    own = dict(config.values)
    own.pop(EXTENDS, None)
    for key in _left_out(own.pop(WITHOUT, ()), config):
        _leave_out(values, places, key, config)
    _join(values, own, (), places)
    places.update({path: place for path, place in config.places.items()
                   if path[0] not in (EXTENDS, WITHOUT)})  # fmt: skip


def _left_out(keys: Any, config: Config) -> tuple[str, ...]:
    keys = (keys,) if isinstance(keys, str) else keys
    if not isinstance(keys, list | tuple) or not all(isinstance(key, str) for key in keys):
        raise _error(config, WITHOUT, "'without' is not a list of keys, as ['teacher', "
                     "'settings.norm']", found=keys, expected="list of text")  # fmt: skip
    return tuple(keys)


def _leave_out(
    values: dict[str, Any], places: dict[KeyPath, Place], key: str, config: Config
) -> None:
    path = tuple(key.split("."))
    place: Any = values
    for depth, part in enumerate(path):
        if not isinstance(place, dict) or part not in place:
            known = sorted(place) if isinstance(place, dict) else []
            raise _error(config, WITHOUT, f"'without' names '{key}', which the config that is "
                         f"extended does not set{nearest(part, known)}", found=key,
                         expected=tuple(known), did_you_mean=closest(part, known))  # fmt: skip
        if depth == len(path) - 1:
            del place[part]
        else:
            place = place[part]
    for each in [each for each in places if each[: len(path)] == path]:
        del places[each]


def _join(
    values: dict[str, Any], own: dict[str, Any], path: KeyPath, places: dict[KeyPath, Place]
) -> None:
    for key, value in own.items():
        before, inner = values.get(key), (*path, key)
        if isinstance(before, dict) and isinstance(value, dict):
            _join(before, value, inner, places)
            continue
        for each in [each for each in places if each[: len(inner)] == inner]:
            del places[each]  # of the earlier value
        values[key] = copied(value)


def _error(config: Config, key: str, sentence: str, **fields: Any) -> SettingsError:
    place = config.places[key,]
    return SettingsError(
        f"{place}: {sentence}", file=place.file, line=place.line, key=key, **fields
    )

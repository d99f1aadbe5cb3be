"""YAML: plain values only, aliases counted, keys once, each with its line."""

from __future__ import annotations

from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Parsed, Path
from bigkingxxl.config_files.plain import MOST_VALUES

MERGE = "tag:yaml.org,2002:merge"


def read_yaml(text: str) -> Parsed:
    """The values of a YAML text that holds a mapping.

    Raises:
        ConfigSyntaxError: no YAML, no mapping, a key twice, nested too deeply, or aliases that
            stand for too much.
    """
    lines: dict[Path, int] = {}
    values = yaml_value(text, lines)
    if not isinstance(values, dict):
        raise ConfigSyntaxError("expected a mapping of keys to values")
    return Parsed(values, lines)


def yaml_value(text: str, lines: dict[Path, int] | None = None) -> Any:
    """The plain value of a YAML text.

    Args:
        lines: takes the lines of its keys.

    Raises:
        ConfigSyntaxError: as in `read_yaml`.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _written_out(node) > MOST_VALUES:
                raise ConfigSyntaxError(
                    f"it holds more than {MOST_VALUES:,} values, aliases written out"
                )
            _check_keys(node, {} if lines is None else lines)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        line = None if mark is None else mark.line + 1
        raise ConfigSyntaxError(f"it is no valid YAML ({what})", line) from error
    except RecursionError as error:
        raise ConfigSyntaxError("its values are nested too deeply") from error
    except ConfigSyntaxError:
        raise
    except (ValueError, TypeError) as error:  # a number or date that is none, a list as a key
        raise ConfigSyntaxError(f"it is no valid YAML ({error})") from error


def _check_keys(node: Any, lines: dict[Path, int]) -> None:
    """Refuse keys that stand twice in a mapping, and note the lines of all."""
    import yaml

    todo: list[tuple[Path, Any]] = [((), node)]
    while todo:
        path, each = todo.pop()
        if isinstance(each, yaml.SequenceNode):
            todo.extend(((*path, index), part) for index, part in enumerate(each.value))
        if not isinstance(each, yaml.MappingNode):
            continue
        seen: dict[str, int] = {}
        for key, value in each.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            if key.value in seen:
                where = f" in '{path[0]}'" if path else ""
                raise ConfigSyntaxError(
                    f"the key '{key.value}' stands twice{where} (first in line {seen[key.value]})",
                    line, key.value,
                )  # fmt: skip
            seen[key.value] = lines[(*path, key.value)] = line
            todo.append(((*path, key.value), value))


def _written_out(node: Any) -> float:
    """How many values a YAML node holds, each alias counted as what it stands for."""
    sizes: dict[int, float] = {}

    def size(node: Any) -> float:
        if id(node) not in sizes:
            sizes[id(node)] = float("inf")  # where it holds itself
            inner = node.value if isinstance(node.value, list) else []
            # A mapping holds pairs of a key and a value.
            pairs = [each if isinstance(each, tuple) else (each,) for each in inner]
            sizes[id(node)] = 1 + sum(size(part) for pair in pairs for part in pair)
        return sizes[id(node)]

    return size(node)

"""YAML with plain values only, limited aliases, unique keys, and the line of each key."""

from __future__ import annotations

from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Parsed, Path
from bigkingxxl.config_files.plain import MOST_VALUES

MERGE = "tag:yaml.org,2002:merge"


def read_yaml(text: str) -> Parsed:
    """Read the values of a YAML text that contains a mapping.

    Raises:
        ConfigSyntaxError: It is not YAML or not a mapping, has a duplicate key, is nested too
            deeply, or its aliases expand to too much.
    """
    lines: dict[Path, int] = {}
    values = yaml_value(text, lines)
    if not isinstance(values, dict):
        raise ConfigSyntaxError("expected a mapping of keys to values")
    return Parsed(values, lines)


def yaml_value(text: str, lines: dict[Path, int] | None = None) -> Any:
    """Read the plain value of a YAML text.

    Args:
        text: The text.
        lines: Updated with the lines of its keys.

    Raises:
        ConfigSyntaxError: See `read_yaml`.
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
                    f"it contains more than {MOST_VALUES:,} values after its aliases are expanded"
                )
            _check_keys(node, {} if lines is None else lines)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        line = None if mark is None else mark.line + 1
        raise ConfigSyntaxError(f"it is not valid YAML ({what})", line) from error
    except RecursionError as error:
        raise ConfigSyntaxError("its values are nested too deeply") from error
    except ConfigSyntaxError:
        raise
    except (ValueError, TypeError) as error:  # an invalid number or date, or a list as a key
        raise ConfigSyntaxError(f"it is not valid YAML ({error})") from error


def _check_keys(node: Any, lines: dict[Path, int]) -> None:
    """Refuse duplicate keys of mappings, and record the lines of all keys."""
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
                    f"the key '{key.value}' occurs twice{where} (first in line {seen[key.value]})",
                    line, key.value,
                )  # fmt: skip
            seen[key.value] = lines[(*path, key.value)] = line
            todo.append(((*path, key.value), value))


def _written_out(node: Any) -> float:
    """Count the values of a YAML node with expanded aliases."""
    sizes: dict[int, float] = {}

    def size(node: Any) -> float:
        if id(node) not in sizes:
            sizes[id(node)] = float("inf")  # where it contains itself
            inner = node.value if isinstance(node.value, list) else []
            # A mapping contains pairs of a key and a value.
            pairs = [each if isinstance(each, tuple) else (each,) for each in inner]
            sizes[id(node)] = 1 + sum(size(part) for pair in pairs for part in pair)
        return sizes[id(node)]

    return size(node)

"""Generate the page's TypeScript types from the contract; called by `make page`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigkingxxl.files import whole_file
from bigkingxxl.viewer.contract import schema

TYPES = Path(__file__).parent / "src" / "wire" / "contract.ts"
HEAD = "/** Written by generate_types.py from bigkingxxl/viewer/contract: do not edit. */\n"
SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean",
          "null": "null"}  # fmt: skip


def typescript(node: dict[str, Any]) -> str:
    """Convert a node of a JSON schema to a TypeScript type.

    Raises:
        ValueError: The kind of node has not occurred in the contract so far.
    """
    if "$ref" in node:
        return str(node["$ref"]).rsplit("/", 1)[-1]
    if "const" in node or "enum" in node:
        values = node.get("enum", [node.get("const")])
        return " | ".join(
            f'"{value}"' if isinstance(value, str) else str(value) for value in values
        )
    if "anyOf" in node:
        return " | ".join(typescript(each) for each in node["anyOf"])
    if node.get("type") == "array":
        if "prefixItems" in node:
            return f"readonly [{', '.join(typescript(each) for each in node['prefixItems'])}]"
        item = typescript(node["items"])
        return f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
    if node.get("type") in SIMPLE:
        return SIMPLE[node["type"]]
    raise ValueError(f"no TypeScript type is known for {node}")


def interface(name: str, node: dict[str, Any]) -> str:
    """Convert a model; every field is present, because the server omits none."""
    fields = "".join(
        f"  readonly {field}: {typescript(each)};\n" for field, each in node["properties"].items()
    )
    summary = str(node["description"]).partition("\n\n")[0].replace("\n", " ")
    return f"/** {summary} */\nexport interface {name} {{\n{fields}}}\n"


def contract_types() -> str:
    """Return the content of the whole file."""
    contract = schema()
    version = f"export const CONTRACT_VERSION = {contract['x-contract']};\n"
    models = [interface(name, node) for name, node in contract["$defs"].items()]
    return "\n".join([HEAD, version, *models])


if __name__ == "__main__":
    with whole_file(TYPES) as part:
        part.write_text(contract_types(), encoding="utf-8")

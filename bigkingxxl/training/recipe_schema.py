"""The JSON schema of recipes, for editors and other programs.

It describes what `load_recipe` accepts, including the settings of each method and representation.
Conditions on several values together are checked by `load_recipe` only. A file that `extends`
another may omit what that file contains.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigkingxxl.config_files.extending import EXTENDS, LONGEST_NAME, WITHOUT
from bigkingxxl.decoding.registry import REPRESENTATIONS
from bigkingxxl.methods.registry import METHODS, method_class
from bigkingxxl.settings import Settings
from bigkingxxl.training.recipe import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe in Python, TOML, YAML or JSON."""
    definitions: dict[str, Any] = {}
    recipe = _schema_of(Recipe, definitions)
    for name in METHODS:
        definitions[f"method {name}"] = _method_schema(name, definitions, extended=False)
        definitions[f"method {name}, extended"] = _method_schema(name, definitions, extended=True)
    for name, place in REPRESENTATIONS.items():
        module, _, kind = place.partition(":")
        settings = getattr(import_module(module), kind).Settings
        definitions[f"representation {name}"] = _schema_of(settings, definitions)
    recipe["properties"] |= _of_extensions()
    recipe["properties"]["method"]["enum"] = list(METHODS)
    recipe["required"] = []
    recipe["anyOf"] = [{"required": ["method"]}, {"required": [EXTENDS]}]
    recipe["dependentRequired"] = {WITHOUT: [EXTENDS]}
    recipe["allOf"] = [
        {"if": {"required": [EXTENDS]}, "then": _choice("method", name, "settings", ", extended"),
         "else": _choice("method", name, "settings")}
        for name in METHODS
    ]  # fmt: skip
    return {"$schema": DIALECT, **recipe, "$defs": definitions}


def _of_extensions() -> dict[str, Any]:
    """Return the schema of the keys of config files that are not settings."""
    return {
        EXTENDS: {
            "type": "string", "minLength": 1, "maxLength": LONGEST_NAME,
            "description": "The config that this one differs from: the name of one in the same "
                           "folder or of a shipped recipe.",
        },
        WITHOUT: {
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
            "description": "Keys of that config which are left out; dots go deeper.",
        },
    }  # fmt: skip


def _method_schema(name: str, definitions: dict[str, Any], *, extended: bool) -> dict[str, Any]:
    settings = method_class(name).Settings
    schema = _schema_of(settings, definitions)
    if "representation" in settings.model_fields:
        own = settings.model_fields["representation"].default
        schema["properties"]["representation"]["enum"] = list(REPRESENTATIONS)
        schema["allOf"] = [
            _choice("representation", each, "representation_settings",
                    is_default=each == own and not extended)
            for each in REPRESENTATIONS
        ]  # fmt: skip
    return schema


def _choice(
    key: str, name: str, settings: str, kind: str = "", *, is_default: bool = False
) -> dict[str, Any]:
    """Return a condition: if `key` is `name` (or missing, for the default), `settings` must fit."""
    condition: dict[str, Any] = {"properties": {key: {"const": name}}}
    if not is_default:
        condition["required"] = [key]
    return {
        "if": condition,
        "then": {"properties": {settings: {"$ref": f"#/$defs/{key} {name}{kind}"}}},
    }


def _schema_of(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of settings; nested ones are added to `definitions`."""
    schema = kind.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return schema

"""The contract of server and page."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from bigkingxxl.viewer import contract


def test_the_schema_is_json_that_defines_every_type_of_every_route() -> None:
    schema = json.loads(json.dumps(contract.schema()))
    assert {"Edit", "Conflict", "Problem", "Cell", "Job"} <= schema["$defs"].keys()
    for route in schema["x-routes"]:
        for name in (route["request"], route["answer"]):
            assert name is None or "/" in name or " " in name or name in schema["$defs"]


def test_no_two_routes_are_one() -> None:
    places = [(route.method, re.sub(r"{\w+}", "*", route.path)) for route in contract.ROUTES]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("change", [
    {"runs": [-1]}, {"window": "../../x"}, {"seq": 0}, {"tool": "<b>"}, {"more": 1},
    {"cells": [{"id": 0}]}, {"cells": [{"id": 1, "after": {"origin": "god"}}]},
    {"cells": [{"id": 1, "after": {"origin": "drawn", "score": float("nan")}}]},
])  # fmt: skip
def test_an_edit_that_breaks_the_rules_is_refused(change: dict[str, object]) -> None:
    good = {"window": "window-1", "seq": 1, "revision": 0, "tool": "brush"}
    contract.Edit.model_validate(good)
    with pytest.raises(ValidationError):
        contract.Edit.model_validate({**good, **change})

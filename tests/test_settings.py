"""Settings: unknown keys name the nearest, overrides go deep, config files of three kinds agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import Settings, checked, nearest, override, read_values


class Parameters(Settings):
    score_threshold: float = Field(0.3, ge=0, le=1)
    minimum_area: int = 20


class Optimiser(Settings):
    name: Literal["AdamW", "SGD"] = "AdamW"
    learning_rate: float = 1e-3


class Recipe(Settings):
    epochs: int = Field(10, ge=1)
    data: str
    optimiser: Optimiser = Optimiser()
    by_type: dict[str, Parameters] = Field(default_factory=dict)
    stages: tuple[Parameters, ...] = ()
    extra: Parameters | None = None

    @field_validator("data")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("Spaces are not allowed in 'Data'")
        return value


def sentence(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        checked(Recipe, {"data": "d", **values}, where="recipe.yaml")
    text = str(caught.value)
    assert text.startswith("recipe.yaml: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("values", "key", "suggestion"),
    [
        ({"epoch": 3}, "epoch", "epochs"),
        ({"optimizer": {}}, "optimizer", "optimiser"),
        ({"optimiser": {"learning_rat": 1}}, "optimiser.learning_rat", "learning_rate"),
        ({"by_type": {"astro": {"min_area": 1}}}, "by_type.astro.min_area", "minimum_area"),
        ({"by_type": {"data": {"score_treshold": 1}}}, "by_type.data.score_treshold",
         "score_threshold"),
        ({"stages": [{}, {"minimum_aera": 1}]}, "stages.1.minimum_aera", "minimum_area"),
        ({"extra": {"score": 1}}, "extra.score", "score_threshold"),
    ],
)  # fmt: skip
def test_an_unknown_key_names_the_nearest_valid_one(
    values: dict[str, Any], key: str, suggestion: str
) -> None:
    assert f"there is no key '{key}', did you mean '{suggestion}'?" in sentence(values)


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    assert sentence({"qqqq": 1}).endswith(
        "there is no key 'qqqq'; known are by_type, data, epochs, extra, optimiser, stages"
    )
    assert nearest("a", []) == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": 0}, ["'epochs' is 0", "greater than or equal to 1"]),
        ({"epochs": "many"}, ["'epochs' is 'many'", "valid integer"]),
        ({"optimiser": {"name": "adam"}}, ["'optimiser.name' is 'adam'", "'AdamW' or 'SGD'"]),
        ({"data": "a b"}, ["'data' is 'a b'", "spaces are not allowed in 'Data'"]),
        ({"epochs": list(range(1000))}, ["'epochs' is [0, 1, 2"]),
    ],
)
def test_an_impossible_value_is_named_with_what_was_expected(
    values: dict[str, Any], words: list[str]
) -> None:
    text = sentence(values)
    assert all(word in text for word in words), text
    assert len(text) < 250


def test_a_missing_key_is_called_missing() -> None:
    with pytest.raises(SettingsError, match=r"settings: the key 'data' is missing$"):
        checked(Recipe, {})


def test_a_changed_copy_is_checked_and_the_first_stays() -> None:
    recipe = checked(Recipe, {"data": "d"})
    assert recipe.changed(epochs=3).epochs == 3
    assert recipe.epochs == 10
    with pytest.raises(SettingsError, match="'epochs' is -1"):
        recipe.changed(epochs=-1)
    with pytest.raises(Exception, match="frozen"):
        recipe.epochs = 4  # type: ignore[misc]


# ---- overrides ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("epochs=3", {"epochs": 3}),
        ("optimiser.learning_rate=1e-3", {"optimiser": {"name": "SGD", "learning_rate": 0.001}}),
        ("optimiser.name=AdamW", {"optimiser": {"name": "AdamW"}}),
        ("by_type.astro.minimum_area=50", {"by_type": {"astro": {"minimum_area": 50}}}),
        ("data=a=b", {"data": "a=b"}),
        ("data=", {"data": None}),
        ("data=2024-13-45", {"data": "2024-13-45"}),
        ("data=[1, 2", {"data": "[1, 2"}),
        ("stages=[{minimum_area: 4}]", {"stages": [{"minimum_area": 4}]}),
        ("epochs=2.5E+3", {"epochs": 2500.0}),
        ("extra=null", {"extra": None}),
        ("data=true", {"data": True}),
        ("data=nan", {"data": "nan"}),
    ],
)
def test_an_assignment_sets_one_value(assignment: str, expected: dict[str, Any]) -> None:
    before = {"epochs": 1, "optimiser": {"name": "SGD"}}
    after = override(before, [assignment])
    assert after == before | expected
    assert before == {"epochs": 1, "optimiser": {"name": "SGD"}}, "the values given are not changed"


def test_later_assignments_win() -> None:
    assert override({}, ["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize("assignment", ["epochs", "=3", "", "epochs.more=3"])
def test_an_assignment_that_makes_no_sense_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match=f"--set {assignment}"):
        override({"epochs": 1}, [assignment])


@given(st.text(max_size=20))
def test_any_value_is_taken(text: str) -> None:
    assert list(override({}, [f"key={text}"])) == ["key"]


# ---- config files ------------------------------------------------------------------------------

PYTHON = """
from __future__ import annotations
import math
from pathlib import Path
from bigkingxxl.operating_points import SelectionParameters

epochs = 2 * 3
data = Path("somewhere") / "else"
annotations = "train.csv"
stages = [SelectionParameters(nms_iou=0.25)]
optimiser = {"learning_rate": math.pow(10, -3)}
_hidden = 1

def helper() -> None: ...
"""
YAML = """
epochs: 6
data: somewhere/else
annotations: train.csv
stages: [{mask_threshold: 0.5, score_threshold: 0.3, nms_iou: 0.25, minimum_area: 20.0}]
optimiser: {learning_rate: 0.001}
"""
JSON = """
{"epochs": 6, "data": "somewhere/else", "annotations": "train.csv", "stages": [{"mask_threshold":
0.5, "score_threshold": 0.3, "nms_iou": 0.25, "minimum_area": 20.0}],
"optimiser": {"learning_rate": 0.001}}
"""


@pytest.mark.parametrize(
    ("name", "text"), [("a.py", PYTHON), ("a.yaml", YAML), ("a.yml", YAML), ("a.json", JSON)]
)
def test_python_yaml_and_json_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_values(path) == {
        "epochs": 6,
        "data": "somewhere/else",
        "annotations": "train.csv",
        "stages": [
            {"mask_threshold": 0.5, "score_threshold": 0.3, "nms_iou": 0.25, "minimum_area": 20.0}
        ],
        "optimiser": {"learning_rate": 0.001},
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "epochs = 1", ".py, .yaml, .yml or .json"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[1]", "expected a mapping"),
        ("a.yaml", "a: b: c", "cannot be read"),
        ("a.yaml", "", "expected a mapping"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "cannot be read"),
        ("a.py", "epochs = ", "cannot be read"),
        ("a.py", "1 / 0", "cannot be read"),
    ],
)
def test_a_bad_config_file_is_one_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_values(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such config file"):
        read_values(tmp_path / "a.yaml")


# ---- values that nothing can be done with --------------------------------------------------------


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "inf", "1e400"])
@pytest.mark.parametrize("key", ["learning_rate", "pair"])
def test_no_setting_is_infinite_or_nan(key: str, value: Any) -> None:
    class Numbers(Settings):
        learning_rate: float = 1.0
        pair: tuple[float, float] = (1.0, 2.0)

    given = (1.0, value) if key == "pair" else value
    with pytest.raises(SettingsError, match="finite"):
        checked(Numbers, {key: given})


@pytest.mark.parametrize("value", [10**20, -(10**20)])
def test_numbers_that_nothing_counts_to_are_refused(value: int) -> None:
    class Counts(Settings):
        epochs: int = 1

    with pytest.raises(
        SettingsError, match=r"'epochs' is -?100000000000000000000, expected at most"
    ):
        checked(Counts, {"epochs": value})


def bomb(levels: int = 9) -> str:
    """A YAML text of a few hundred letters that stands for 10 to the power of `levels` values."""
    aliases = [f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return f"[&a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], {', '.join(aliases)}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [(bomb(), "aliases written out"), ("&a [*a]", "aliases written out"),
     ("[" * 100_000, "too deeply"), ("{a: " * 20_000, "too deeply")],
)  # fmt: skip
def test_yaml_bombs_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        override({}, [f"key={text}"])
    (tmp_path / "a.yaml").write_text(f"key: {text}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"a\.yaml: .*" + message):
        read_values(tmp_path / "a.yaml")


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", encoding="utf-8")
    assert read_values(tmp_path / "a.yaml") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_json_nested_too_deeply_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"a\.json"):
        read_values(tmp_path / "a.json")


def test_a_config_that_ends_python_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("raise SystemExit(0)", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"a\.py"):
        read_values(tmp_path / "a.py")

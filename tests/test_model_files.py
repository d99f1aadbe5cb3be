"""Model files: what is saved is restored; anything else is refused in one sentence, never run."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bigkingxxl.errors import ModelError, OutputError, SettingsError
from bigkingxxl.model_files import (
    METADATA_KEY,
    load_model,
    mismatches,
    model_hash,
    read_card,
    save_model,
    untuned_hash,
    write_operating_points,
)
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters
from bigkingxxl.training.export import export
from tests.refusals import refused
from tests.small_models import small_card, small_weights

NAMES = ("astro", "cort")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, small_card(NAMES), small_weights(NAMES))
    return path


def test_round_trip(model: Path, tmp_path: Path) -> None:
    points = OperatingPoints(
        by_type={
            "cort": OperatingPoint(select=SelectionParameters(minimum_area=33), decode={"a": 1})
        },
        tuned_on=("x", "y"),
    )
    card = small_card(
        NAMES, operating_points=points, pixel_size_um=(0.5, 0.25), scores={"map": 0.3},
        trained_on=("p", "q"), median_diameter=17.5,
    )  # fmt: skip
    weights = small_weights(NAMES)
    path = tmp_path / "new folder" / "again.safetensors"
    save_model(path, card, weights)
    assert read_card(path) == card
    loaded = load_model(path)
    assert loaded.card == card
    assert not loaded.network.training
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_the_same_model_is_the_same_bytes(model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_model(again, small_card(NAMES), dict(reversed(small_weights(NAMES).items())))
    assert again.read_bytes() == model.read_bytes()
    assert model_hash(again) == model_hash(model)
    assert len(model_hash(model)) == 12


def test_a_card_may_name_its_statistics_as_earlier_versions_did() -> None:
    card = small_card(NAMES, image_statistics={"fine": (0.2, 0.5)})
    stored = card.model_dump(mode="json")
    stored["appearance"] = stored.pop("image_statistics")
    assert type(card).model_validate(stored) == card


def test_operating_points_are_replaced_and_nothing_else(model: Path, tmp_path: Path) -> None:
    points = OperatingPoints(
        by_type={"cort": OperatingPoint(select=SelectionParameters(nms_iou=0.25))},
        tuned_on=("x", "y"),
    )
    expected = tmp_path / "expected.safetensors"
    save_model(expected, small_card(NAMES, operating_points=points), small_weights(NAMES))
    before = model.read_bytes()
    copy = tmp_path / "copy.safetensors"
    write_operating_points(model, points, copy)
    assert copy.read_bytes() == expected.read_bytes()
    assert model_hash(copy) != model_hash(model)
    assert untuned_hash(copy) == untuned_hash(model) == model_hash(model)
    assert model.read_bytes() == before
    write_operating_points(model, points)
    assert model.read_bytes() == expected.read_bytes()


def test_operating_points_of_an_exported_model_are_replaced(model: Path, tmp_path: Path) -> None:
    import onnx

    exported = tmp_path / "model.onnx"
    export(model, exported)
    before = onnx.load(exported)
    write_operating_points(exported, OperatingPoints(tuned_on=("x",)))
    after = onnx.load(exported)
    assert read_card(exported) == small_card(
        NAMES, operating_points=OperatingPoints(tuned_on=("x",))
    )
    assert after.graph == before.graph
    assert load_model(exported).card.operating_points.tuned_on == ("x",)


def test_channels_last_weights_are_saved_as_any(model: Path, tmp_path: Path) -> None:
    weights = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in small_weights(NAMES).items()
    }
    again = tmp_path / "again.safetensors"
    save_model(again, small_card(NAMES), weights)
    assert again.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_load(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = small_weights(NAMES)
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    path = tmp_path / "half.safetensors"
    save_model(path, small_card(NAMES), half)
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        found = load_model(path).network(image)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


def damaged(model: Path, how: str) -> Path:
    content = model.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    changed = {
        "empty": b"",
        "a few bytes": content[:5],
        "cut in its header": content[: header_end // 2],
        "cut in its weights": content[:-100],
        "with a longer header than file": (2**40).to_bytes(8, "little") + content[8:],
        "with no JSON in its header": content[:8] + b"x" * (header_end - 8) + content[header_end:],
        "text": b"hello, this is not a model at all",
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }[how]
    model.write_bytes(changed)
    return model


@pytest.mark.parametrize(
    "how",
    ["empty", "a few bytes", "cut in its header", "cut in its weights",
     "with a longer header than file", "with no JSON in its header", "text", "an image"],
)  # fmt: skip
@pytest.mark.parametrize("reader", [read_card, load_model])
def test_damaged_files(model: Path, how: str, reader: Any) -> None:
    with refused(ModelError, file="model.safetensors"):
        reader(damaged(model, how))


@pytest.mark.parametrize("place", ["nothing.safetensors", "."])
def test_no_file(tmp_path: Path, place: str) -> None:
    with refused(ModelError, file=tmp_path / place):
        read_card(tmp_path / place)


class Boom:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, writer: str) -> None:
    mark, path = tmp_path / "it ran", tmp_path / "trap.safetensors"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Boom(mark)))
    else:
        torch.save({"weights": Boom(mark)}, path)
    with refused(ModelError, file=path):
        load_model(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Boom(mark)))  # noqa: S301 (the trap works)
    assert mark.exists()


def with_metadata(path: Path, metadata: dict[str, str] | None) -> Path:
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)
    return path


def card_with(**changes: Any) -> dict[str, str]:
    values = small_card(NAMES).model_dump(mode="json")
    return {METADATA_KEY: json.dumps({**values, **changes})}


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        (None, None),
        ({"format": "pt"}, None),
        ({METADATA_KEY: "{broken"}, None),
        ({METADATA_KEY: "[1, 2]"}, None),
        ({METADATA_KEY: "[" * 100_000}, None),
        ({METADATA_KEY: '{"a": ' * 100_000}, None),
        (card_with(median_diameter=float("inf")), "median_diameter"),
        (card_with(median_diameter=0), "median_diameter"),
        (card_with(pixel_size_um=[float("nan"), 1]), "pixel_size_um.0"),
        (card_with(image_diameters={"a": [5, 2]}), "image_diameters.a"),
        (card_with(image_statistics={"fine": [0, float("inf")]}), "image_statistics.fine.1"),
        (card_with(normalisation={"limit": float("inf")}), "normalisation.limit"),
        (card_with(prediction={"tile": 10**12}), "prediction.tile"),
        (card_with(prediction={"scale": 1e300}), "prediction.scale"),
        ({METADATA_KEY: "null"}, None),
        ({METADATA_KEY: "{}"}, "method"),
        (card_with(format="bigkingxxl-model-9"), "format"),
        (card_with(type_names=[]), "type_names"),
        (card_with(colour=1), "colour"),
    ],
)
def test_foreign_metadata(tmp_path: Path, metadata: dict[str, str] | None, key: str | None) -> None:
    with refused(ModelError, file="it.safetensors", key=key):
        read_card(with_metadata(tmp_path / "it.safetensors", metadata))


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"method": "unter"}, {"found": "unter", "did_you_mean": "unetr"}),
        (
            {"settings": {"feature_sise": 4}},
            {"key": "feature_sise", "did_you_mean": "feature_size"},
        ),
        ({"settings": {"representation": "water"}}, {"key": "representation", "found": "water"}),
    ],
)
def test_a_card_with_unknown_names_is_refused(
    tmp_path: Path, changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    path = with_metadata(tmp_path / "it.safetensors", card_with(**changes))
    with refused(ModelError, file=path, **fields):
        load_model(path)


def test_mismatched_tensors_are_listed(model: Path) -> None:
    weights = load_file(model)
    weights.pop("out.conv.conv.weight")
    weights["out.conv.conv.bias"] = torch.zeros(7)
    save_model(model, small_card(NAMES), weights)
    with pytest.raises(ModelError) as caught:
        load_model(model)
    sentence = str(caught.value)
    assert isinstance(caught.value.found, tuple)
    assert len(caught.value.found) == 2
    assert "'out.conv.conv.weight'" in sentence


def test_only_the_first_mismatches_are_listed(model: Path) -> None:
    save_model(model, small_card(NAMES), {"something": torch.zeros(1)})
    with pytest.raises(ModelError) as caught:
        load_model(model)
    assert str(caught.value).count("is missing") == 3


def test_unused_tensors_are_reported(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_model(model, small_card(NAMES), {**small_weights(NAMES), "old.layer": torch.zeros(1)})
    with caplog.at_level(logging.WARNING):
        load_model(model)
    assert "'old.layer'" in caplog.text


def test_mismatches() -> None:
    two = {"a": torch.zeros(2, 3), "b": torch.zeros(1)}
    assert mismatches(two, {**two, "c": torch.zeros(1)}) == []
    assert mismatches(two, {"a": torch.zeros(3, 2)}) == [
        "'b' is missing", "'a' has shape (3, 2), expected (2, 3)",
    ]  # fmt: skip


def test_the_card_is_read_without_torch(model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bigkingxxl.model_files import read_card; "
        f"print(read_card(Path({str(model)!r})).type_names); "
        "print([m for m in ('torch', 'monai', 'timm', 'lightning') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["('astro', 'cort')", "[]"]


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with refused(OutputError, file="m.safetensors"):
        save_model(tmp_path / "taken" / "m.safetensors", small_card(NAMES), {})


def test_a_broken_save_leaves_the_old_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with refused(OutputError, file=model):
        save_model(model, small_card(NAMES), small_weights(NAMES))
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("prediction", "fields"),
    [
        ({"tile": 8}, {"key": "tile", "found": 8}),
        ({"flips": 3}, {}),
        ({"scale": 0}, {"key": "scale", "found": 0}),
    ],
)
def test_prediction_settings(prediction: dict[str, Any], fields: dict[str, Any]) -> None:
    card = small_card(NAMES)
    with refused(SettingsError, **fields):
        card.prediction.changed(**prediction)


@pytest.mark.parametrize(("chosen", "calls"), [(None, 1), ("1", 1), ("0", 0)])
def test_the_runtime_reports_nothing_unless_the_user_wants_it(
    chosen: str | None, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    import onnxruntime

    from bigkingxxl.onnx_models import runtime

    # Set and removed, so that the variable is as before after the test.
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", chosen or "")
    if chosen is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    told: list[bool] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: told.append(True))
    assert runtime() is onnxruntime
    assert len(told) == calls
    assert os.environ.get("ORT_DISABLE_TELEMETRY") == chosen

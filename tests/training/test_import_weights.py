"""torchvision's Mask R-CNN in our model file agrees with torchvision, piece by piece."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.model_files import Model, load_model
from bigkingxxl.training.import_weights import Imported, import_weights
from bigkingxxl.training.recipe import load_recipe
from tests.refusals import refused
from tests.small_torchvision import (
    SIZE,
    as_frozen,
    calibrated,
    images,
    older_names,
    saved,
    small_assignments,
    small_mask_rcnn,
)

# From torchvision's own model, so that final detections can be compared.
KEPT = {"rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 100}
AS_TORCHVISION = (
    "settings.proposals=[2000, 100]", "settings.nms_by_type=true", "settings.box_nms=0.5",
    "settings.rescore=false", "settings.score_floor=0.05", "settings.detections=100",
)  # fmt: skip


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def imported(
    folder: Path, weights: dict[str, Tensor], *assignments: str, recipe: str = "torchvision_v1",
    name: str = "weights.pth", **options: Any,
) -> tuple[Model, Imported]:  # fmt: skip
    """The result of importing a file of weights."""
    out = folder / f"{name}.safetensors"
    settings = (*AS_TORCHVISION, *assignments)
    done = import_weights(
        saved(weights, folder / name), load_recipe(recipe, settings), out, **options
    )
    return load_model(out), done


def small(folder: Path, weights: dict[str, Tensor], **options: Any) -> tuple[Model, Imported]:
    return imported(folder, weights, *small_assignments(**options.pop("settings", {})), **options)


# ---- the published networks ----------------------------------------------------------------------


def published_v1() -> MaskRCNN:
    """As torchvision builds it for its own file: frozen norms, nothing added to variances."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    return as_frozen(
        calibrated(maskrcnn_resnet50_fpn(**options)), MaskRCNN(backbone, 91, min_size=96, **KEPT)
    )


def published_v2() -> MaskRCNN:
    torch.manual_seed(0)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "min_size": 96, **KEPT}
    return calibrated(maskrcnn_resnet50_fpn_v2(**options))


@pytest.mark.parametrize(
    ("build", "recipe", "renamed"),
    [(published_v1, "torchvision_v1", 20), (published_v2, "torchvision_v2", 58)],
)
def test_the_published_networks_agree_module_by_module(
    build: Any, recipe: str, renamed: int, tmp_path: Path
) -> None:
    theirs = build()
    ours, done = imported(tmp_path, theirs.state_dict(), "settings.image_channels=3", recipe=recipe)
    assert len(ours.card.type_names) == 90
    assert (done.counts["renamed"], done.counts["left"]) == (renamed, 0)
    with torch.inference_mode():
        levels = same_levels(theirs, ours.network, images(1))
        boxes = same_proposals(theirs, ours.network, levels)
        same_heads(theirs, ours.network, levels, boxes[:40])
        same_detections(theirs, ours)


def same_levels(theirs: MaskRCNN, network: Any, seen: Tensor) -> dict[str, Tensor]:
    levels = theirs.backbone(seen)
    for found, expected in zip(network(seen), levels.values(), strict=True):
        assert expected.abs().max() > 1
        close(found, expected)
    return dict(levels)


def same_proposals(theirs: MaskRCNN, network: Any, levels: dict[str, Tensor]) -> Tensor:
    boxes, _ = theirs.rpn(ImageList(images(1), [SIZE]), levels)
    found, _ = network.rpn.propose(images(1), list(levels.values()))
    assert len(boxes[0]) > 60
    close(found[0], boxes[0])
    expected: Tensor = boxes[0]
    return expected


def same_heads(theirs: MaskRCNN, network: Any, levels: dict[str, Tensor], boxes: Tensor) -> None:
    heads, maps = theirs.roi_heads, list(levels.values())
    pooled = heads.box_roi_pool(levels, [boxes], [SIZE])
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    assert logits.std() > 0.3
    close(network.box_logits(0, maps, [boxes], SIZE), (logits, deltas))
    pooled = heads.mask_roi_pool(levels, [boxes], [SIZE])
    masks = heads.mask_predictor(heads.mask_head(pooled))
    assert masks.std() > 0.3
    close(network.mask_logits(maps, [boxes], SIZE), masks)


def same_detections(theirs: MaskRCNN, ours: Model) -> None:
    """Boxes, types, scores and 28 x 28 masks, from the pixels on."""
    from bigkingxxl.detection.results import best_regions, refine, region_masks

    seen = images(1)
    levels = theirs.backbone(seen)
    boxes, _ = theirs.rpn(ImageList(seen, [SIZE]), levels)
    (expected,), _ = theirs.roi_heads(levels, boxes, [SIZE])
    assert len(expected["boxes"]) >= 20
    low, high = expected["boxes"].split(2, dim=1)
    assert (high - low).min() > 1  # a box thinner than a pixel would be widened here
    assert len(expected["labels"].unique()) >= 3

    method: Any = ours.method
    network: Any = ours.network
    own, maps = method.settings, network(seen)
    (proposals,), _ = network.rpn.propose(seen, maps)
    refined, shares = refine(network, maps, proposals, SIZE, method.coders)
    found = best_regions(
        refined, shares, own.box_nms, own.score_floor, own.detections, by_type=own.nms_by_type
    )
    close(found.boxes, expected["boxes"])
    close(found.score, expected["scores"])
    assert (found.types.argmax(dim=1) + 1).equal(expected["labels"])
    masks = region_masks(network, maps, found, SIZE, 16).numpy()
    close(torch.from_numpy(masks), expected["masks"][:, 0])

    (seen_by_method,) = method.detect(network, seen)  # and so does the method itself
    np.testing.assert_allclose(seen_by_method.score, expected["scores"], rtol=1e-4, atol=1e-4)
    types = torch.from_numpy(seen_by_method.type_probability)
    assert (types.argmax(dim=1) + 1).equal(expected["labels"])


# ---- files of other kinds ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_older_names_mean_the_same(name: str, tmp_path: Path) -> None:
    theirs = small_mask_rcnn(90)
    older = older_names(theirs.state_dict())
    assert "roi_heads.mask_head.mask_fcn2.bias" in older
    # torchvision itself reads them, so these are the names that it once wrote.
    copy.deepcopy(theirs).load_state_dict(older)
    ours, done = small(tmp_path, older, name=name)
    expected, _ = small(tmp_path, theirs.state_dict())
    assert done.counts["renamed"] == (16 + 2) + (4 + 4) + (4 + 4)
    for key, tensor in expected.network.state_dict().items():
        assert tensor.equal(ours.network.state_dict()[key])


def test_norms_that_learn_bring_counters_which_frozen_ones_leave(tmp_path: Path) -> None:
    theirs = small_mask_rcnn(2, frozen=False)
    with torch.inference_mode():
        ours, done = small(tmp_path, theirs.state_dict())
        same_levels(theirs, ours.network, images())
        assert done.counts["left"] == 20
        ours, done = small(tmp_path, theirs.state_dict(), settings={"norm": "batch"})
        same_levels(theirs, ours.network, images())
        assert done.counts["left"] == 0
        assert ours.network.state_dict()["backbone.body.bn1.num_batches_tracked"] == 1
    frozen = small_mask_rcnn(2)
    ours, done = small(tmp_path, frozen.state_dict(), settings={"norm": "batch"})
    fresh = [line for line in done.lines if not line.source]
    assert len(fresh) == 20
    assert all(line.name.endswith("num_batches_tracked") for line in fresh)
    with torch.inference_mode():
        same_levels(frozen, ours.network, images())


def test_the_epsilon_of_torchvision_is_compensated(tmp_path: Path) -> None:
    weights = small_mask_rcnn(2).state_dict()
    assert weights["backbone.body.bn1.running_var"].min() < 1e-5
    usual = as_frozen(small_mask_rcnn(2), copy.deepcopy(small_mask_rcnn(2)), eps=1e-5)
    with torch.inference_mode():
        ours, done = small(tmp_path, weights, norm_eps=1e-5)
        assert done.counts["re-made"] == 0
        same_levels(usual, ours.network, images())
        ours, done = small(tmp_path, weights)
        assert done.counts["re-made"] == 20
        same_levels(small_mask_rcnn(2), ours.network, images())
        with pytest.raises(AssertionError, match="not close"):
            same_levels(usual, ours.network, images())


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_images_need_no_more_channels(channels: int, tmp_path: Path) -> None:
    theirs = small_mask_rcnn(2)
    ours, done = small(tmp_path, theirs.state_dict(), settings={"image_channels": channels})
    assert ours.card.image_channels == channels
    stem = next(line for line in done.lines if line.name == "backbone.body.conv1.weight")
    assert stem.action == "re-made"
    assert stem.shape == (64, channels, 7, 7)
    grey = images()[:, :1]
    with torch.inference_mode():
        expected = theirs.backbone(grey.expand(-1, 3, -1, -1))
        for found, level in zip(
            ours.network(grey.expand(-1, channels, -1, -1)), expected.values(), strict=True
        ):
            close(found, level)


# ---- cell types ----------------------------------------------------------------------------------


def test_types_of_the_same_name_keep_their_rows(tmp_path: Path) -> None:
    theirs = small_mask_rcnn(4)
    weights = theirs.state_dict()
    ours, done = small(tmp_path, weights, types=("d", "new", "b"), file_types=("a", "b", "c", "d"))
    assert ours.card.type_names == ("d", "new", "b")
    made: Any = ours.network
    with torch.inference_mode():
        levels = theirs.backbone(images(1))
        heads, boxes = theirs.roi_heads, [torch.tensor([[8.0, 8.0, 60.0, 70.0]])]
        pooled = heads.box_roi_pool(levels, boxes, [SIZE])
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        found, moved = made.box_logits(0, made(images(1)), boxes, SIZE)
        close(found[:, [0, 1, 3]], logits[:, [0, 4, 2]])
        close(moved.reshape(4, 4)[[0, 1, 3]], deltas.reshape(5, 4)[[0, 4, 2]])
        assert not torch.isclose(found[:, 2, None], logits, atol=1e-4).any()
        pooled = heads.mask_roi_pool(levels, boxes, [SIZE])
        masks = heads.mask_predictor(heads.mask_head(pooled))
        found = made.mask_logits(made(images(1)), boxes, SIZE)
        close(found[:, [0, 1, 3]], masks[:, [0, 4, 2]])
    notes = {line.note for line in done.lines if ".predictor." in line.name} - {""}
    assert notes == {"rows of background, d, b kept, of new afresh"}


def test_of_90_types_the_names_are_cocos_else_they_are_numbered(tmp_path: Path) -> None:
    ours, _ = small(tmp_path, small_mask_rcnn(90).state_dict())
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    for own, known in zip(ours.card.type_names, names[1:], strict=True):
        assert own == known or (known == "N/A" and own.startswith("unused_"))
    ours, _ = small(tmp_path, small_mask_rcnn(3).state_dict())
    assert ours.card.type_names == ("type_1", "type_2", "type_3")


@pytest.mark.parametrize(
    ("types", "file_types", "found"),
    [
        ((), ("a", "b"), 2),
        ((), ("a", "b", "b"), "b"),
        (("a", "a"), (), "a"),
        (("a", ""), (), ""),
    ],
)
def test_impossible_types_are_refused(
    types: tuple[str, ...], file_types: tuple[str, ...], found: object, tmp_path: Path
) -> None:
    weights = small_mask_rcnn(3).state_dict()
    with refused(InputError, key="cell_types", found=found):
        small(tmp_path, weights, types=types, file_types=file_types)


def test_other_anchors_and_masks_for_all_types_start_afresh(tmp_path: Path) -> None:
    weights = small_mask_rcnn(3).state_dict()
    settings = {"anchor_ratios": [0.33, 0.5, 1, 2, 3], "boxes_by_type": False,
                "masks_by_type": False}  # fmt: skip
    ours, done = small(tmp_path, weights, settings=settings)
    fresh = {line.name for line in done.lines if line.note.startswith("afresh")}
    layers = ("rpn.head.cls_logits", "rpn.head.bbox_pred", "box_heads.0.predictor.bbox_pred",
              "mask_head.predictor.mask_fcn_logits")  # fmt: skip
    assert fresh == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    again, _ = small(tmp_path, weights, settings=settings)
    assert again.network.state_dict()["rpn.head.cls_logits.weight"].equal(
        ours.network.state_dict()["rpn.head.cls_logits.weight"]
    )


# ---- the account, and what is refused ------------------------------------------------------------


def test_every_tensor_is_accounted_for_once(tmp_path: Path) -> None:
    weights = small_mask_rcnn(3, frozen=False).state_dict()
    ours, done = small(tmp_path, weights, types=("cell",), settings={"image_channels": 1})
    assert sorted(line.source for line in done.lines) == sorted(weights)
    assert sorted(filter(None, (line.name for line in done.lines))) == sorted(
        ours.network.state_dict()
    )
    assert sum(done.counts.values()) == len(done.lines)
    made = ours.network.state_dict()
    for line in done.lines:
        if line.action in ("used", "renamed"):
            assert made[line.name].equal(weights[line.source])
            assert (line.action == "used") == (line.name == line.source)
    assert ours.card.provenance["imported"]["file"] == "weights.pth"
    assert "torchvision" in ours.card.provenance["versions"]


def test_another_architecture_names_the_first_mismatches(tmp_path: Path) -> None:
    weights = small_mask_rcnn(3).state_dict()
    with refused(ModelError, "backbone.fpn.inner_block", file="weights.pth"):
        small(tmp_path, weights, settings={"channels": 24})
    with refused(ModelError, "'box_heads.0.head.0.0.weight'", file="weights.pth"):
        small(tmp_path, weights, settings={"box_head": "conv"})
    with refused(ModelError, "'backbone.body.layer1.0.conv3.weight'", file="weights.pth"):
        small(tmp_path, weights, settings={"backbone": "resnet50"})
    # All tensors of the smaller network are in the larger one's file.
    deeper = small_mask_rcnn(3, body="resnet34").state_dict()
    with refused(ModelError, "backbone.body.layer1.2", file="weights.pth"):
        small(tmp_path, deeper)
    assert not list(tmp_path.glob("*.safetensors"))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    weights = dict(small_mask_rcnn(3).state_dict())
    bias = weights["rpn.head.cls_logits.bias"]
    weights["rpn.head.cls_logits.bias"] = torch.full_like(bias, torch.nan)
    with refused(ModelError, file="weights.pth", key="rpn.head.cls_logits.bias"):
        small(tmp_path, weights)


class Malicious:
    def __reduce__(self) -> Any:
        return (open, ("never", "w"))


def test_a_file_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(ModelError, file="weights.pth"):
        small(tmp_path, {"weight": Malicious()})  # type: ignore[dict-item]
    assert not Path("never").exists()


@pytest.mark.parametrize("source", ["detectron2", "mmdetection", "TorchVision", ""])
def test_only_torchvisions_layout_is_offered(source: str, tmp_path: Path) -> None:
    file = saved({}, tmp_path / "weights.pth")
    with refused(InputError, key="source", found=source, expected=("torchvision", "cellpose")):
        import_weights(file, load_recipe("torchvision_v1"), tmp_path / "o", source=source)


def test_other_methods_and_other_files_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    with refused(InputError, key="method", found="compact", expected="mask_rcnn"):
        import_weights(tmp_path / "weights.pth", load_recipe("compact"), out)
    with refused(InputError, file="notes.txt"):
        import_weights(tmp_path / "notes.txt", load_recipe("torchvision_v1"), out)
    with refused(ModelError, file="gone.pth"):
        import_weights(tmp_path / "gone.pth", load_recipe("torchvision_v1"), out)

"""Dense prediction with maps functions whose maps are known: tiles, flips, scales and blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import Channel, Float32, Representation
from bigkingxxl.decoding.components import Components
from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import SYMMETRIES, Resizing, Symmetry, Window, scaled_size, whole
from bigkingxxl.images import ArrayImage, Normalisation, PartOfImage
from bigkingxxl.inference.dense_predictor import DensePredictor, turn_vectors
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints
from bigkingxxl.settings import Settings
from tests.refusals import refused
from tests.support import soft_stack

SIZES = [(7, 5), (32, 32), (37, 53), (97, 101), (20, 130)]


class Slopes(Representation):
    """A foreground and a vector field; cells are connected regions of the foreground."""

    name: ClassVar[str] = "slopes"
    Settings: ClassVar[type[Settings]] = Settings

    @property
    def channels(self) -> tuple[Channel, ...]:
        return Channel("across", "column"), Channel("foreground"), Channel("down", "row")

    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,
        width: Float32 | None = None,
    ) -> Float32:
        raise NotImplementedError

    def loss(self, *, logits: Any, targets: Any) -> dict[str, Any]:
        raise NotImplementedError

    def type_layers(self, maps: Any) -> Any:
        raise NotImplementedError

    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        return Components(self.type_names).decode(maps[1:2])

    def type_weights(self, maps: Float32) -> Float32 | None:
        return None


def foreground(tiles: Float32) -> Float32:
    """A pointwise maps function for one cell type: bright pixels are cells."""
    return (1 / (1 + np.exp(4 - 4 * tiles[:, :1]))).astype(np.float32)


def slopes(tiles: Float32) -> Float32:
    """The foreground and the gradient of the image, which rotate with it."""
    padded = np.pad(tiles[:, 0], ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    return np.stack((across, foreground(tiles)[:, 0], down), axis=1).astype(np.float32)


def predictor(
    function: Any = foreground,
    representation: Representation | None = None,
    points: OperatingPoints | None = None,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> DensePredictor:
    return DensePredictor(
        function,
        representation or Components(("cell",)),
        normalisation=Normalisation(),
        settings=PredictionSettings.model_validate({"tile": 32, "overlap": 8, **(settings or {})}),
        points=points or OperatingPoints(),
        **options,
    )


def discs(size: tuple[int, int], spacing: int = 20, radius: float = 6) -> ArrayImage:
    """Bright discs on a dim background."""
    row, col = np.mgrid[: size[0], : size[1]]
    row, col = row % spacing - spacing // 2, col % spacing - spacing // 2
    inside = np.hypot(row, col) < radius
    return ArrayImage(np.where(inside, 100, 10).astype(np.float32))


def noise(size: tuple[int, int]) -> ArrayImage:
    return ArrayImage(np.random.default_rng(1).random(size, np.float32))


def masks_of(candidates: Candidates) -> list[bytes]:
    return sorted((mask > 127).tobytes() for mask in soft_stack(candidates))


def seen(image: ArrayImage) -> Float32:
    return Normalisation().apply(image.read(), image.statistics)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 3])
def test_tiled_is_untiled(size: tuple[int, int], batch: int) -> None:
    image = noise(size)
    maps = predictor(settings={"batch_size": batch}).maps(image)
    np.testing.assert_allclose(maps, foreground(seen(image)[None])[0], atol=1e-6)


@pytest.mark.parametrize("stride", [1, 16, 24])
@pytest.mark.parametrize("size", [*SIZES, (300, 700)])
def test_tiles_fit_the_stride_and_no_larger_than_need_be(
    size: tuple[int, int], stride: int
) -> None:
    shapes: list[tuple[int, ...]] = []

    def function(tiles: Float32) -> Float32:
        shapes.extend([tiles.shape[2:]] * len(tiles))
        return foreground(tiles)

    settings = {"tile": 512, "overlap": 64}
    predictor(function, stride=stride, settings=settings).maps(noise(size))
    largest = -(-512 // stride) * stride
    assert len(set(shapes)) == 1
    assert all(side % stride == 0 and side <= largest for side in shapes[0])
    assert len(shapes) == np.prod([1 if side <= largest else 2 for side in size])
    for side, length in zip(shapes[0], size, strict=True):
        parts = 1 if length <= largest else 2
        # Less context than a network was trained with would harm it.
        assert side < max(256, (length + 64 * (parts - 1)) / parts) + stride


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tta", ["mirror", "flips", "turns", "flips,turns"])
def test_flips_change_nothing_for_equivariant_maps(size: tuple[int, int], tta: str) -> None:
    image = noise(size)
    settings = {"tile": 160}
    plain = predictor(slopes, Slopes(("cell",)), settings=settings)
    flipped = predictor(slopes, Slopes(("cell",)), settings={**settings, "tta": tta})
    np.testing.assert_allclose(flipped.maps(image), plain.maps(image), atol=1e-6)
    assert masks_of(flipped.candidates(image)) == masks_of(plain.candidates(image))


def test_flips_are_averaged() -> None:
    def to_the_right(tiles: Float32) -> Float32:
        ramp = np.linspace(0, 1, tiles.shape[3], dtype=np.float32)
        return np.broadcast_to(ramp, (len(tiles), 1, *tiles.shape[2:])).copy()

    image = noise((32, 32))
    assert np.ptp(predictor(to_the_right).maps(image)) == 1
    for tta in ("mirror", "flips", "turns", "mirror,turns"):
        maps = predictor(to_the_right, settings={"tta": tta}).maps(image)
        np.testing.assert_allclose(maps, 0.5, atol=1e-6)


@pytest.mark.parametrize("size", [(90, 130), (1, 64), (64, 1)])
def test_scales_are_averaged_in_the_frame_of_the_image(size: tuple[int, int]) -> None:
    """A map of lengths belongs to one scale; the scale is decided by the mean of the three."""

    class Lengths(Slopes):
        @property
        def channels(self) -> tuple[Channel, ...]:
            return Channel("zoom"), Channel("length", "log_length", "identity")

    ramp = ArrayImage(np.add(*np.indices(size, np.float32)))
    steps: list[float] = []

    def as_large(tiles: Float32) -> Float32:
        """The number of pixels that the ramp counts as one pixel of the image."""
        axis = 1 if size[0] > size[1] else 2
        inner = tiles[0, 0, : max(size[0] // 2, 1), : max(size[1] // 2, 1)]
        step = float(np.median(np.abs(np.diff(inner, axis=axis - 1))))
        steps.append(step)
        zoom = steps[0] / step
        values = np.array([zoom, np.log2(zoom)], np.float32)[:, None, None]
        return np.broadcast_to(values, (1, 2, *tiles.shape[2:])).copy()

    settings = {"tta": "scales", "tile": 256}
    maps = predictor(as_large, Lengths(("cell",)), settings=settings).maps(ramp)
    assert maps.shape == (2, *size)
    assert len(steps) == 3
    np.testing.assert_allclose(maps[0], (1 + 0.8 + 1.25) / 3, rtol=0.02)
    np.testing.assert_allclose(maps[1], 0, atol=0.05)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_vectors_turn_with_the_image(symmetry: Symmetry) -> None:
    image = noise((9, 14)).pixels[None]
    channels = Slopes(("cell",)).channels
    moved = slopes(np.ascontiguousarray(symmetry.apply(image)))[0]
    back = symmetry.inverse
    turned = turn_vectors(np.array(back.apply(moved)), back, channels)
    np.testing.assert_allclose(turned, slopes(image)[0], atol=1e-6)


@pytest.mark.parametrize("block_pixels", [30**2, 50**2, 90 * 120])
def test_blocks_find_the_same_cells_as_the_whole(block_pixels: int) -> None:
    image = discs((110, 150))
    whole = predictor().candidates(image)
    blocks = predictor(block_pixels=block_pixels).candidates(image)
    assert len(whole) > 30
    assert masks_of(blocks) == masks_of(whole)
    np.testing.assert_allclose(np.sort(blocks.score), np.sort(whole.score), atol=0.02)


def test_intensities_are_those_of_the_whole_image_in_every_block() -> None:
    image = discs((110, 150))
    # barely visible on the right
    image.pixels[:, :, 75:] = 10 + (image.pixels[:, :, 75:] - 10) / 20
    whole = predictor().candidates(image)
    assert 10 < len(whole) < 25
    assert masks_of(predictor(block_pixels=60**2).candidates(image)) == masks_of(whole)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_blocks_at_another_scale(scale: float) -> None:
    image = discs((110, 150))
    whole = soft_stack(predictor(scale=scale).candidates(image)) > 127
    blocks = soft_stack(predictor(scale=scale, block_pixels=80**2).candidates(image)) > 127
    assert len(whole) == len(blocks) > 30
    for mask in whole:
        assert max((mask & other).sum() / (mask | other).sum() for other in blocks) > 0.8


def test_blocks_are_counted_in_network_pixels() -> None:
    largest = 0

    def function(tiles: Float32) -> Float32:
        nonlocal largest
        largest = max(largest, tiles.shape[2] * tiles.shape[3])
        return foreground(tiles)

    settings = {"tile": 512, "overlap": 0}
    found = predictor(function, settings=settings, scale=3.0, block_pixels=120**2)
    assert len(found.candidates(discs((110, 150)))) > 30
    assert largest <= 256**2  # the smallest tile; the whole image would be 330 x 450


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.0])
def test_results_are_in_the_frame_of_the_image(scale: float) -> None:
    image = discs((97, 121))
    expected = predictor().candidates(image)
    found = predictor(scale=scale).candidates(image)
    assert found.size == expected.size == (97, 121)
    assert len(found) == len(expected)
    masks = soft_stack(found) > 127
    for mask in soft_stack(expected) > 127:
        overlap = [(mask & other).sum() / (mask | other).sum() for other in masks]
        assert max(overlap) > 0.8


@pytest.mark.parametrize(
    ("own", "training", "chosen", "expected"),
    [
        (None, None, None, 1.5), ((2.0, 2.0), None, None, 1.5), (None, (1.0, 1.0), None, 1.5),
        # A pixel twice as long appears twice as large to the network.
        ((2.0, 2.0), (1.0, 1.0), None, 3.0), ((0.5, 0.5), (1.0, 1.0), None, 0.75),
        ((4.0, 1.0), (1.0, 1.0), None, 3.0), ((2.0, 2.0), (1.0, 1.0), 0.9, 0.9),
    ],
)  # fmt: skip
def test_scale_follows_the_pixel_size(
    own: Any, training: Any, chosen: float | None, expected: float
) -> None:
    image = ArrayImage(np.zeros((4, 4)), pixel_size_um=own)
    found = predictor(settings={"scale": 1.5}, training=TrainingImages(training), scale=chosen)
    assert found.scale_ratio(image) == pytest.approx(expected / 1.5)


def seen_by_decode(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, int], Any]]:
    """Collects the size of the maps that are decoded and the least area requested."""
    real, seen = Components.decode, list[tuple[tuple[int, int], Any]]()

    def decode(self: Components, maps: Float32, parameters: Any = None) -> Candidates:
        seen.append((maps.shape[1:], (parameters or {}).get("minimum_area")))
        return real(self, maps, parameters)

    monkeypatch.setattr(Components, "decode", decode)
    return seen


@pytest.mark.parametrize(
    ("scale", "relative", "size", "least"),
    [
        (1.5, 1.0, (60, 80), 20),  # decoded in the image's own pixels, here those of training
        (3.0, 2.0, (120, 160), 20),  # small cells: in pixels of training, finer than the image's
        (1.2, 0.8, (60, 80), 32),  # 20 / 0.8 ** 2 pixels of the image
        (0.75, 0.5, (45, 60), 45),  # large cells: in the network's, 1.5 times those of training
    ],
)
def test_decode_parameters_count_pixels_of_training(
    scale: float, relative: float, size: Any, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_by_decode(monkeypatch)
    points = OperatingPoints(default=OperatingPoint(decode={"minimum_area": 20}))
    found = predictor(points=points, settings={"scale": 1.5}, scale=scale)
    candidates = found.candidates(discs((60, 80)))
    assert seen == [(size, least)]
    assert candidates.scale_ratio == pytest.approx(relative)
    assert found.scale_of(candidates) == pytest.approx(scale)
    assert candidates.size == (60, 80)


@pytest.mark.parametrize(
    ("decode_scale", "size", "least"),
    [(1.0, (60, 80), 20), (1.25, (75, 100), 32), (4.0, (90, 120), 45)],  # at most the network's
)
def test_finer_maps_are_decoded_on_request(
    decode_scale: float, size: Any, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_by_decode(monkeypatch)
    points = OperatingPoints(default=OperatingPoint(decode={"minimum_area": 20}))
    looks = {"scale": 1.5, "decode_scale": decode_scale}
    candidates = predictor(points=points, settings=looks).candidates(discs((60, 80)))
    assert seen == [(size, least)]
    assert candidates.size == (60, 80)


def test_blocks_know_their_size() -> None:
    found = predictor(scale=1.3, block_pixels=60**2).candidates(discs((110, 150)))
    assert found.scale_ratio == pytest.approx(1.3)


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels.astype(np.uint16) * 257,
        lambda pixels: pixels / 255,
        lambda pixels: pixels * 3.7 + 11.5,
        lambda pixels: pixels * 1e-9,
        lambda pixels: pixels.astype(np.float64) * 1e20,
    ],
)
def test_the_unit_of_intensities_changes_nothing(change: Any) -> None:
    rng = np.random.default_rng(3)
    pixels = np.clip(discs((90, 120)).pixels[0] + rng.normal(0, 3, (90, 120)), 0, 255)
    pixels = pixels.astype(np.uint8)
    expected = predictor().candidates(ArrayImage(pixels))
    found = predictor().candidates(ArrayImage(change(pixels)))
    assert len(expected) > 15
    assert masks_of(found) == masks_of(expected)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_blank_images_have_no_cells(value: float) -> None:
    def never(tiles: Float32) -> Float32:
        raise AssertionError("a blank image needs no network")

    image = ArrayImage(np.full((40, 50), value, np.float32))
    found = predictor(never).candidates(image)
    assert (len(found), found.size, found.type_names) == (0, (40, 50), ("cell",))


def test_single_nonfinite_pixels_change_little() -> None:
    image, broken = discs((60, 60)), discs((60, 60))
    broken.pixels[0, 0, 0], broken.pixels[0, 59, 3] = np.nan, np.inf
    assert masks_of(predictor().candidates(broken)) == masks_of(predictor().candidates(image))


@pytest.mark.parametrize("channels", [2, 3])
def test_an_image_of_other_channels_is_refused(channels: int) -> None:
    image = ArrayImage(np.random.default_rng(0).random((channels, 20, 20)), "two.tif")
    with refused(ImageError, "two.tif", "--channel 0", key="channels", found=channels, expected=1):
        predictor(image_channels=1).candidates(image)


def typed(tiles: Float32) -> Float32:
    """Two types: bright cells are 'a', dark cells are 'b'."""
    return np.concatenate((foreground(tiles), foreground(-tiles)), axis=1)


@pytest.mark.parametrize("block_pixels", [10**6, 60**2])
@pytest.mark.parametrize(
    ("bright", "given_type", "found"), [(True, None, 1), (False, None, 0), (False, "a", 1)]
)
def test_parameters_are_those_of_the_type_the_image_votes_for(
    bright: bool, given_type: str | None, found: int, block_pixels: int
) -> None:
    pixels = np.random.default_rng(0).normal(100, 0.01, (200, 200)).astype(np.float32)
    pixels[170:182, 5:17] += 50 if bright else -50  # one cell, in a corner
    never = OperatingPoint(decode={"minimum_area": 10**6})
    points = OperatingPoints(by_type={"b": never})
    both = predictor(typed, Components(("a", "b")), points, cell_type=given_type,
                     block_pixels=block_pixels, settings={"tile": 64, "overlap": 16})  # fmt: skip
    assert len(both.candidates(ArrayImage(pixels))) == found


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("tta", ["none", "flips,scales"])
def test_a_block_has_the_maps_of_the_whole_image(scale: float, tta: str) -> None:
    def near_the_edge(tiles: Float32) -> Float32:
        """Depends on the whole tile, as networks do."""
        ramp = np.linspace(0, 1, tiles.shape[3], dtype=np.float32)
        shade: Float32 = ramp * tiles.mean(axis=(1, 2, 3), keepdims=True)
        return np.asarray(tiles[:, :1] + shade, np.float32)

    image, blocks = noise((300, 330)), ((128, 128), 16)
    settings = {"tile": 64, "overlap": 8, "tta": tta}
    model = predictor(near_the_edge, settings=settings, scale=scale, stride=4)
    everything = PartOfImage(image, whole(image.shape), blocks)
    window = Window(112, 0, 272, 144)  # the first block of the second row
    part = model.maps(PartOfImage(image, window, blocks))
    size = scaled_size(image.shape, scale)
    place = Resizing(image.shape, size).covering(window)
    np.testing.assert_allclose(part, model.maps(everything)[(slice(None), *place.slices)],
                               rtol=0, atol=1e-6)  # fmt: skip
    alone = model.maps(PartOfImage(image, window))
    assert np.abs(part - alone[:, : part.shape[1], : part.shape[2]]).max() > 1e-3


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_what_lies_over_a_seam_is_seen_once_for_both_blocks(scale: float) -> None:
    looks = list[tuple[int, ...]]()

    def counted(tiles: Float32) -> Float32:
        looks.extend([tile.shape for tile in tiles])
        return np.asarray(tiles[:, :1] * tiles.shape[3], np.float32)

    image, blocks = noise((300, 330)), ((128, 128), 16)
    model = predictor(counted, settings={"tile": 64, "overlap": 8}, scale=scale, stride=4)
    left, right = Window(0, 0, 144, 144), Window(0, 112, 144, 272)

    def seen(window: Window, name: str | None) -> tuple[Float32, int]:
        looks.clear()
        return model.maps(PartOfImage(image, window, blocks, name)), len(looks)

    alone = [seen(window, None) for window in (left, right)]
    together = [seen(window, "image") for window in (left, right)]
    other, times = seen(right, "other image")
    assert together[0][1] == alone[0][1]
    assert together[1][1] < alone[1][1] == times
    for (one, _), (two, _) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(other, together[1][0])


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_blocks_find_the_cells_of_the_whole_image(scale: float) -> None:
    image, blocks = discs((300, 330)), ((128, 128), 24)
    model = predictor(scale=scale, settings={"tile": 64, "overlap": 8})
    everything = model.candidates(PartOfImage(image, whole(image.shape), blocks))
    window = Window(104, 0, 280, 152)
    part = model.candidates(PartOfImage(image, window, blocks)).shift(104, 0, image.shape)
    inside = (part.boxes[:, :2] > [110, 4]).all(axis=1) & (part.boxes[:, 2:] < [274, 146]).all(
        axis=1
    )
    boxes = {tuple(box) for box in everything.boxes.tolist()}
    assert inside.sum() > 20
    assert {tuple(box) for box in part.boxes[inside].tolist()} <= boxes

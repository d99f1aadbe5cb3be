"""`_seg.npy` as Cellpose loads it, read without running any code in it."""

from __future__ import annotations

import os
import pathlib
import pickle
import pickletools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.cellpose import read_seg, write_seg
from tests.refusals import refused
from tests.support import Stack, instances_of, stacks

LABELS = np.zeros((9, 14), np.int32)
LABELS[1:5, 2:6], LABELS[4:8, 8:13] = 1, 2


def loaded(path: Path) -> dict[str, Any]:
    """What Cellpose's program does on opening the file."""
    content: dict[str, Any] = np.load(path, allow_pickle=True).item()
    return content


def saved(path: Path, content: object) -> Path:
    """What Cellpose does on saving."""
    np.save(path, content, allow_pickle=True)  # type: ignore[arg-type]
    return path


@given(stack=stacks())
def test_masks_written_are_masks_read(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("seg") / "x_seg.npy"
    cells = instances_of(stack)
    write_seg(path, cells)
    masks = loaded(path)["masks"]
    assert np.array_equal(masks, cells.label_map())
    found = read_seg(path)
    shown = [label for label in range(1, len(cells) + 1) if (masks == label).any()]
    assert len(found) == len(shown)
    for index, label in enumerate(shown):
        assert np.array_equal(found.mask(index), masks == label)


def test_every_key_that_cellpose_reads(tmp_path: Path) -> None:
    image = tmp_path / "image.tif"
    write_seg(tmp_path / "image_seg.npy", Instances.from_label_map(LABELS), image)
    content = loaded(tmp_path / "image_seg.npy")
    outlines = LABELS.copy()
    outlines[2:4, 3:5] = outlines[5:7, 9:12] = 0
    assert np.array_equal(content["outlines"], outlines)
    assert content["outlines"].dtype == content["masks"].dtype == np.uint16
    assert content["chan_choose"] == [0, 0]
    assert content["filename"] == str(image)
    assert content["ismanual"].tolist() == [False] * content["masks"].max()
    assert content["flows"] == []
    assert f"{content['est_diam']:0.1f}" == "4.8"  # discs of 16 and 20 pixels


def test_a_file_contains_only_arrays_and_plain_values(tmp_path: Path) -> None:
    write_seg(tmp_path / "x_seg.npy", Instances.from_label_map(LABELS), tmp_path / "x.tif")
    with (tmp_path / "x_seg.npy").open("rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        codes = [(code.name, value) for code, value, _ in pickletools.genops(stream)]
    # The names that every numpy knows: `numpy._core` came with numpy 1.26.
    assert [value for name, value in codes if name == "GLOBAL"] == [
        "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype",
    ]  # fmt: skip
    assert not any(name in ("STACK_GLOBAL", "INST", "NEWOBJ") for name, _ in codes)


def test_the_same_cells_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_seg(tmp_path / name, Instances.from_label_map(LABELS))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(("count", "dtype"), [(700, np.uint16), (65_534, np.uint16),
                                              (65_600, np.uint32)])  # fmt: skip
def test_more_than_255_cells(tmp_path: Path, count: int, dtype: type) -> None:
    labels = np.arange(1, count + 1, dtype=np.int32).reshape(2, -1)
    write_seg(tmp_path / "x_seg.npy", Instances.from_label_map(labels))
    content = loaded(tmp_path / "x_seg.npy")
    assert content["masks"].dtype == dtype
    assert len(content["ismanual"]) == content["masks"].max() == count
    assert np.array_equal(read_seg(tmp_path / "x_seg.npy").label_map(), labels)


def test_no_cells(tmp_path: Path) -> None:
    write_seg(tmp_path / "x_seg.npy", Instances.empty((5, 6)))
    content = loaded(tmp_path / "x_seg.npy")
    assert (content["masks"].shape, content["masks"].max()) == ((5, 6), 0)
    assert content["est_diam"] > 0
    found = read_seg(tmp_path / "x_seg.npy")
    assert (len(found), found.size) == (0, (5, 6))


def as_cellpose_writes(**changes: Any) -> dict[str, Any]:
    flows = [np.zeros((1, 9, 14, 3), np.uint8), np.zeros((1, 9, 14), np.uint8), [],
             np.asfortranarray(np.ones((3, 9, 14), np.float32)), [[]]]  # fmt: skip
    return {
        "outlines": LABELS.astype(np.uint16), "colors": np.ones((2, 3), ">i4"),
        "masks": LABELS.astype(np.uint16), "chan_choose": [0, 0], "filename": "/images/a.tif",
        "flows": flows, "ismanual": np.zeros(2, bool), "manual_changes": [["today", "added", [1]]],
        "model_path": 0, "flow_threshold": 0.4, "normalize_params": {"lowhigh": None, "tile": True},
        "restore": None, "ratio": 1.0, "diameter": np.float64(17.5), **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        as_cellpose_writes(),
        as_cellpose_writes(masks=LABELS[None].astype(np.uint32)),
        as_cellpose_writes(masks=np.asfortranarray(LABELS)),
        as_cellpose_writes(masks=LABELS.astype(">u2")),
        as_cellpose_writes(masks=LABELS - 1, outlines=LABELS - 1),  # the first versions' background
        as_cellpose_writes(outlines=[np.zeros((4, 2)), np.zeros((9, 2))]),
        as_cellpose_writes(filename=pathlib.PurePosixPath("/images/a.tif")),
        as_cellpose_writes(filename=np.str_("a.tif"), names=np.array(["a", "µ"])),
        as_cellpose_writes(zdraw=np.array([None, [1, 2]], object), diameter=np.nan),
    ],
)
def test_files_of_cellpose_itself(tmp_path: Path, content: dict[str, Any]) -> None:
    found = read_seg(saved(tmp_path / "x_seg.npy", content))
    assert np.array_equal(found.label_map(), LABELS)
    assert (found.type_names, found.score) == (("cell",), None)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_files_of_older_versions_of_numpy(tmp_path: Path, protocol: int) -> None:
    with (tmp_path / "x_seg.npy").open("wb") as stream:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(stream, header)
        pickle.dump(np.array(as_cellpose_writes(), object), stream, protocol)
    content = (tmp_path / "x_seg.npy").read_bytes()
    # Before version 2 numpy's inner modules had another name.
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    if protocol < 4:  # from then on texts have their lengths before them
        (tmp_path / "x_seg.npy").write_bytes(older)
    assert np.array_equal(read_seg(tmp_path / "x_seg.npy").label_map(), LABELS)


class Touches:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Evaluates(Touches):
    def __reduce__(self) -> Any:
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


class Calls(Touches):
    """Does so through something harmless that calls its argument."""

    def __reduce__(self) -> Any:
        return np.apply_along_axis, (os.mkdir, 0, np.array([str(self.path)]))


@pytest.mark.parametrize(
    ("kind", "named"),
    [(Touches, ".system"), (Evaluates, "builtins.eval"), (Calls, ".apply_along_axis")],
)
@pytest.mark.parametrize("where", ["value", "key", "list", "array", "instead"])
def test_a_file_with_objects_is_refused_and_not_run(
    tmp_path: Path, kind: type[Touches], named: str, where: str
) -> None:
    harm = tmp_path / "harm"
    bad = kind(harm)
    contents: dict[str, Any] = {
        "value": as_cellpose_writes(model=bad),
        "key": {(bad,): 1, "masks": LABELS},
        "list": as_cellpose_writes(flows=[[bad]]),
        "array": as_cellpose_writes(flows=np.array([bad, None])),
        "instead": bad,
    }
    content = contents[where]
    path = saved(tmp_path / "x_seg.npy", content)
    with refused(FormatError, named, file=path):
        read_seg(path)
    assert not harm.exists()
    if kind is not Calls:  # the file is as malicious as it looks
        loaded_by_others = np.load(path, allow_pickle=True)
        assert loaded_by_others is not None
        assert harm.exists()


def raw(path: Path, content: bytes) -> Path:
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        stream.write(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"cnumpy\nndarray\n(I9\ntR.",  # called, and not handed on
        b"cnumpy\ndtype\n}S'made'\nI1\nsb.",  # a class of the reader's, changed
        b"cnumpy.core.multiarray\n_reconstruct\n(N}S'__setstate__'\nI1\nstb.",
        b"\x82\x01.",  # a registered extension
        b"P1\n.",  # a persistent object
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRS'x'\ntR.",
        b"]q\x00h\x00a.",  # a list within itself
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f",  # a text longer than any memory
        b"Nr\xff\xff\xff\xff0N.",  # an index beyond any memory
        b"",
        b".",
    ],
)
def test_pickles_made_by_hand(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"x_seg\.npy"):
        read_seg(raw(tmp_path / "x_seg.npy", content))
    # The reader is unchanged.
    write_seg(tmp_path / "y_seg.npy", Instances.from_label_map(LABELS))
    assert np.array_equal(read_seg(tmp_path / "y_seg.npy").label_map(), LABELS)


def test_a_list_of_lists_of_lists_is_read_once(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep, deep]
    start = time.process_time()
    read_seg(saved(tmp_path / "x_seg.npy", as_cellpose_writes(flows=deep)))
    assert time.process_time() - start < 5  # and not 2 to the 60th times


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path / "x_seg.npy", as_cellpose_writes())
    content = path.read_bytes()
    refused = 0
    for place in range(130, len(content), 53):
        for broken in (content[:place], content[:place] + b"\xff" + content[place + 1 :]):
            path.write_bytes(broken)
            try:
                read_seg(path)
            except FormatError:
                refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (np.zeros((3, 4)), {"found": "float64"}),
        ([1, 2, 3], {"found": "int64"}),
        (np.array([{"masks": LABELS}], object), {"found": "object"}),
        (None, {}),
        ({"flows": []}, {"key": "masks"}),
        ({"masks": LABELS / 2}, {"key": "masks"}),
        ({"masks": [[1, 2], [3]]}, {"key": "masks"}),
        ({"masks": np.zeros((3, 9, 14), int)}, {"key": "masks", "found": (3, 9, 14)}),
        ({"masks": np.zeros((0, 14), int)}, {"key": "masks", "found": (0, 14)}),
        ({"masks": LABELS - 5}, {"key": "masks", "found": -5}),
        (
            {"masks": LABELS.astype(np.uint32) * 2_000_000_000},
            {"key": "masks", "found": 4_000_000_000},
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, fields: dict[str, Any]) -> None:
    path = saved(tmp_path / "x_seg.npy", content)
    with refused(FormatError, file=path, **fields) as error:
        read_seg(path)
    assert str(path) in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with refused(InputError, file="x_seg.npy"):
        read_seg(tmp_path / "x_seg.npy")
    (tmp_path / "x_seg.npy").write_bytes(b"no numpy")
    with refused(FormatError, file="x_seg.npy"):
        read_seg(tmp_path / "x_seg.npy")

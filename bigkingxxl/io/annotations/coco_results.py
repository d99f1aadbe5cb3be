"""Read and write COCO results files: scored masks that may overlap.

Source: cocodataset.org, "Results format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError
from bigkingxxl.files import whole_file
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco_annotations import CocoSet, Size
from bigkingxxl.io.annotations.coco_segments import (
    SegmentError,
    read_json,
    read_segments,
    segments_of,
    with_pixels,
)

HALF = 128  # the first value of a soft mask that is closer to 1 than to 0
LARGEST_CATEGORY = int(np.iinfo(np.int16).max)


def masks_of(candidates: Candidates) -> Instances:
    """Threshold candidates at a probability of 0.5; those without pixels are dropped.

    They may overlap; each has its score and its most probable type ('cell' if the model knows
    none).
    """
    owner, row, col = candidates.pixels()
    sure = candidates.probability >= HALF
    kinds = candidates.type_probability
    names = (UNTYPED,) if kinds is None else candidates.type_names
    return with_pixels(
        Instances.from_pixels(
            owner[sure],
            (row * candidates.size[1] + col)[sure],
            len(candidates),
            candidates.size,
            cell_type=None if kinds is None else kinds.argmax(axis=1),
            type_names=names,
            score=candidates.score,
        )
    )


def write_results(
    path: Path,
    candidates_by_id: Mapping[str, Candidates | Instances],
    *,
    coco: CocoSet | None = None,
) -> None:
    """Write a COCO results file with every candidate above 0.5, its score and its category.

    Without `coco`, an image is named by its id as text, and categories count from 1 in the order of
    the type names. With it, both are those of that file (its first category for cells of unknown
    type). Each result also names its category.

    Raises:
        ValueError: Cells have no scores, or a type that `coco` does not have.
        OutputError: The file cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        before = "[\n"
        for image_id, candidates in candidates_by_id.items():
            masks = candidates if isinstance(candidates, Instances) else masks_of(candidates)
            for result in _results(image_id, masks, coco):
                stream.write(before + json.dumps(result))
                before = ",\n"
        stream.write("[]\n" if before == "[\n" else "\n]\n")


def _results(image_id: str, masks: Instances, coco: CocoSet | None) -> Iterator[dict[str, Any]]:
    if masks.score is None:
        raise ValueError(f"the cells of image {image_id} have no scores")
    masks = with_pixels(masks)
    # The shortest text that restores the same float32.
    scores = [float(str(score)) for score in np.asarray(masks.score, np.float32)]
    names = [name or UNTYPED for name in masks.type_names]
    numbers = {name: place for place, name in enumerate(names, start=1)}
    if coco is not None:
        numbers = {UNTYPED: coco.category_ids[0]}
        numbers |= dict(zip(coco.type_names, coco.category_ids, strict=True))
    for (segment, box, _, kind), score in zip(segments_of(masks), scores, strict=True):
        name = names[kind]
        if name not in numbers:
            raise ValueError(f"the type '{name}' is none of {list(numbers)}")
        yield {
            "image_id": image_id if coco is None else coco.image_ids[image_id],
            "category_id": numbers[name],
            "category_name": name,
            "segmentation": segment,
            "bbox": box,
            "score": score,
        }


def read_results(
    json_path: Path,
    known: CocoSet | Mapping[str, Size],
    type_names: Sequence[str] | None = None,
    *,
    categories: Mapping[int, str] | None = None,
) -> dict[str, Instances]:
    """Read a COCO results file: scored masks by image id, which may overlap.

    Images are identified by COCO's ids if `known` is a `CocoSet`, else by their ids as text (with
    or without ending and folder) or as the number that the id is. A category is identified by its
    `category_name` if there is one, else by its number: that of the `CocoSet`, or counted from 1 in
    the order of `type_names`. Names that are not among the expected types are appended; if no name
    matches, those of the file are used alone (a model of other types).

    Args:
        json_path: The file.
        known: The annotated images, or their sizes (H, W).
        type_names: The expected types; by default those of the `CocoSet`, else those of the file.
        categories: The type of each category id, which overrides everything else.

    Returns:
        The masks; their score is None if no result of the file has one.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not a list of results, or a result names an unknown image or category,
            has no mask or a malformed mask, or has no score although others have one.
    """
    path = Path(json_path)
    results = read_json(path)
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise FormatError(f"{path} is not a list of COCO results", file=path)
    reader = _ResultReader(path, known, type_names, results, categories)
    by_image: dict[str, list[int]] = {}
    for place, result in enumerate(results):
        by_image.setdefault(reader.image(result, place), []).append(place)
    return {image_id: reader.instances(image_id, by_image[image_id]) for image_id in by_image}


class _ResultReader:
    """The context for interpreting results: images, sizes and categories."""

    def __init__(
        self,
        path: Path,
        known: CocoSet | Mapping[str, Size],
        type_names: Sequence[str] | None,
        results: list[dict[str, Any]],
        categories: Mapping[int, str] | None = None,
    ) -> None:
        self.path, self.results = path, results
        self.scored = any("score" in result for result in results)
        if isinstance(known, CocoSet):
            self.sizes: Mapping[str, Size] = known.sizes
            self.names = {number: name for name, number in known.image_ids.items()}
            expected, numbered = known.type_names, known.type_of
        else:
            self.sizes, self.names = known, {}
            expected = tuple(type_names or ())
            if not expected and categories is None:
                expected = _numbered_types(path, results)
            numbered = {place + 1: place for place in range(len(expected))}
        if categories is not None:
            expected = tuple(dict.fromkeys(categories.values()))
            numbered = {number: expected.index(name) for number, name in categories.items()}
        self.type_names = _all_types(expected, results)
        self.by_name = {name: place for place, name in enumerate(self.type_names)}
        self.places = {
            number: self.by_name[expected[place]]
            for number, place in numbered.items()
            if expected[place] in self.by_name
        }

    def image(self, result: dict[str, Any], place: int) -> str:
        """Return the id of a result's image."""
        number = result.get("image_id")
        if isinstance(number, int | str) and not isinstance(number, bool):
            name = self.names.get(number, self._known_as(number))
            if name is not None and name in self.sizes:
                return name
        example = next(iter(self.names or self.sizes), "")
        raise FormatError(
            f"{self.path}: result {place} names the image {number!r}, which is unknown, expected "
            f"one such as {example!r} (where a tool numbered the images itself, `bigkingxxl "
            "compare` takes its COCO file: --coco-file FILE)",
            file=self.path,
            key="image_id",
            found=number,
        )

    def _known_as(self, number: int | str) -> str | None:
        """Return the image that a result refers to, without a COCO file that numbers images."""
        text = str(number)
        within = PurePosixPath(text.replace("\\", "/"))
        for name in (text, str(within.with_suffix("")) if within.name else text, within.stem):
            if name in self.sizes:
                return name
        # Tools that convert a name of digits to a number lose its leading zeros.
        return self._by_number.get(number) if isinstance(number, int) else None

    @cached_property
    def _by_number(self) -> dict[int, str]:
        found: dict[int, list[str]] = {}
        for name in self.sizes:
            if name.isdecimal():
                found.setdefault(int(name), []).append(name)
        return {number: names[0] for number, names in found.items() if len(names) == 1}

    def instances(self, image_id: str, places: Sequence[int]) -> Instances:
        """Return the scored masks of one image."""
        results = [self.results[place] for place in places]
        kinds = [self._type(*each) for each in zip(results, places, strict=True)]
        scores = None
        if self.scored:
            scores = [self._score(*each) for each in zip(results, places, strict=True)]
        segments = [result.get("segmentation") for result in results]
        try:
            instances = read_segments(
                segments,
                self.sizes[image_id],
                cell_type=np.array(kinds, np.int16),
                type_names=self.type_names,
                score=None if scores is None else np.array(scores, np.float32),
            )
        except SegmentError as error:
            place = places[error.index]
            raise FormatError(
                f"{self.path}: result {place} has {error}", file=self.path, key=f"result {place}"
            ) from error
        return with_pixels(instances)

    def _type(self, result: dict[str, Any], place: int) -> int:
        name, number = result.get("category_name"), result.get("category_id")
        if isinstance(name, str) and name:
            return self.by_name[name]
        if isinstance(number, int) and number in self.places:
            return self.places[number]
        raise FormatError(
            f"{self.path}: result {place} names the category id {number}, expected one of "
            f"{list(self.places)} ({', '.join(self.type_names)}); `bigkingxxl compare` takes a "
            "tool's own numbers: --categories 0=astro,1=cort",
            file=self.path,
            key="category_id",
            found=number,
            expected=tuple(self.places),
        )

    def _score(self, result: dict[str, Any], place: int) -> float:
        score = result.get("score")
        if (
            isinstance(score, bool)
            or not isinstance(score, int | float)
            or not math.isfinite(score)
        ):
            raise FormatError(
                f"{self.path}: result {place} has the score {score!r}, expected a number",
                file=self.path,
                key="score",
                found=score,
            )
        return float(score)


def _all_types(expected: tuple[str, ...], results: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return the types of a results file: the expected ones, then any others in it."""
    names = [result.get("category_name") for result in results]
    named = tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
    others = tuple(name for name in named if name not in expected)
    is_foreign = len(others) == len(named) > 0 and all(names)
    return others if is_foreign else expected + others


def _numbered_types(path: Path, results: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return the types that a results file names, in order of number; gaps are 'type <n>'."""
    names: dict[int, str] = {}
    for place, result in enumerate(results):
        number = result.get("category_id")
        if not isinstance(number, int) or number < 1 or number > LARGEST_CATEGORY:
            raise FormatError(
                f"{path}: result {place} names the category id {number}, expected 1 or more",
                file=path,
                key="category_id",
                found=number,
            )
        name = result.get("category_name")
        names.setdefault(number, name if isinstance(name, str) and name else f"type {number}")
    if not names:
        return (UNTYPED,)
    return tuple(names.get(n, f"type {n}") for n in range(1, max(names) + 1))

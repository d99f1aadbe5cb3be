"""The registry of the models that come with the package.

A model consists of a file, a card (Markdown) and a licence, all in `bigkingxxl/weights`; two names
may share a file. Names of earlier versions are still accepted for a while.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

log = logging.getLogger(__name__)

FREE = "Apache-2.0"
RESEARCH = "research and other non-commercial use"


@dataclass(frozen=True)
class ShippedModel:
    """A model of the package.

    Attributes:
        name: The name that commands accept.
        purpose: What the model is for, in one sentence.
        weights: The file name of the weights.
        licence: The terms, in a few words.
        licence_text: The file name of the terms; None if they are those of the code.
        data: The training data.
    """

    name: str
    purpose: str
    weights: str
    licence: str
    licence_text: str | None
    data: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The path of the weights."""
        return _place(self.weights)

    @property
    def card(self) -> Path:
        """The path of the model card, a Markdown page on strengths, limits, training and scores."""
        return _place(f"CARD-{self.name}.md")


SARTORIUS_IMAGES = "Sartorius cell instance segmentation challenge"
SIMULATED = "simulated images"

SHIPPED = {
    model.name: model
    for model in (
        ShippedModel(
            "bundled",
            "The default, for cells and nuclei of any laboratory, above all without stains. It "
            "measures how large the cells are.",
            "bundled.onnx", RESEARCH, "LICENSE-bundled.txt",
            (SARTORIUS_IMAGES, "20 data sets of other laboratories (see the card)", SIMULATED),
        ),
        ShippedModel(
            "sartorius",
            "The strongest single model for the Sartorius challenge: astrocytes, cortical neurons "
            "and SH-SY5Y cells in phase contrast.",
            "sartorius.onnx", RESEARCH, "LICENSE-sartorius.txt",
            (SARTORIUS_IMAGES, "LIVECell (without its annotations)", SIMULATED),
        ),
        ShippedModel(
            "open",
            "Free for all uses: cells, bacteria and nuclei, trained on simulated images and "
            "seven data sets that may be used for any purpose.",
            "open.onnx", FREE, None,
            ("seven data sets under CC0, MIT or BSD-3 (see the card)", SIMULATED),
        ),
    )
}  # fmt: skip
EARLIER_NAMES = {"synthetic": "open"}


def shipped_model(name: str) -> ShippedModel | None:
    """Return the model with this name, or None; an earlier name is accepted with a notice."""
    if name in EARLIER_NAMES:
        _announce_new_name(name)
        name = EARLIER_NAMES[name]
    return SHIPPED.get(name)


def name_of(path: Path) -> str:
    """Return the name of the shipped model in this file, or the path of another file."""
    resolved = path.resolve()
    names = (each.name for each in SHIPPED.values() if each.path.resolve() == resolved)
    return next(names, str(path))


@cache
def _announce_new_name(name: str) -> None:
    """Announce the new name of a model, once per process."""
    log.warning(
        "the model '%s' is now called '%s'; the old name will be removed", name, EARLIER_NAMES[name]
    )


def _place(file: str) -> Path:
    return Path(str(resources.files("bigkingxxl.weights") / file))

"""Ensembles of models, combined according to the cell types that each model knows.

- Models with the same types are fused, whatever their methods: see `fusion.fuse`. A model whose
  only type is 'cell' knows no types; it takes part everywhere and does not vote on the type.
- Models of one type each form an ensemble by type. All of them predict the image, its type is
  voted, and only the candidates of the models of that type (and of models of all types or none) are
  fused. A model of one type is certain of that type whatever it finds. Its vote is therefore the
  sum of score x area over the cells that it would select alone with its own operating point, times
  its weight. Several models of one type are fused before they vote, with their mean weight. If the
  ensemble contains a model of all types, only its candidates vote, as in `selection.image_type`.
- If each cell has a type of its own (`type_vote` 'cell'), there is no vote: the models of one type
  count together as one model of all types, and the mask NMS of the selection decides between them.

A model that knows several types may lack the absence of a type (the cells of none of them): it
counts as one that knows all types, and finds no such cells.

Other combinations of types are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource, PartOfImage, busy_windows
from bigkingxxl.inference.fusion import checked_weights, fuse
from bigkingxxl.inference.predictor import ImageContext, Predictor, image_context_of, predict_in
from bigkingxxl.inference.selection import image_type, select
from bigkingxxl.instances import NO_TYPE, UNTYPED
from bigkingxxl.operating_points import OperatingPoints, TypeVote
from bigkingxxl.settings import nearest

SAMPLE_SIDE = 1024  # the side of the windows of a large image that vote on its type


@dataclass(frozen=True, eq=False)
class Member:
    """A model of an ensemble.

    Attributes:
        predictor: The model.
        type_names: The cell types that it knows.
        points: Its own operating points, which a model of one type uses to vote.
        weight: Its weight, above 0.
    """

    predictor: Predictor
    type_names: tuple[str, ...] = (UNTYPED,)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    weight: float = 1.0


class Ensemble:
    """Several models as one `Predictor`; see the module for how they are combined.

    The scale ratio of the candidates is that of the first model, or of the first model of the voted
    type. They are selected with the operating points of that model.

    Args:
        members: The models, at least one.
        type_vote: Whether each image or each cell has a type.
        cell_type: The cell type of the images, if known; models of other types are not run.

    Raises:
        InputError: There are no members, a weight is not above 0, the types cannot be combined, or
            no member knows `cell_type`.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        type_vote: TypeVote = "image",
        cell_type: str | None = None,
    ) -> None:
        checked_weights(len(members), [member.weight for member in members])
        self.members = tuple(members)
        self.type_names = joint_types([member.type_names for member in members])
        self.type_vote, self.cell_type = type_vote, cell_type
        if cell_type is not None and cell_type not in self.type_names:
            hint = nearest(cell_type, self.type_names)
            raise InputError(
                f"no model of the ensemble knows a cell type '{cell_type}'{hint}",
                key="cell_type",
                found=cell_type,
            )

    @property
    def is_by_type(self) -> bool:
        """Whether some models know only one of several types."""
        return any(self._only_type(member) for member in self.members)

    @property
    def scale(self) -> float | None:
        """Network pixels per image pixel, if the models were given such a scale."""
        scale: float | None = getattr(self.members[0].predictor, "scale", None)
        return scale

    def candidates(self, source: ImageSource) -> Candidates:
        """Predict an image; see `Predictor.candidates`."""

        @cache
        def candidates_of(member: Member) -> Candidates:
            return self._predict_member(member, source)

        chosen = self.cell_type or (self._voted(candidates_of) if self._votes else None)
        return self._joined(candidates_of, chosen)

    @property
    def _votes(self) -> bool:
        """Whether a vote on the image decides which models count."""
        return self.is_by_type and self.type_vote == "image" and self.cell_type is None

    def image_context(self, source: ImageSource) -> ImageContext:
        """Judge an image; see `PartwisePredictor.image_context`. The type is voted on samples."""
        contexts = [image_context_of(member.predictor, source) for member in self.members]
        chosen = self.cell_type
        if self._votes:
            parts = [PartOfImage(source, place) for place in busy_windows(source, SAMPLE_SIDE)]

            @cache
            def candidates_of(member: Member) -> Candidates:
                context = contexts[self.members.index(member)]
                found = [
                    self._own(member, predict_in(member.predictor, part, context)).shift(
                        part.window.row0, part.window.col0, source.shape
                    )
                    for part in parts
                ]
                return Candidates.concatenate(found)

            chosen = self._voted(candidates_of)
        return {"members": contexts, "cell_type": chosen}

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        """Predict a part of an image; see `PartwisePredictor.candidates_in`."""

        @cache
        def candidates_of(member: Member) -> Candidates:
            own = context["members"][self.members.index(member)]
            return self._own(member, predict_in(member.predictor, source, own))

        return self._joined(candidates_of, context["cell_type"])

    def _joined(
        self, candidates_of: Callable[[Member], Candidates], chosen: str | None
    ) -> Candidates:
        """Combine the candidates of all models.

        Args:
            candidates_of: Returns the candidates of a model.
            chosen: The type of the image, if it decides which models count.
        """
        if not self.is_by_type:
            return self._fused(self.members, candidates_of)
        if chosen is None:
            return self._cell_by_cell(candidates_of)
        members = [each for each in self.members if self._only_type(each) in (None, chosen)]
        first = next(each for each in members if chosen in each.type_names)
        fused = self._typed(self._fused(members, candidates_of), chosen)
        return _sized_as(fused, candidates_of(first))

    def _only_type(self, member: Member) -> str | None:
        """Return the type of a model that knows only one of several types, else None."""
        is_one = len(member.type_names) == 1 < len(self.type_names)
        is_one &= member.type_names != (UNTYPED,)
        return member.type_names[0] if is_one else None

    def _knows_all(self, member: Member) -> bool:
        return is_whole(member.type_names, self.type_names)

    def _predict_member(self, member: Member, source: ImageSource) -> Candidates:
        """Run a model; only models of all types contribute type probabilities."""
        return self._own(member, member.predictor.candidates(source))

    def _own(self, member: Member, found: Candidates) -> Candidates:
        """Remove type probabilities from candidates of a model that does not know all types."""
        if self._knows_all(member):
            return found
        return replace(found, type_probability=None, type_names=())

    def _fused(
        self, members: Sequence[Member], candidates_of: Callable[[Member], Candidates]
    ) -> Candidates:
        return fuse([candidates_of(each) for each in members], [each.weight for each in members])

    def _typed(self, found: Candidates, cell_type: str) -> Candidates:
        """Assign one of the ensemble's types to the candidates with certainty."""
        shares = np.zeros((len(found), len(self.type_names)), np.float32)
        shares[:, self.type_names.index(cell_type)] = 1
        return replace(found, type_probability=shares, type_names=self.type_names)

    def _of_type(self, cell_type: str) -> list[Member]:
        return [each for each in self.members if self._only_type(each) == cell_type]

    def _voted(self, candidates_of: Callable[[Member], Candidates]) -> str:
        """Vote on the type of the image."""
        knowing = [each for each in self.members if self._knows_all(each)]
        knowing = [each for each in knowing if candidates_of(each).type_probability is not None]
        if knowing:
            found = self._fused(knowing, candidates_of)
            return found.type_names[image_type(found)]
        votes = [self._vote(name, candidates_of) for name in self.type_names]
        return self.type_names[int(np.argmax(votes))]

    def _vote(self, cell_type: str, candidates_of: Callable[[Member], Candidates]) -> float:
        """Return the vote of the models of one type, in pixels."""
        members = self._of_type(cell_type)
        found = self._typed(self._fused(members, candidates_of), cell_type)
        cells = select(found, members[0].points, cell_type=cell_type)
        claimed = float((np.asarray(cells.score) * cells.areas()).sum())
        return claimed * float(np.mean([each.weight for each in members]))

    def _cell_by_cell(self, candidates_of: Callable[[Member], Candidates]) -> Candidates:
        """Combine the candidates of all models, each with a type of its own."""
        names = [name for name in self.type_names if self._of_type(name)]
        own = [self._typed(self._fused(self._of_type(name), candidates_of), name) for name in names]
        others = [each for each in self.members if self._only_type(each) is None]
        together = sum(each.weight for each in self.members if each not in others) / len(names)
        fused = fuse(
            [Candidates.concatenate(own), *(candidates_of(each) for each in others)],
            [together, *(each.weight for each in others)],
        )
        return _sized_as(fused, candidates_of(self.members[0]))


def _sized_as(found: Candidates, model: Candidates) -> Candidates:
    """Return the candidates with the scale ratio and cell diameter of a model's prediction."""
    return replace(found, scale_ratio=model.scale_ratio, cell_diameter=model.cell_diameter)


def is_whole(names: Collection[str], every: Collection[str]) -> bool:
    """Return whether a model with some types knows all types, possibly but cells without a type."""
    return set(every) - set(names) <= ({NO_TYPE} if len(names) > 1 else set())


def joint_types(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the joint cell types, ordered as in a model that knows all of them, else sorted.

    Args:
        sets: The types that each model knows.

    Raises:
        InputError: The types cannot be combined; see the module.
    """
    typed = [names for names in sets if names not in ((), (UNTYPED,))]
    every = {name for names in typed for name in names}
    whole = [names for names in typed if set(names) == every]
    if any(len(names) > 1 and not is_whole(names, every) for names in typed):
        shown = " and ".join(
            ", ".join(name or "cells without a type" for name in names)
            for names in dict.fromkeys(typed)
        )
        raise InputError(
            f"models of different cell types cannot be joined ({shown}), expected the same types, "
            "or one type a model",
            key="cell_types",
        )
    if not typed:
        return (UNTYPED,)
    return whole[0] if whole else tuple(sorted(every))

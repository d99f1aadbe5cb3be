"""Several models as one. How they are joined follows from the cell types that each knows:

- Models of the same types, whatever their kinds, are fused: see `fusion.fuse`. A model whose only
  type is 'cell' knows no types; it takes part everywhere and says nothing on them.
- Models of one type each are an ensemble by type. All look at the image, its type is voted, and
  only what the models of that type (and those of all types or none) see is fused. A model of one
  type is certain of it whatever it sees; so it votes with the cells that it would find alone, under
  its own operating points for its type: the sum of score x area, times its weight (where several
  models know a type, with what they find together, times their mean weight). Where a model of all
  types is among them, its candidates alone vote, as in `selection.image_type`.
- Where each cell has a type of its own (`type_vote` 'cell'), nothing is voted: the models of one
  type count together as one model of all types, and selection's mask NMS decides between them.

Other sets of types cannot be joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource, PartOfImage, busy_windows
from bigkingxxl.inference.fusion import checked_weights, fuse
from bigkingxxl.inference.predictor import ImageContext, Predictor, image_context_of, predict_in
from bigkingxxl.inference.selection import image_type, select
from bigkingxxl.instances import UNTYPED
from bigkingxxl.operating_points import OperatingPoints, TypeVote
from bigkingxxl.settings import nearest

SAMPLE_SIDE = 1024  # of the windows of a large image that vote for its type


@dataclass(frozen=True, eq=False)
class Member:
    """A model of an ensemble.

    Attributes:
        predictor: the model; type_names: the cell types it knows.
        points: its own operating points; a model of one type votes by them.
        weight: how much it counts, above 0.
    """

    predictor: Predictor
    type_names: tuple[str, ...] = (UNTYPED,)
    points: OperatingPoints = field(default_factory=OperatingPoints)
    weight: float = 1.0


class Ensemble:
    """Several models as a `Predictor`; the module says how they are joined.

    The scale ratio of what is found is that of the first model, or of the first of the voted
    type, as are the operating points that it is to be selected with.

    Args:
        members: at least one.
        type_vote: whether an image has one type, or each of its cells.
        cell_type: the images' type where it is known; models of another one are not asked.
    Raises:
        InputError: no members, a weight not above 0, sets of types that cannot be joined, or a cell
            type that no member knows.
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
            raise InputError(f"no model of the ensemble knows a cell type '{cell_type}'{hint}")

    @property
    def is_by_type(self) -> bool:
        """True where some models know one type of several."""
        return any(self._only_type(member) for member in self.members)

    @property
    def scale(self) -> float | None:
        """Network pixels per image pixel, where the models were given such a scale."""
        scale: float | None = getattr(self.members[0].predictor, "scale", None)
        return scale

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`."""

        @cache
        def look(member: Member) -> Candidates:
            return self._look(member, source)

        chosen = self.cell_type or (self._voted(look) if self._votes else None)
        return self._joined(look, chosen)

    @property
    def _votes(self) -> bool:
        """Whether what is seen of an image decides which models count."""
        return self.is_by_type and self.type_vote == "image" and self.cell_type is None

    def image_context(self, source: ImageSource) -> ImageContext:
        """See `PartwisePredictor.image_context`: of each model, and the type of a sample."""
        contexts = [image_context_of(member.predictor, source) for member in self.members]
        chosen = self.cell_type
        if self._votes:
            parts = [PartOfImage(source, place) for place in busy_windows(source, SAMPLE_SIDE)]

            @cache
            def look(member: Member) -> Candidates:
                context = contexts[self.members.index(member)]
                found = [
                    self._own(member, predict_in(member.predictor, part, context)).shift(
                        part.window.row0, part.window.col0, source.shape
                    )
                    for part in parts
                ]
                return Candidates.concatenate(found)

            chosen = self._voted(look)
        return {"members": contexts, "cell_type": chosen}

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        """See `PartwisePredictor.candidates_in`."""

        @cache
        def look(member: Member) -> Candidates:
            own = context["members"][self.members.index(member)]
            return self._own(member, predict_in(member.predictor, source, own))

        return self._joined(look, context["cell_type"])

    def _joined(self, look: Callable[[Member], Candidates], chosen: str | None) -> Candidates:
        """What all models see together.

        Args:
            chosen: the image's type, where it decides which models count.
        """
        if not self.is_by_type:
            return self._fused(self.members, look)
        if chosen is None:
            return self._cell_by_cell(look)
        members = [each for each in self.members if self._only_type(each) in (None, chosen)]
        first = next(each for each in members if chosen in each.type_names)
        fused = self._typed(self._fused(members, look), chosen)
        return _sized_as(fused, look(first))

    def _only_type(self, member: Member) -> str | None:
        """The type of a model that knows one of several."""
        is_one = len(member.type_names) == 1 < len(self.type_names)
        is_one &= member.type_names != (UNTYPED,)
        return member.type_names[0] if is_one else None

    def _knows_all(self, member: Member) -> bool:
        return set(member.type_names) == set(self.type_names)

    def _look(self, member: Member, source: ImageSource) -> Candidates:
        """What a model sees; of types only what a model of all of them says."""
        return self._own(member, member.predictor.candidates(source))

    def _own(self, member: Member, found: Candidates) -> Candidates:
        """What a model says of what it saw."""
        if self._knows_all(member):
            return found
        return replace(found, type_probability=None, type_names=())

    def _fused(self, members: Sequence[Member], look: Callable[[Member], Candidates]) -> Candidates:
        return fuse([look(each) for each in members], [each.weight for each in members])

    def _typed(self, found: Candidates, cell_type: str) -> Candidates:
        """The candidates as of one of the ensemble's types, for certain."""
        shares = np.zeros((len(found), len(self.type_names)), np.float32)
        shares[:, self.type_names.index(cell_type)] = 1
        return replace(found, type_probability=shares, type_names=self.type_names)

    def _of_type(self, cell_type: str) -> list[Member]:
        return [each for each in self.members if self._only_type(each) == cell_type]

    def _voted(self, look: Callable[[Member], Candidates]) -> str:
        """The type of the image."""
        knowing = [each for each in self.members if self._knows_all(each)]
        knowing = [each for each in knowing if look(each).type_probability is not None]
        if knowing:
            found = self._fused(knowing, look)
            return found.type_names[image_type(found)]
        votes = [self._vote(name, look) for name in self.type_names]
        return self.type_names[int(np.argmax(votes))]

    def _vote(self, cell_type: str, look: Callable[[Member], Candidates]) -> float:
        """What the models of one type claim of the image, in pixels."""
        members = self._of_type(cell_type)
        found = self._typed(self._fused(members, look), cell_type)
        cells = select(found, members[0].points, cell_type=cell_type)
        claimed = float((np.asarray(cells.score) * cells.areas()).sum())
        return claimed * float(np.mean([each.weight for each in members]))

    def _cell_by_cell(self, look: Callable[[Member], Candidates]) -> Candidates:
        """Everything that all models see, each candidate of its own type."""
        names = [name for name in self.type_names if self._of_type(name)]
        own = [self._typed(self._fused(self._of_type(name), look), name) for name in names]
        others = [each for each in self.members if self._only_type(each) is None]
        together = sum(each.weight for each in self.members if each not in others) / len(names)
        fused = fuse(
            [Candidates.concatenate(own), *(look(each) for each in others)],
            [together, *(each.weight for each in others)],
        )
        return _sized_as(fused, look(self.members[0]))


def _sized_as(found: Candidates, model: Candidates) -> Candidates:
    """The candidates, seen at the size at which a model saw them."""
    return replace(found, scale_ratio=model.scale_ratio, cell_diameter=model.cell_diameter)


def joint_types(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The cell types of models together: in the order of one that knows all, else of the alphabet.

    Args:
        sets: the types that each model knows.
    Raises:
        InputError: they cannot be joined; the module says which can.
    """
    typed = [names for names in sets if names not in ((), (UNTYPED,))]
    every = {name for names in typed for name in names}
    whole = [names for names in typed if set(names) == every]
    if any(len(names) > 1 and set(names) != every for names in typed):
        shown = " and ".join(
            ", ".join(name or "cells without a type" for name in names)
            for names in dict.fromkeys(typed)
        )
        raise InputError(
            f"models of different cell types cannot be joined ({shown}), expected the same types, "
            "or one type a model"
        )
    if not typed:
        return (UNTYPED,)
    return whole[0] if whole else tuple(sorted(every))

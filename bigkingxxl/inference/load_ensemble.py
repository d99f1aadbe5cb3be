"""One model file or several as one predictor under one card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.inference.ensemble import Ensemble, Member, joint_types
from bigkingxxl.inference.ensemble_file import Members
from bigkingxxl.inference.fusion import checked_weights
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.inference.mean_maps import MeanMaps, alike
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.instances import UNTYPED
from bigkingxxl.licences import tell_licence
from bigkingxxl.models import ModelCard, read_card
from bigkingxxl.operating_points import OperatingPoints, TypeVote
from bigkingxxl.settings import nearest

Ranges = Mapping[str, tuple[float, float]]


def load_ensemble(
    paths: Sequence[Path],
    device: str = "auto",
    *,
    weights: Sequence[float] | None = None,
    changes: Mapping[str, Any] | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
    type_vote: str | None = None,
    tile: int | None = None,
    points: OperatingPoints | None = None,
) -> tuple[Predictor, ModelCard]:
    """A predictor of all models, and their joint card, whose operating points are to be used.

    Each model keeps its own scale and normalisation. Dense models that make the same maps are one
    model of their mean, with the decoding parameters of the first. Models of one type each, which
    would take the cells of others for theirs at another size, see every image at the size that is
    known of it, else at that of training: they estimate none.

    Args:
        device, scale: see `load_predictor`.
        weights: of each model; by default all alike.
        changes: of the models' own prediction settings.
        cell_type: the images' type where it is known; models of another one are not loaded.
        type_vote: in the place of the operating points' own.
        tile: at most so many network pixels per side are seen at once; see `model_predictor`.
        points: operating points of the ensemble, in the place of the models' own.
    Raises:
        InputError: as `Ensemble`; ModelError, MissingExtraError: as `load_predictor`.
    """
    chosen = checked_weights(len(paths), weights).tolist()
    cards = [read_card(path) for path in paths]
    card = ensemble_card(
        paths, weights=weights, cell_type=cell_type, type_vote=type_vote, points=points
    )
    types = joint_types([each.type_names for each in cards])
    members: list[Member] = []
    for path, own, weight in zip(paths, cards, chosen, strict=True):
        if cell_type is not None and not {cell_type, UNTYPED} & {*own.type_names}:
            continue
        predictor = load_member(path, own, types, device, changes or {}, scale, cell_type, tile)
        members.append(Member(predictor, own.type_names, own.operating_points, weight))
    return joined(members, card.operating_points.type_vote, cell_type), card


def joined(
    members: Sequence[Member], type_vote: TypeVote = "image", cell_type: str | None = None
) -> Predictor:
    """Members as one predictor; one alone is itself."""
    members = averaged(members)
    if len(members) == 1:
        return members[0].predictor
    return Ensemble(members, type_vote=type_vote, cell_type=cell_type)


def ensemble_card(
    paths: Sequence[Path], *, weights: Sequence[float] | None = None, cell_type: str | None = None,
    type_vote: str | None = None, points: OperatingPoints | None = None,
) -> ModelCard:  # fmt: skip
    """The joint card of models, none of which is loaded; see `load_ensemble`.

    Raises:
        InputError: the models cannot be joined so; ModelError: one is missing or damaged.
    """
    checked_weights(len(paths), weights)
    cards = [read_card(path) for path in paths]
    types = joint_types([card.type_names for card in cards])
    if cell_type is not None and cell_type not in types:
        named = " and ".join(map(str, paths))
        raise InputError(f"{named} knows no cell type '{cell_type}'{nearest(cell_type, types)}")
    card = joint_card(cards)
    chosen = card.operating_points if points is None else points
    if type_vote is not None:
        chosen = chosen.changed(type_vote=type_vote)
    return card.changed(operating_points=chosen.model_dump())


def card_of(
    members: Members, *, cell_type: str | None = None, type_vote: str | None = None
) -> ModelCard:
    """The joint card of what was named as an ensemble; see `ensemble_card`."""
    return ensemble_card(
        members.files, weights=members.weights, cell_type=cell_type, type_vote=type_vote,
        points=members.points,
    )  # fmt: skip


def averaged(members: Sequence[Member]) -> list[Member]:
    """The members, those that make the same maps as one, which counts as one of them does."""
    groups: list[list[Member]] = []
    for member in members:
        own = next((each for each in groups if alike(each[0].predictor, member.predictor)), None)
        if own is None:
            groups.append([member])
        else:
            own.append(member)
    return [group[0] if len(group) == 1 else _mean(group) for group in groups]


def _mean(members: Sequence[Member]) -> Member:
    dense = [each.predictor for each in members if isinstance(each.predictor, DensePredictor)]
    weights = [each.weight for each in members]
    return replace(
        members[0], predictor=MeanMaps.of(dense, weights), weight=sum(weights) / len(weights)
    )


def load_member(
    path: Path,
    card: ModelCard,
    types: tuple[str, ...],
    device: str,
    changes: Mapping[str, Any],
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
) -> Predictor:
    """One model of an ensemble; what it cannot tell apart it decodes as its only type.

    Args:
        types: that the ensemble knows; for the others see `load_ensemble`.
    """
    is_one = len(card.type_names) == 1
    own_type = card.type_names[0] if is_one else cell_type
    settings = card.prediction.changed(**changes)
    predictor, _ = load_predictor(
        path, device, settings=settings, scale=scale, cell_type=own_type, tile=tile
    )
    if is_one and len(types) > 1 and card.type_names != (UNTYPED,):
        predictor.estimate = False
    tell_licence(card.licence)
    return predictor


def joint_card(cards: Sequence[ModelCard]) -> ModelCard:
    """The first model's card with what is to be known of all of them.

    These are the joint types, their operating points, the ids of all images that any model was
    trained or selected on, and the widest ranges of what training images looked like. What one
    model's scores say of an image's quality holds for no other's, so that nothing foretells it.
    """
    first = cards[0]
    if len(cards) == 1:
        return first
    types = joint_types([card.type_names for card in cards])
    return first.changed(
        type_names=types,
        operating_points=joint_points(cards, types).model_dump(),
        image_diameters=_widest([card.image_diameters for card in cards]),
        image_statistics=_widest([card.image_statistics for card in cards]),
        quality=None,
        trained_on=_each_once(card.trained_on for card in cards),
        selected_on=_each_once(card.selected_on for card in cards),
    )


def joint_points(cards: Sequence[ModelCard], types: Sequence[str]) -> OperatingPoints:
    """Of each type those of the first model that knows it; else, and the vote, the first's."""
    knowing = {name: next((c for c in cards if name in c.type_names), cards[0]) for name in types}
    first = cards[0].operating_points
    return first.changed(
        by_type={
            **first.model_dump()["by_type"],
            **{name: c.operating_points.of(name).model_dump() for name, c in knowing.items()},
        },
        tuned_on=_each_once(card.operating_points.tuned_on for card in cards),
    )


def _widest(spans: Sequence[Ranges]) -> dict[str, tuple[float, float]]:
    """The ranges that hold those of all; none where a model knows none."""
    if not all(spans):
        return {}
    names = _each_once(spans)
    found = {name: [span[name] for span in spans if name in span] for name in names}
    return {
        name: (min(low for low, _ in each), max(high for _, high in each))
        for name, each in found.items()
    }


def _each_once(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in parts for name in part))

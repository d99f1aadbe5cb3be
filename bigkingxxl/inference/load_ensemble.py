"""Load one model file or several as one predictor with one card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.ensemble import Ensemble, Member, joint_types
from bigkingxxl.inference.ensemble_file import Members
from bigkingxxl.inference.fusion import checked_weights
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.mean_maps import MeanMaps, alike
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.instances import UNTYPED
from bigkingxxl.licences import show_licence
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import read_card
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
    """Load several models as one predictor, with a joint card that holds the operating points.

    Each model keeps its own scale and normalisation. Dense models with the same maps are combined
    into one model that averages the maps and decodes them with the parameters of the first. Models
    of one type each do not estimate the size of cells: at another scale they would mistake the
    cells of other types for their own. They use the size that is known of an image, else that of
    the training images.

    Args:
        paths: The model files.
        device: See `load_predictor`.
        weights: The weight of each model; by default they are equal.
        changes: Changes to the prediction settings of the models.
        scale: See `load_predictor`.
        cell_type: The cell type of the images, if known; models of other types are not loaded.
        type_vote: Replaces the type vote of the operating points.
        tile: The longest side, in network pixels, that is processed at once; see `model_predictor`.
        points: Operating points of the ensemble that replace those of the models.

    Raises:
        InputError: See `Ensemble`.
        ModelError: See `load_predictor`.
        MissingExtraError: See `load_predictor`.
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
    """Combine members into one predictor; a single member is returned as it is."""
    members = averaged(members)
    if len(members) == 1:
        return members[0].predictor
    return Ensemble(members, type_vote=type_vote, cell_type=cell_type)


def ensemble_card(
    paths: Sequence[Path], *, weights: Sequence[float] | None = None, cell_type: str | None = None,
    type_vote: str | None = None, points: OperatingPoints | None = None,
) -> ModelCard:  # fmt: skip
    """Return the joint card of models without loading them; see `load_ensemble`.

    Raises:
        InputError: The models cannot be combined.
        ModelError: A model is missing or damaged.
    """
    checked_weights(len(paths), weights)
    cards = [read_card(path) for path in paths]
    types = joint_types([card.type_names for card in cards])
    if cell_type is not None and cell_type not in types:
        named = " and ".join(map(str, paths))
        raise InputError(
            f"{named} knows no cell type '{cell_type}'{nearest(cell_type, types)}",
            key="cell_type",
            found=cell_type,
            expected=tuple(types),
        )
    card = joint_card(cards)
    chosen = card.operating_points if points is None else points
    if type_vote is not None:
        chosen = chosen.changed(type_vote=type_vote)
    return card.changed(operating_points=chosen.model_dump())


def card_of(
    members: Members, *, cell_type: str | None = None, type_vote: str | None = None
) -> ModelCard:
    """Return the joint card of the members of an ensemble; see `ensemble_card`."""
    return ensemble_card(
        members.files, weights=members.weights, cell_type=cell_type, type_vote=type_vote,
        points=members.points,
    )  # fmt: skip


def averaged(members: Sequence[Member]) -> list[Member]:
    """Combine members with the same maps into one, which has the weight of a single member."""
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
    """Load one model of an ensemble; a model of one type decodes with the parameters of that type.

    Args:
        path: The model file.
        card: Its card.
        types: The types that the ensemble knows.
        device: See `load_ensemble`.
        changes: See `load_ensemble`.
        scale: See `load_ensemble`.
        cell_type: See `load_ensemble`.
        tile: See `load_ensemble`.
    """
    is_one = len(card.type_names) == 1
    own_type = card.type_names[0] if is_one else cell_type
    settings = card.prediction.changed(**changes)
    predictor, _ = load_predictor(
        path, device, settings=settings, scale=scale, cell_type=own_type, tile=tile
    )
    if is_one and len(types) > 1 and card.type_names != (UNTYPED,):
        predictor.estimate = False
    show_licence(card.licence)
    return predictor


def joint_card(cards: Sequence[ModelCard]) -> ModelCard:
    """Return the card of the first model with the joint properties of all models.

    These are the joint types, their operating points, the ids of all images on which any model was
    trained or selected, and the widest ranges of the statistics of training images. The quality
    model of one model does not apply to an ensemble, so that no quality is predicted.
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
    """Join operating points: each type's from the first model that knows it, else the first's."""
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
    """Return the union of the ranges; empty if a model has none."""
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

"""How often images are told to be unlike those of training, and what an inverted image costs.

    python -m benchmarks run domain_check MODEL --data DIR --other DIR --out RESULTS.json

Of images of a fold, some of each type: how many are looked at in other sizes (the size estimate is
not sure of the first), how many are warned of; the same for a folder of other images and for a few
photographs that show no cells. Then the fold's images with bright and dark exchanged: the score
without regard to it, with the automatic turn, and of the originals. Refuses a model that was
trained on the fold's images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.size_estimation import spread
from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.files import write_json
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.inference.domain.contrast_polarity import is_inverted, may_be_inverted
from bigkingxxl.inference.domain.domain_check import warnings_for
from bigkingxxl.inference.domain.image_statistics import image_statistics
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.inference.size.size_estimate import is_plausible
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.models import ModelCard, model_hash
from bigkingxxl.provenance import provenance

PHOTOGRAPHS = ("camera", "coins", "moon", "page", "brick", "grass", "gravel", "text")


def main() -> None:
    """Parse, look, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--other", type=Path, help="a folder of images of other cells")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--images", type=int, default=10, help="of each type")
    parser.add_argument("--others", type=int, default=12)
    parser.add_argument("--inverted", type=int, default=4, help="of each type")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    predictor, card = load_predictor(options.model)
    data = open_dataset(options.data)
    _, ids = fold_ids(data, options.fold)
    if set(ids) & set(card.trained_on):
        raise InputError(f"{options.model} was trained on images of this fold")
    result: dict[str, Any] = {
        **provenance(0),
        "model": {"hash": model_hash(options.model), "method": card.method},
        "fold": looked_at(
            predictor, card, [data.source(i) for i in spread(data, ids, options.images)]
        ),
        "photographs": looked_at(predictor, card, photographs()),
    }
    if options.other:
        paths = sorted(options.other.glob("*.png"))
        chosen = paths[:: max(len(paths) // options.others, 1)][: options.others]
        result["other"] = looked_at(predictor, card, [open_image(path) for path in chosen])
    result["inverted"] = inverted(predictor, card, data, spread(data, ids, options.inverted))
    write_json(options.out, result)
    print({name: value for name, value in result.items() if isinstance(value, dict)})


def photographs() -> list[ImageSource]:
    """Pictures that come with scikit-image; none shows cells."""
    from skimage import data

    return [ArrayImage(getattr(data, name)().astype(np.float32), name) for name in PHOTOGRAPHS]


def looked_at(
    predictor: NetworkPredictor, card: ModelCard, sources: Sequence[ImageSource]
) -> dict[str, Any]:
    """How many images are doubtful and how many are warned of, and of what."""
    predictor.estimate = False
    doubtful, maybe, turned, warned = [], [], [], {}
    for source in track(list(sources), label="looking"):
        found = predictor.candidates(source)
        statistics = image_statistics(source, card.normalisation)
        if not is_plausible(found, statistics, predictor.training):
            doubtful.append(source.name)
        if may_be_inverted(statistics, card.image_statistics):
            maybe.append(source.name)
            if is_inverted(predictor.predict_window, source, card.normalisation, 1.0):
                turned.append(source.name)
        sentences = warnings_for(card, source, found, select(found, card.operating_points))
        if sentences:
            warned[source.name] = sentences
    return {
        "images": len(sources),
        "looked at in other sizes": doubtful,
        "looked at as negatives": maybe,
        "taken for negatives": turned,
        "warned of": warned,
    }


def inverted(
    predictor: NetworkPredictor, card: ModelCard, data: Any, ids: Iterable[str]
) -> dict[str, Any]:
    """Scores of images with bright and dark exchanged, as they are and turned back."""
    ids = list(ids)
    predictor.estimate = False
    truth = {image_id: data.instances(image_id) for image_id in ids}
    types = {image_id: data.cell_type(image_id) for image_id in ids}
    found: dict[str, dict[str, Any]] = {"disregarded": {}, "automatic": {}, "original": {}}
    skewness: dict[str, float] = {}
    for image_id in track(ids, label="inverted"):
        pixels = data.source(image_id).read()
        negative = ArrayImage(255 - pixels, image_id)
        for way, cells in found.items():
            image = ArrayImage(pixels, image_id) if way == "original" else negative
            predictor.estimate = way == "automatic"
            candidates = predictor.candidates(image)
            cells[image_id] = select(candidates, card.operating_points)
        skewness[image_id] = image_statistics(negative, predictor.normalisation)["skewness"]
    scores = {way: competition_map(truth, cells, types) for way, cells in found.items()}
    return {
        "images": len(ids),
        "challenge_mix": {way: score.challenge_mix for way, score in scores.items()},
        "by_type": {way: score.by_type for way, score in scores.items()},
        "skewness of the inverted": skewness,
    }


if __name__ == "__main__":
    main()

"""The accuracy of a model's expected quality, and the fit for its card.

    python -m benchmarks run expected_quality MODEL --data POOL --data SARTORIUS --fold 0 --out FILE
    python -m benchmarks run expected_quality MODEL ... --write   # writes the fit into MODEL

Each image is predicted as by `bigkingxxl predict`, and its expected quality is compared with its
true segmentation accuracy (mean over IoU 0.50 to 0.95). The quality of each data set is predicted
by a fit to the others. Data sets named by `--measure-only` do not enter a fit that is written,
because their terms are unknown. `--seen FILE` caches the measurements of each image, so that the
fit can be repeated without the network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.harness import evenly, record
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset, join, open_datasets
from bigkingxxl.data.split import fold_ids
from bigkingxxl.evaluation.quality_fit import POOR, Example, cross_fitted, examples_of, fit_quality
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.model_files import model_hash, read_card, resolve_model, write_card


def main() -> None:
    """Predict, fit, evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--fold", type=int, help="of sets with folds, only what it validates")
    parser.add_argument("--images", type=int, default=10**6, help="at most, of each set")
    parser.add_argument("--measure-only", nargs="*", default=[], metavar="SET")
    parser.add_argument("--seen", type=Path, help="keep what was seen in this file, or read it")
    parser.add_argument("--write", action="store_true", help="put the fit into the model's card")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    path = resolve_model(options.model)
    sets = _parts(open_datasets(options.data))
    examples = _seen(path, sets, options)
    unseen = _unseen(path, sets)
    learnt = fit_quality([each for each in examples if each.set_name not in options.measure_only])
    found = measured(examples, cross_fitted(examples), unseen, learnt.low)
    result = {"model": model_hash(path), "learnt": learnt.model_dump(), **found}
    print(json.dumps({key: value for key, value in result.items() if key != "images"}, indent=1))
    if options.write:
        write_card(path, read_card(path).changed(quality=learnt.model_dump()))
    if options.out:
        record(options.out, result, 0)


def _parts(data: Dataset) -> dict[str, Dataset]:
    joined = data if isinstance(data, JoinedDataset) else join({data.root.name: data})
    return dict(joined.parts)


def _seen(path: Path, sets: dict[str, Dataset], options: argparse.Namespace) -> list[Example]:
    if options.seen is not None and options.seen.is_file():
        return [Example(**each) for each in json.loads(options.seen.read_text())]
    predictor, card = load_predictor(path, "cpu")
    found: list[Example] = []
    for name, data in sets.items():
        ids = data.ids
        if options.fold is not None and data.columns:
            ids = fold_ids(data, options.fold)[1]
        found += examples_of(predictor, card, name, data, evenly(ids, options.images))
        print(f"{name}: {sum(each.set_name == name for each in found)} images", flush=True)
    if options.seen is not None:
        write_json(options.seen, [asdict(each) for each in found])
    return found


def _unseen(path: Path, sets: dict[str, Dataset]) -> set[tuple[str, str]]:
    """Return data set and id of each image on which the model was not trained."""
    trained = read_card(path).trained_on
    return {
        (name, image_id)
        for name, data in sets.items()
        for image_id in set(data.ids) - data.among(trained)
    }


def measured(
    examples: Sequence[Example], expected: Any, unseen: set[tuple[str, str]], low: float
) -> dict[str, Any]:
    """Compare expected quality and truth, for all images and for those never trained on."""
    true = np.array([each.true for each in examples])
    new = np.array([(each.set_name, each.image) in unseen for each in examples])
    per_set = {}
    for name in sorted({each.set_name for each in examples}):
        own = np.array([each.set_name == name for each in examples])
        per_set[name] = {
            "images": int(own.sum()), "never_learnt_from": int((own & new).sum()),
            "true": float(true[own].mean()), "expected": float(expected[own].mean()),
        }  # fmt: skip
    return {
        "all": agreement(expected, true, low),
        "never_learnt_from": agreement(expected[new], true[new], low) if new.sum() > 2 else None,
        "sets": per_set,
        "images": [
            {"set": each.set_name, "image": each.image, "true": each.true, "expected": float(own),
             **each.values}
            for each, own in zip(examples, expected, strict=True)
        ],
    }  # fmt: skip


def agreement(expected: Any, true: Any, low: float) -> dict[str, float]:
    """Return rank correlation, mean error, and how well a limit detects poor images."""
    poor = true < POOR
    return {
        "images": len(true),
        "spearman": float(spearmanr(expected, true)[0]),
        "mean_absolute_error": float(np.abs(expected - true).mean()),
        "poor": int(poor.sum()),
        "poor_warned_of": float((expected[poor] < low).mean()) if poor.any() else float("nan"),
        "others_warned_of": float((expected[~poor] < low).mean()),
    }


if __name__ == "__main__":
    main()

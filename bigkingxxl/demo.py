"""The demo: the whole workflow on small data, from images to a submission and a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.preprocess import preprocess
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.split import fold_ids
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.evaluation.average_precision import CocoTable, coco_table
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.predictions import read_predictions
from bigkingxxl.evaluation.report.run_page import write_report
from bigkingxxl.evaluation.truth import majority_type, read_truth
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.io.pictures.overlay import draw_overlay
from bigkingxxl.model_files import model_hash, read_card, resolve_model
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection
from bigkingxxl.training.curves import plot_curves
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

# A lower score on synthetic data means that the network did not segment anything useful.
GOAL = 0.25
SYNTHETIC = SyntheticData(images=40, seed=0, size=(256, 320))
SHOWN = 8


@dataclass(frozen=True)
class DemoResult:
    """The result of the demo.

    Attributes:
        run: The run folder.
        report: The report page in the run folder.
        images: How many images were scored.
        competition: The competition mAP over the validation fold.
        coco: The COCO metrics over the validation fold.
        synthetic: Whether the data were simulated.
    """

    run: Path
    report: Path
    images: int
    competition: CompetitionScore
    coco: CocoTable
    synthetic: bool

    @property
    def worked(self) -> bool:
        """Whether the network segmented the images; always True for real data."""
        return not self.synthetic or self.competition.mean >= GOAL


def run_demo(
    run: Path,
    data: Path | None = None,
    *,
    seed: int = 0,
    quiet: bool = False,
    tell: Callable[[str], None] = print,
    track: Track = untracked,
) -> DemoResult:
    """Make or open a data set, segment it with the bundled model, train, predict, score and report.

    Args:
        run: A new folder, which holds everything that the demo makes.
        data: A data set; None simulates one.
        seed: The random seed.
        quiet: Whether training shows no progress.
        tell: Called with a sentence at each step.
        track: Wraps iterables to show progress.
    """
    folder = data or run / "data"
    if data is None:
        tell(f"simulating {SYNTHETIC.images} phase-contrast images (seed {SYNTHETIC.seed})")
        synthesize(folder, SYNTHETIC, track=track)
    dataset = open_dataset(folder)
    tell(f"preprocessing {len(dataset)} images")
    preprocess(dataset, run / "preprocessed", track=track)
    _, ids = fold_ids(dataset, 0)
    tell(f"outlining {len(ids)} images with the bundled model, which needs no training")
    tell(outline_bundled(run, dataset, ids, track))
    tell("training a compact network on this data (under four minutes)")
    trained = train(
        load_recipe("demo", seed=seed), dataset, run / "training", device="auto", quiet=quiet,
        track=track,
    )  # fmt: skip
    tell("predicting the validation fold with it")
    predicted = predict_ids(dataset, ids, trained.model, run / "predictions", track)
    tell("scoring")
    competition, coco = score(run / "preprocessed", predicted)
    report = write_demo_report(run, dataset, ids, competition, coco, data is None)
    return DemoResult(run, report, len(ids), competition, coco, data is None)


def outline_bundled(run: Path, dataset: Dataset, ids: tuple[str, ...], track: Track) -> str:
    """Segment images with the bundled model into a neighbouring folder; return a summary line."""
    model = resolve_model("bundled")
    outlined = predict_ids(dataset, ids, model, run / "bundled", track)
    competition, _ = score(run / "preprocessed", outlined)
    card = read_card(model)
    seen = set(ids) & {*card.trained_on, *card.selected_on, *card.operating_points.tuned_on}
    known = f" (in-sample: it has seen {len(seen)} of them before)" if seen else ""
    return f"{outlined / 'overlays'}: competition mAP {competition.mean:.3f}{known}"


def predict_ids(
    dataset: Dataset, ids: tuple[str, ...], model: Path, out: Path, track: Track
) -> Path:
    """Predict images of a data set into a folder, in the chosen formats."""
    predictor, card = load_predictor(model)
    paths = [dataset.image_path(image_id) for image_id in ids]
    selection, key = Selection(card.operating_points), model_hash(model)
    formats = ("labels", "overlay", "submission", "coco")
    settings = run_settings(key, selection, formats, model=key, reading=OpenOptions().as_json())
    predict_folder(
        Pipeline(settings, selection, predictor, track=track), paths, OpenOptions().open, out
    )
    return out


def score(preprocessed: Path, predicted: Path) -> tuple[CompetitionScore, CocoTable]:
    """Compute both metrics from the files, as a user would."""
    truth = read_truth(preprocessed / "annotations_val.json")
    cells = read_predictions(predicted / "submission.csv", truth).cells
    masks = read_predictions(predicted / "results.json", truth).masks
    annotated = {image_id: truth.instances(image_id) for image_id in truth.ids}
    types = {image_id: majority_type(each) for image_id, each in annotated.items()}
    return competition_map(annotated, cells, types), coco_table(annotated, masks)


def write_demo_report(
    run: Path, dataset: Dataset, ids: tuple[str, ...], competition: CompetitionScore,
    coco: CocoTable, synthetic: bool,
) -> Path:  # fmt: skip
    """Write `report.html` into the run folder, with scores, curves and pictures of the cells."""
    truth = read_truth(run / "preprocessed" / "annotations_val.json")
    found = read_predictions(run / "predictions" / "submission.csv", truth).cells
    pictures = {
        f"{image_id} ({dataset.cell_type(image_id)}): {len(found[image_id])} cells": draw_overlay(
            dataset.source(image_id), found[image_id]
        )
        for image_id in ids[:SHOWN]
    }
    write_report(
        run / "report.html",
        title="BigKingXXL demo",
        competition=competition,
        coco=coco,
        overlays=pictures,
        pictures={"Learning curves": plot_curves(run / "training")},
        facts={"data": "simulated (seed 0)" if synthetic else str(dataset.root),
               "images": len(dataset), "validated on": len(ids), "method": "compact, flows"},
    )  # fmt: skip
    return run / "report.html"

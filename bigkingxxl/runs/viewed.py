"""What a person corrected of a run's image in the viewer, which lies beside what was predicted."""

from __future__ import annotations

from bigkingxxl.errors import FormatError
from bigkingxxl.files import file_hash
from bigkingxxl.io.annotations.corrections import (
    CORRECTIONS,
    CorrectedImage,
    corrected_image,
)
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.names import place_of
from bigkingxxl.runs.records import Stamp
from bigkingxxl.runs.store import Found, RunStore, State


def viewed_image(store: RunStore, image_id: str) -> CorrectedImage | None:
    """The corrections of an image, None where there are none.

    Raises:
        FormatError: they are damaged, or the run's own label image was changed by hand as well.
    """
    place = place_of(image_id).as_posix()
    viewed = corrected_image(store.folder / CORRECTIONS, place)
    if viewed is None or viewed.image != image_id:
        return None
    labels = store.find("labels", image_id)
    if _is_another(labels, viewed):
        raise FormatError(
            f"{image_id} was corrected twice, in {viewed.labels_path} by the viewer and in "
            f"{store.place('labels', image_id)} by hand: move one of the two away"
        )
    return viewed


def _is_another(labels: Found, viewed: CorrectedImage) -> bool:
    """Whether a label image was changed by hand after the corrections had begun with it."""
    is_changed = labels.state is State.CHANGED and labels.stamp is not None
    return is_changed and labels.stamp is not None and labels.stamp.sha256 != viewed.before


def identity_of(viewed: CorrectedImage, run: str) -> str:
    """The fingerprint of what the corrected cells are."""
    return fingerprint([run, file_hash(viewed.labels_path), repr(sorted(viewed.notes.items()))])


def check_same_image(viewed: CorrectedImage, seen: Stamp) -> None:
    """Refuse corrections of what was another image then.

    Raises:
        FormatError: the image's file holds something else now.
    """
    if viewed.seen and viewed.seen != seen.sha256:
        raise FormatError(
            f"{viewed.path} changed since its cells were corrected: move "
            f"{viewed.labels_path} away, or bring the image back"
        )

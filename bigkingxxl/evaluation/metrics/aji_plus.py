"""AJI+: the aggregated Jaccard index with each predicted cell used at most once."""

from __future__ import annotations

from bigkingxxl.evaluation.assignment import assign
from bigkingxxl.evaluation.metrics.aji import AggregatedJaccard
from bigkingxxl.evaluation.metrics.base import Int64, Value
from bigkingxxl.evaluation.pairing import ImagePair


class AggregatedJaccardPlus(AggregatedJaccard):
    """AJI over the one-to-one pairs with the highest sum of IoU."""

    name = "aji+"
    title = "aggregated Jaccard index, one to one"
    formula = (
        "sum of intersections / (sum of unions + pixels of unpaired cells), over one-to-one pairs "
        "with the highest sum of IoU"
    )
    source = "Graham et al. 2019, HoVer-Net"

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("aji+", "AJI+"),)

    def chosen(self, pair: ImagePair) -> Int64:
        """See `AggregatedJaccard.chosen`."""
        return assign(pair.overlaps.first, pair.overlaps.second, pair.iou)

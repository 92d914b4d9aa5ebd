"""Metrics of explanations: plain functions of arrays, and of a judge. Their formulas are in docs/metrics.md."""

from .curves import Curve, deletion_curve, insertion_curve, word_mask
from .fidelity import divergence, fidelity, judged, size
from .perturbation import infidelity, sensitivity
from .plane import plane_iou
from .statistics import Interval, holm, mean_with_interval, paired_difference, paired_p_value
from .truth import by_unit, truth_scores

__all__ = [
    "Curve",
    "Interval",
    "by_unit",
    "deletion_curve",
    "divergence",
    "fidelity",
    "holm",
    "infidelity",
    "insertion_curve",
    "judged",
    "mean_with_interval",
    "paired_difference",
    "paired_p_value",
    "plane_iou",
    "sensitivity",
    "size",
    "truth_scores",
    "word_mask",
]

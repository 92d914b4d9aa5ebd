"""The paper's metrics (AudioGenX, arXiv 2502.00459): fidelity, KL and size. Of probabilities, and by a judge's ear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..judges import probabilities
from ..plugins.offers import Judge

Floats = npt.NDArray[np.floating]
_LEAST = 1e-7
"""The least probability that a divergence takes: classifiers round smaller ones to 0."""


def fidelity(original: Floats, changed: Floats, top: int = 1) -> float:
    """Fid: how far the probability of the top label falls; with ``top`` above 1 the mean over the ``top`` highest.

    Args:
        original: a judge's probabilities [labels] of the sound that is explained; the highest tell which labels count.
        changed: those of the sound made under a mask, M (Fid_F, low is good) or 1 - M (Fid_CF, high is good).

    Raises:
        SettingError: the shapes differ, or there are no ``top`` labels.
    """
    original, changed = _pair(original, changed)
    if not 1 <= top <= len(original):
        raise SettingError(f"top must be from 1 to {len(original)}, the number of labels, not {top}")
    highest = np.argsort(-original, kind="stable")[:top]
    return float((original[highest] - changed[highest]).mean())


def divergence(original: Floats, changed: Floats, multilabel: bool = False) -> float:
    """KL(original || changed) in nats: of one label among all, or the sum over labels that are there or not each.

    Args:
        original, changed: probabilities [labels], as in :func:`fidelity`. Below 1e-7 they count as that.
        multilabel: whether each label has a probability of its own; else they are brought to sum to one.
    """
    p, q = _pair(original, changed)
    p, q = p.clip(_LEAST, 1 - _LEAST), q.clip(_LEAST, 1 - _LEAST)
    if multilabel:
        return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum())
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def size(mask: Floats) -> float:
    """Size: the mean of the mask, which lies in [0, 1]; raises SettingError where it does not."""
    if mask.size == 0 or not (mask.min() >= 0 and mask.max() <= 1):
        raise SettingError("size is of a mask in [0, 1]")
    return float(mask.mean(dtype=np.float64))


def judged(judge: Judge, original: Floats, changed: Mapping[str, Sequence[Floats]], sample_rate: int,
           top: int = 3) -> dict[str, float]:
    """Fid and KL of sounds made under masks, by the ear of a judge; means over the sounds of each kind.

    Args:
        judge: an audio classifier.
        original: the sound that was explained, [samples] or [channels, samples].
        changed: sounds by kind: ``f`` (factual, made under M), ``cf`` (counterfactual, under 1 - M), or others.
        sample_rate: of all sounds.
        top: how many labels the second fidelity takes; at most all of them.

    Returns:
        ``fid_KIND``, ``fid_KIND_top`` and ``kl_KIND`` for each kind.
    """
    before = probabilities(judge, original, sample_rate)
    top = min(top, len(before))
    found = {}
    for kind, sounds in changed.items():
        after = [probabilities(judge, sound, sample_rate) for sound in sounds]
        found[f"fid_{kind}"] = float(np.mean([fidelity(before, each) for each in after]))
        found[f"fid_{kind}_top"] = float(np.mean([fidelity(before, each, top) for each in after]))
        found[f"kl_{kind}"] = float(np.mean([divergence(before, each, judge.multilabel) for each in after]))
    return found


def _pair(original: Floats, changed: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    p, q = np.asarray(original, dtype=np.float64), np.asarray(changed, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape or p.size == 0:
        raise SettingError(f"probabilities of the same labels are compared, not {list(p.shape)} with {list(q.shape)}")
    return p, q

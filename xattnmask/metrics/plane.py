"""Overlap on the time-frequency plane, for models whose latents are spectrograms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import SettingError


def plane_iou(importance: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_],
              share: float | None = None) -> npt.NDArray[np.float64]:
    """Intersection over union of the most important cells with the true ones, for each word.

    Args:
        importance: [..., times, bands], for instance of a spectrogram latent's cells. A coarser or finer plane than
            that of ``truth`` is brought to it: each of its cells takes the value of the one that covers its middle.
        truth: bool [..., times, bands], the leading axes those of ``importance``.
        share: which share of the cells counts as important; by default as many as are true, for each word.

    Returns:
        Float64 [...]; NaN where no cell is true. Of equal cells at the limit, those that come first count.

    Raises:
        SettingError: the leading axes differ, or the share leaves (0, 1].
    """
    truth = np.asarray(truth, dtype=bool)
    if importance.ndim < 2 or importance.shape[:-2] != truth.shape[:-2] or truth.ndim != importance.ndim:
        raise SettingError(f"importance {list(importance.shape)} and truth {list(truth.shape)} are no planes of the "
                           "same words")
    if share is not None and not 0 < share <= 1:
        raise SettingError(f"share must be above 0 and at most 1, not {share:g}")
    brought = _nearest(_nearest(importance, truth.shape[-2], -2), truth.shape[-1], -1)
    cells = truth.shape[-2] * truth.shape[-1]
    planes, true = brought.reshape(-1, cells), truth.reshape(-1, cells)
    found = [_overlap(plane, wanted, share) for plane, wanted in zip(planes, true, strict=True)]
    return np.array(found, dtype=np.float64).reshape(truth.shape[:-2])


def _overlap(importance: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_], share: float | None) -> float:
    count = int(truth.sum()) if share is None else max(1, round(share * len(truth)))
    if not truth.any():
        return float("nan")
    chosen = np.zeros(len(truth), dtype=bool)
    chosen[np.argsort(-importance, kind="stable")[:count]] = True
    return float((chosen & truth).sum() / (chosen | truth).sum())


def _nearest(plane: npt.NDArray[np.floating], cells: int, axis: int) -> npt.NDArray[np.floating]:
    """``plane`` with ``cells`` cells along ``axis``."""
    index = ((np.arange(cells) + 0.5) / cells * plane.shape[axis]).astype(int)
    found: npt.NDArray[np.floating] = np.take(plane, index, axis)
    return found

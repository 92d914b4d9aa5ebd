"""Where things are in the latents: columns along the audio's time, and the queries of a UNet on their grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xattnmask.errors import PatchError


def by_column(latents: Tensor) -> Tensor:
    """[batch, channels, time] or [batch, channels, time, frequency] to [batch, time, width]."""
    return latents.movedim(2, 1).flatten(2)


def padded(rows: np.ndarray, samples: int) -> Tensor:
    """A sound [channels, n] as [1, channels, samples]: what is over is cut, what is missing is silence."""
    whole = np.zeros((len(rows), samples), dtype=np.float32)
    whole[:, : rows.shape[1]] = rows[:, :samples]
    return torch.from_numpy(whole)[None]


def grid_shape(queries: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the queries of a UNet over latents [height, width]; they run row by row.

    A UNet halves both sides, rounding up, so the number of queries tells the level.

    Raises:
        PatchError: no level has so many queries.
    """
    for level in range(16):
        rows, columns = math.ceil(height / 2**level), math.ceil(width / 2**level)
        if rows * columns == queries:
            return rows, columns
        if rows == columns == 1:
            break
    raise PatchError(f"{queries} queries are no level of a UNet over latents of {height} x {width}")


def grid_places(queries: int, height: int, width: int) -> Sequence[float]:
    """The place in time of each query of a UNet over latents [height, width], whose rows are the audio's time.

    Raises:
        PatchError: no level has so many queries.
    """
    rows, columns = grid_shape(queries, height, width)
    return [(row + 0.5) / rows for row in range(rows) for _ in range(columns)]


def line_places(queries: int, columns: int, used: int, before: int = 0) -> Sequence[float]:
    """The place in time of each query of a transformer over ``columns``, of which ``used`` are heard.

    ``before`` queries stand in front of them and have no time, and neither have those beyond what is heard.

    Raises:
        PatchError: there are more or fewer queries than that.
    """
    if queries != before + columns:
        raise PatchError(f"{queries} queries where {before} + {columns} latents' columns were expected")
    timed = [(column + 0.5) / used if column < used else math.nan for column in range(columns)]
    return [math.nan] * before + timed

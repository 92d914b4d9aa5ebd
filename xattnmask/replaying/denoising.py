"""Masked replays of a diffusion generation: chosen denoising steps as rows of one batch, each under its own mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..devices import input_device
from ..diffusion import REPRESENTATIONS, Denoised, DiffusionAdapter, Representation
from ..generation import Generation
from ..objective import Similarity
from ..patching import CaptureProbabilities, Intervention, Layers, Rule, intercept, patch
from ..sites import Site
from .common import DEPTHS, Context, Depth, OnPass, check_choice, finite, mask_roles, sites_reading_tokens
from .grid import Grid


class StepReplayer:
    """Replays one generation of a diffusion model under masks, a position for each cell of a grid.

    The states that masks are judged by are the denoiser's predictions, of a cell all columns of its stretch side by
    side, [cells, width]; columns that a shorter stretch lacks are zeros, which no dot product or distance sees.

    Args:
        model: the adapter that made the generation.
        generation: what is replayed.
        grid: the cells.
        representation: what the predictions are compared as: ``noise``, ``x0``, ``v``, or ``guidance`` for the way the
            text moves them from the unconditional ones.
        depth: ``cross`` masks where words reach the denoiser; ``encoder`` all text encoders as well.
        rule, layers, heads, streams, text_stretches: as in :func:`xattnmask.patch`.
        rows: the most rows one forward of the denoiser gets; more are split.
    """

    similarity: Similarity = "error"
    """How states are compared where nothing is said."""
    context: Context = "joint"
    """A diffusion model has no other."""

    def __init__(self, model: DiffusionAdapter, generation: Generation, grid: Grid, *,
                 representation: Representation = "v", depth: Depth = "cross", rule: Rule = "scale",
                 layers: Layers = "all", heads: Sequence[int] | None = None, streams: Sequence[str] | None = None,
                 text_stretches: int = 1, rows: int = 20):
        check_choice("representation", representation, REPRESENTATIONS)
        check_choice("depth", depth, DEPTHS)
        self.model, self.generation, self.grid, self.rows = model, generation, grid, rows
        self.representation, self.depth = representation, depth
        self.num_tokens, self.positions = len(generation.tokens), grid.cells
        self.layers, self.streams, self.text_stretches = layers, streams, text_stretches
        self._patching: dict[str, Any] = {"rule": rule, "layers": layers, "heads": heads, "streams": streams,
                          "text_stretches": text_stretches, "roles": mask_roles(model, self.num_tokens, depth)}
        self._columns = _columns_of_bins(grid)

    @property
    def parts(self) -> Sequence[slice]:
        """The positions that one forward with two copies takes, part by part."""
        size = max(self.rows // 2, 1) * self.grid.bins
        return [slice(start, min(start + size, self.positions)) for start in range(0, self.positions, size)]

    def clean(self, *, history: bool = True) -> Tensor:
        """The states [cells, width] without a mask; there is no history to leave out."""
        size = max(self.rows, 1)
        with torch.no_grad():
            runs = [self._run(1, None, self.grid.steps[i : i + size]) for i in range(0, len(self.grid.steps), size)]
            return finite(torch.cat(runs, dim=1)[0], "the unmasked replay")

    def blank(self) -> Tensor:
        """The states [cells, width] when no token is read."""
        with torch.no_grad():
            device = input_device(self.model.backbone)
            return self.masked(torch.zeros(1, self.num_tokens, device=device))[0]

    def masked(self, masks: Tensor, part: slice = slice(None)) -> Tensor:
        """The states [batch, cells, width] under masks [batch, cells, tokens] or [batch, tokens].

        With ``part``, for these cells alone (whole steps), of which ``masks`` then holds the rows.
        """
        bins = self.grid.bins
        first, last, _ = part.indices(self.positions)
        steps = self.grid.steps[first // bins : last // bins]
        if len(masks) > self.rows:
            return torch.cat([self.masked(piece, part) for piece in torch.split(masks, self.rows)])
        batch = len(masks)
        if masks.ndim == 2:
            by_step = masks[:, None, None].expand(-1, len(steps), -1, -1)
        else:
            by_step = masks.reshape(batch, len(steps), bins, -1)
        size = max(self.rows // batch, 1)
        chunks = [slice(start, start + size) for start in range(0, len(steps), size)]
        return torch.cat([self._run(batch, by_step[:, chunk], steps[chunk]) for chunk in chunks], dim=1)

    def watched(self, interventions: Sequence[tuple[Site, Intervention]], on_pass: OnPass) -> None:
        """Replay without a mask while interventions look at attention; hand the states of some steps on, in turn.

        Runs under the caller's grad mode, ``on_pass`` after the interventions have ended.
        """
        size, bins = max(self.rows, 1), self.grid.bins
        for start in range(0, len(self.grid.steps), size):
            steps = self.grid.steps[start : start + size]
            with intercept(self.model.backbone, interventions, self.model.conditional_rows):
                denoised = self.model.denoise(self.generation, steps)
            states = self._cells(self._states(denoised, steps))[0]
            on_pass(slice(start * bins, (start + len(steps)) * bins), states)

    def by_position(self, site: Site, values: Tensor) -> Tensor:
        """What a site's queries hold, [steps, queries, n], by cell, [cells, n]: the mean over the stretch's queries."""
        return _by_bin(values, site, self.grid.bins).flatten(0, 1)

    def attention(self, watch: Callable[[Site, Tensor], None] | None = None) -> Tensor:
        """Attention of each cell on each token, mean over sites, heads and queries, float32 [cells, tokens].

        ``watch`` is handed each site's probabilities too, as :func:`xattnmask.capture_attention` does.

        Raises:
            SettingError: the audio never reads the prompt's tokens one by one.
        """
        sites = sites_reading_tokens(self.model, self.num_tokens, self.layers, self.streams)
        sums: list[Tensor] = []
        parts: list[Tensor] = []

        def add(site: Site, probabilities: Tensor) -> None:
            sums.append(self.by_position(site, probabilities.mean(1)))
            if watch is not None:
                watch(site, probabilities)

        def mean(part: slice, states: Tensor) -> None:
            parts.append(torch.stack(sums).mean(0))
            sums.clear()

        capture = CaptureProbabilities(add)
        with torch.no_grad():
            self.watched([(site, capture) for site in sites], mean)
        return torch.cat(parts)

    def moved(self) -> Tensor:
        """How far the text moves the prediction at each step, float32 [steps]: root mean square over the cells."""
        difference = (self.clean() - self.blank()).float().square()
        return difference.reshape(len(self.grid.steps), -1).sum(1).sqrt()

    def _run(self, batch: int, masks: Tensor | None, steps: Sequence[int]) -> Tensor:
        """States [batch, len(steps) * bins, width]; ``masks`` [batch, len(steps), bins or 1, tokens]."""
        if masks is None:
            denoised = self.model.denoise(self.generation, steps, batch)
        else:
            with patch(self.model, masks.flatten(0, 1), **self._patching):
                denoised = self.model.denoise(self.generation, steps, batch)
        return self._cells(self._states(denoised, steps))

    def _states(self, denoised: Denoised, steps: Sequence[int]) -> Tensor:
        if self.representation != "guidance":
            return denoised.as_(self.representation)
        with torch.no_grad():
            unconditional = self.model.denoise(self.generation, steps, text=False)
        return denoised.prediction.float() - unconditional.prediction.float()

    def _cells(self, states: Tensor) -> Tensor:
        """[batch, steps, columns, width] to [batch, steps * bins, columns of a bin * width]."""
        gathered = pad(states, (0, 0, 0, 1))[:, :, self._columns.to(states.device)]
        return gathered.flatten(3).flatten(1, 2)


def _columns_of_bins(grid: Grid) -> Tensor:
    """Int64 [bins, most columns of a bin]; where a bin has fewer, the index after the last column."""
    bins = grid.bin_of_column()
    members = [np.flatnonzero(bins == b) for b in range(grid.bins)]
    table = torch.full((grid.bins, max(map(len, members))), grid.columns)
    for row, found in zip(table, members, strict=True):
        row[: len(found)] = torch.from_numpy(found)
    return table


def _by_bin(probabilities: Tensor, site: Site, bins: int) -> Tensor:
    """Mean over the queries of each bin, [n, bins, tokens], of [n, queries, tokens]; a bin without any takes the mean
    of all."""
    rows, queries, tokens = probabilities.shape
    everywhere = probabilities.mean(1, keepdim=True).expand(-1, bins, -1)
    if site.places is None:
        return everywhere
    places = torch.as_tensor(site.places(queries), dtype=torch.float64, device=probabilities.device)
    timed = ~places.isnan()
    index = (places[timed] * bins).long().clamp(0, bins - 1)
    sums = probabilities.new_zeros(rows, bins, tokens).index_add_(1, index, probabilities[:, timed])
    counts = torch.bincount(index, minlength=bins)[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), everywhere)

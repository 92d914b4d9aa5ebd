"""Judges by the names people type, and what they say, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CheckpointError, PluginError, SettingError, XattnmaskError
from .plugins import registry
from .plugins.discovery import JUDGES
from .plugins.loader import blaming, name_plugin, one_line
from .plugins.offers import Judge


def load_judge(key: str, checkpoint: str | None = None, *, device: str = "cpu",
               labels: Sequence[str] | None = None) -> Judge:
    """Load an audio classifier, such as ``load_judge("ast", "MIT/ast-finetuned-audioset-10-10-0.4593")``.

    Args:
        key: name of an installed judge; ``xattnmask judges`` lists them.
        checkpoint: folder or hub id; the judge's own when not given.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``xpu``.
        labels: what a zero-shot judge is to tell apart, two names at least; other judges have labels of their own.

    Raises:
        UnknownKeyError: no plugin offers the judge; the message offers the nearest names.
        SettingError: labels are missing, too few, given twice or not to be given; or no such device.
        CheckpointError: the checkpoint is missing, partial or corrupt.
        MissingLibraryError, PluginError: the judge's library is not installed, or its plugin is broken.
    """
    kind = registry.judge(key)
    settings: dict[str, Any] = {"device": device}
    if labels is not None or kind.takes_labels:
        settings["labels"] = _checked_labels(key, kind, labels)
    return _load(key, kind, checkpoint, settings)


def probabilities(judge: Judge, audio: npt.NDArray[np.floating], sample_rate: int) -> npt.NDArray[np.float64]:
    """What ``judge`` says of a sound, float64 [labels]; PluginError where that is no probability for each label."""
    found = np.asarray(judge(audio, sample_rate), dtype=np.float64)
    name = type(judge).__name__
    if found.shape != (len(judge.labels),):
        raise PluginError(f"judge {name} has {len(judge.labels)} labels and gave probabilities {list(found.shape)}")
    if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1 + 1e-5):
        raise PluginError(f"judge {name} gave what is no probability")
    if not judge.multilabel and abs(found.sum() - 1) > 1e-3:
        raise PluginError(f"the probabilities of judge {name} sum to {found.sum():.3f}: it should be multilabel")
    return found


def _checked_labels(key: str, kind: type[Judge], labels: Sequence[str] | None) -> list[str]:
    if not kind.takes_labels:
        raise SettingError(f"judge {key!r} has labels of its own: leave labels out")
    names = [" ".join(label.split()) for label in labels or []]
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise SettingError(f"judge {key!r} needs labels to tell apart: two names at least, each once")
    return names


def _load(key: str, kind: type[Judge], checkpoint: str | None, settings: dict[str, Any]) -> Judge:
    try:
        return kind.load(checkpoint, **settings)
    except XattnmaskError:
        raise
    except ImportError as error:
        with blaming(JUDGES, key):
            raise error
    except OSError as error:
        raise CheckpointError(f"judge {key!r} could not be loaded: {one_line(error)}") from error
    except Exception as error:
        raise PluginError(f"{name_plugin(JUDGES, key)} failed to load: {type(error).__name__}: {one_line(error)}") \
            from error
    raise AssertionError("unreachable")

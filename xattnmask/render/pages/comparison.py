"""What the page on a comparison shows, as JSON-able data."""

from __future__ import annotations

from typing import Any

from ...results.comparison import Comparison
from ...results.explanation import Explanation
from .data import head, heat, pieces, tables
from .sounds import sound_data


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Everything the template ``comparison.html`` and its script need."""
    most = max((abs(word.difference) for word in comparison.words if word.difference is not None), default=0.0) or 1.0
    return {
        "first": _side(comparison.first), "second": _side(comparison.second),
        "relative": comparison.relative, "correlation": comparison.correlation,
        "words": [{**vars(word), "share": None if word.difference is None else word.difference / most}
                  for word in comparison.words],
        "sounds": _sounds(comparison),
    }


def _side(explanation: Explanation) -> dict[str, Any]:
    return {"prompt": explanation.prompt, "pieces": pieces(explanation), "head": head(explanation),
            "diagnostics": list(explanation.diagnostics), "heat": heat(explanation), "tables": tables(explanation)}


def _sounds(comparison: Comparison) -> list[dict[str, Any]]:
    """The original sound of each, named apart."""
    found = []
    for side in ("first", "second"):
        explanation: Explanation = getattr(comparison, side)
        if "audio" in explanation.audio:
            made = sound_data("audio", explanation.audio["audio"], explanation.sample_rate)
            found.append({**made, "name": side, "title": side.capitalize(), "what": explanation.prompt})
    return found

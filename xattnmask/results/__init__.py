"""Explanations as data: tables, saving and loading, diagnostics. Needs numpy and nothing else; never torch."""

from __future__ import annotations

from .attention_map import AttentionMap
from .comparison import Comparison, WordDifference, compare
from .diagnostics import diagnose
from .explanation import Explanation
from .files import check_writable
from .table import WordScore, WordTable

__all__ = [
    "AttentionMap",
    "Comparison",
    "Explanation",
    "WordDifference",
    "WordScore",
    "WordTable",
    "check_writable",
    "compare",
    "diagnose",
]

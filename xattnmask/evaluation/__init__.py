"""Evaluating attribution methods on many prompts: by a judge, and against known causes."""

from .run import evaluate
from .table import Evaluation, SummaryRow

__all__ = ["Evaluation", "SummaryRow", "evaluate"]

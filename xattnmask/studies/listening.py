"""What people hear: a page on which they rate the words of clips, and their ratings beside importance and metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, SettingError
from ..evaluation.plan import Plan, checked_methods, checked_metrics
from ..evaluation.scoring import Bench
from ..evaluation.store import clean
from ..evaluation.table import SCORES
from ..metrics.statistics import mean_with_interval
from ..results.files import write_file
from .base import Finding, Panel, Setup, Study, markdown, shown
from .sanity import similarity

LIMIT, METHODS = 10, "learned,leave-one-out,attention"
PAGE, CLIPS = "listening.html", "listening.json"
FORMAT, RATINGS, VERSION = "xattnmask/listening", "xattnmask/ratings", 1
Record = dict[str, Any]


class Listening(Study):
    """Run once to write the page; run again in the same folder with the ratings to read them back."""

    name = "listening"
    question = "What people hear: writes an offline page with clips to rate by word, and reads the ratings back."
    options = {  # noqa: RUF012
        "methods": f"attribution methods, with commas between them (default: {METHODS})",
        "ratings": "files that were saved from the page, with commas between them: read them back",
    }

    def _run(self, setup: Setup) -> Finding:
        if setup.out is None:
            raise SettingError("study 'listening' needs a folder: its page is written there and its ratings read back")
        files = [Path(name.strip()) for name in setup.options.get("ratings", "").split(",") if name.strip()]
        return self._read(setup.out, files) if files else self._write(setup, setup.out)

    def _write(self, setup: Setup, out: Path) -> Finding:
        from ..render.pages import Clip, rating_page

        names = [name.strip() for name in setup.options.get("methods", METHODS).split(",") if name.strip()]
        known = setup.judge is not None, setup.world is not None
        metrics = checked_metrics(None, *known) if any(known) else ()
        plan = Plan(checked_methods(names), metrics, setup.seed, setup.repeats, truth="generated",
                    generate=setup.sound_settings())
        bench, cases, clips = Bench(setup.model, plan, setup.judge, setup.world), setup.cases(LIMIT), []
        records: list[Record] = []
        for number, case in enumerate(cases, 1):
            rows = clean(bench.rows(case))
            sound = setup.model.generate(case.prompt, seed=plan.seed + case.seed, **plan.generate)
            words = tuple(word.text for word in sound.words)
            clips.append(Clip(case.prompt, words, sound.audio, sound.sample_rate))
            records.append({"prompt": case.prompt, "words": list(words), "rows": rows})
            setup.told(number, len(cases), rows)
        study = hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()[:16]
        rating_page(clips, study, out / PAGE)
        text = json.dumps({"format": FORMAT, "version": VERSION, "study": study, "clips": records}, indent=1) + "\n"
        write_file(out / CLIPS, lambda path: path.write_text(text, encoding="utf-8"))
        rows = [{"clip": n, "prompt": record["prompt"], "method": row["method"], "word": word, "importance": importance}
                for n, record in enumerate(records, 1) for row in record["rows"]
                for word, importance in row.get("words", [])]
        table = markdown([{"clip": str(n), "prompt": record["prompt"]} for n, record in enumerate(records, 1)])
        note = f"Open {PAGE}, rate, save the ratings, and run the study again with --set ratings=FILE,..."
        return Finding(self.name, rows, table, (), (note,))

    def _read(self, out: Path, files: Sequence[Path]) -> Finding:
        content = _content(out / CLIPS, FORMAT)
        clips, heard = content["clips"], [_ratings(file, content) for file in files]
        rows = [{"clip": n, "prompt": clip["prompt"], "method": row["method"], **_likeness(row, ratings),
                 **{score: row.get(score) for score in SCORES if row.get(score) is not None}}
                for n, (clip, ratings) in enumerate(zip(clips, _means(heard), strict=True), 1) for row in clip["rows"]]
        methods = list(dict.fromkeys(row["method"] for row in rows))
        means = [mean_with_interval(_column(rows, "likeness", method)) for method in methods]
        named = zip(methods, means, strict=True)
        first = markdown([{"method": method, "ratings and importance": shown(mean)} for method, mean in named])
        second = markdown([{"metric": SCORES[score], "correlation with the likeness": f"{value:.3f}"}
                           for score, value in _with_metrics(rows).items()])
        note = (f"{len(files)} raters, {len(clips)} clips. Likeness: Spearman's rank correlation of mean ratings with "
                f"importance over the words of a clip, means with 95 % intervals.{_agreement(heard)}")
        panel = Panel("ratings and importance", tuple(methods), tuple(means))
        return Finding(self.name, rows, f"{first}\n{second}", (panel,), (note,))


def _content(path: Path, wanted: str) -> Record:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == wanted and content["version"] == VERSION:
            return dict(content)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise FormatError(f"{path} is not of the format {wanted}")


def _ratings(file: Path, study: Record) -> list[np.ndarray]:
    """Ratings of one person by clip, [words] each, NaN where there is none."""
    content = _content(file, RATINGS)
    if content.get("study") != study["study"]:
        raise SettingError(f"{file} rates other clips than those in this folder")
    try:
        found = [np.array([np.nan if value is None else float(value) for value in clip]) for clip in content["ratings"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file} holds no ratings") from error
    if [len(clip) for clip in found] != [len(clip["words"]) for clip in study["clips"]]:
        raise FormatError(f"{file} does not rate the words of these clips")
    return found


def _means(heard: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Mean ratings by clip, [words] each; NaN where nobody has rated a word."""
    found = []
    for ratings in zip(*heard, strict=True):
        known = ~np.isnan(ratings)
        count = known.sum(0)
        found.append(np.where(count > 0, np.nansum(ratings, axis=0) / np.maximum(count, 1), np.nan))
    return found


def _likeness(row: Mapping[str, Any], ratings: np.ndarray) -> dict[str, float | None]:
    importance = np.array([value for _, value in row.get("words", [])], dtype=float)
    return {"likeness": _correlation(importance, ratings) if len(importance) else None}


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's, over what both have; None where that is nothing to rank."""
    both = ~(np.isnan(a) | np.isnan(b))
    return similarity(a[both], b[both]) if both.sum() > 1 else None


def _column(rows: Sequence[Record], name: str, method: str | None = None) -> np.ndarray:
    values = [row.get(name) for row in rows if method in (None, row["method"])]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _with_metrics(rows: Sequence[Record]) -> dict[str, float]:
    """Over clips and methods: the correlation of each metric with how like importance is to the ratings."""
    likeness = _column(rows, "likeness")
    found = {score: _correlation(_column(rows, score), likeness) for score in SCORES if score != "seconds"}
    return {score: value for score, value in found.items() if value is not None}


def _agreement(heard: Sequence[Sequence[np.ndarray]]) -> str:
    """How like the raters are to each other, where there are several."""
    values = [_correlation(np.concatenate(a), np.concatenate(b)) for a, b in combinations(heard, 2)]
    known = [value for value in values if value is not None]
    return f" The raters' agreement, as such correlations between two: {np.mean(known):.3f}." if known else ""


LISTENING = Listening()

"""The page for listeners, and their ratings read back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from xattnmask import FormatError, SettingError
from xattnmask.studies import load_study
from xattnmask.studies.listening import _means

METHODS = {"methods": "attention,leave-one-out"}


@pytest.fixture
def study():
    return load_study("listening")


@pytest.fixture
def written(study, setup, tmp_path):
    """The folder of three clips, and what the study said of them."""
    return tmp_path, study.run(setup(limit=3, out=tmp_path, options=METHODS))


def rated(folder, name, ratings, **changes):
    """A file of ratings, as the page saves it."""
    content = json.loads((folder / "listening.json").read_text())
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"format": "xattnmask/ratings", "version": 1, "study": content["study"], "rater": name,
                                "ratings": ratings, **changes}))
    return path


def test_the_page_has_each_clip_with_its_sound_and_words(written):
    folder, found = written
    page = (folder / "listening.html").read_text()
    assert page.count("<audio controls") == 3 and page.count('src="data:audio/flac;base64,') == 3
    assert page.count("<select data-clip") == 9 and "http" not in page.replace("http-equiv", "")
    assert len(found.rows) == 3 * 2 * 3 and "--set ratings=" in found.notes[0]
    content = json.loads((folder / "listening.json").read_text())
    assert [clip["words"] for clip in content["clips"]] == [clip["prompt"].split() for clip in content["clips"]]


def test_ratings_are_compared_with_importance_and_metrics(study, setup, written):
    folder, _ = written
    content = json.loads((folder / "listening.json").read_text())
    one, two = [[0, 1, 4], [2, None, 3], [1, 0, 2]], [[1, 1, 3], [4, 4, None], [0, 0, 4]]
    files = ",".join(str(rated(folder, name, ratings)) for name, ratings in (("ann", one), ("bob", two)))
    found = study.run(setup(out=folder, options={"ratings": files}))
    assert len(found.rows) == 6
    importance = [value for _, value in content["clips"][0]["rows"][1]["words"]]
    assert found.rows[1]["likeness"] == pytest.approx(spearmanr(importance, [0.5, 1, 3.5]).statistic)
    likeness, fid = (np.array([row[name] for row in found.rows], float) for name in ("likeness", "fid_cf"))
    assert f"| Fid_CF | {spearmanr(fid, likeness).statistic:.3f} |" in found.table
    agreement = spearmanr([0, 1, 4, 2, 1, 0, 2], [1, 1, 3, 4, 0, 0, 4]).statistic
    assert found.notes[0].startswith("2 raters, 3 clips") and f"between two: {agreement:.3f}" in found.notes[0]
    assert len(found.save(folder)) == 3


def test_means_leave_out_what_nobody_rated():
    heard = [[np.array([1.0, np.nan, np.nan])], [np.array([3.0, 2.0, np.nan])]]
    np.testing.assert_array_equal(_means(heard)[0], [2, 2, np.nan])


def test_files_that_are_no_ratings(study, setup, written):
    folder, _ = written
    good = [[0, 1, 4], [2, 1, 3], [1, 0, 2]]
    for path, error, told in (
        (rated(folder, "other", good, study="another"), SettingError, "rates other clips"),
        (rated(folder, "short", good[:2]), FormatError, "does not rate the words"),
        (rated(folder, "words", [["x"]]), FormatError, "holds no ratings"),
        (rated(folder, "kind", good, format="x"), FormatError, "not of the format xattnmask/ratings"),
        (folder / "nothing.json", FormatError, "cannot read"),
    ):
        with pytest.raises(error, match=told):
            study.run(setup(out=folder, options={"ratings": str(path)}))


def test_without_a_folder_or_a_page(study, setup, tmp_path):
    with pytest.raises(SettingError, match="needs a folder"):
        study.run(setup())
    with pytest.raises(FormatError, match=r"cannot read .*listening.json"):
        study.run(setup(out=tmp_path, options={"ratings": "a.json"}))


def test_without_judge_or_world_there_are_words_to_rate_all_the_same(study, setup, tmp_path):
    from xattnmask import Case

    found = study.run(setup(world=None, judge=None, prompts=[Case("a dog")], out=tmp_path, options=METHODS))
    assert {row["word"] for row in found.rows} == {"a", "dog"}

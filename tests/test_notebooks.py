"""What a notebook shows: results as HTML, a progress bar, and the example, which runs."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import xattnmask
from xattnmask import StepEvent, WordTable
from xattnmask.plugins.listeners import listeners
from xattnmask.results import WordScore

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
EVIL = "a <b>dog</b> </script> & 'x' \"y\""


class Balanced(HTMLParser):
    """Fails on elements that are not closed; collects their names and what is written."""

    def __init__(self, html):
        super().__init__()
        self.open, self.names, self.written = [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.names.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.written += data


def test_a_table_of_words():
    found = Balanced(WordTable([WordScore(EVIL, 0, 3, 0.5), WordScore("dog", 4, 7, -0.1)])._repr_html_())
    assert EVIL in found.written and "0.5" in found.written and "b" not in found.names
    assert Balanced(WordTable()._repr_html_()).names[0] == "table"


def test_a_generation_plays(sound):
    html = replace(sound, prompt=EVIL)._repr_html_()
    found = Balanced(html)
    assert found.names.count("audio") == 1 and EVIL in found.written and "seed 1" in found.written
    assert "data:audio/flac;base64," in html
    assert "taken in" in replace(sound, encoded=True)._repr_html_()


def test_an_explanation_shades_its_prompt(toy_model, sound):
    explanation = replace(xattnmask.explain(toy_model, sound, method="attention"), diagnostics=("<u>doubt",))
    found = Balanced(explanation._repr_html_())
    assert "a dog barks loudly" in found.written and "<u>doubt" in found.written and found.names.count("audio") == 1
    opacity = [float(value) for value in re.findall(r"rgba\(54, 120, 190,(0\.\d+)\);border", explanation._repr_html_())]
    assert np.argmax(opacity) == np.argmax([row.importance for row in explanation.words()]) and len(opacity) == 4


@pytest.fixture
def notebook(monkeypatch):
    """As in a kernel: IPython with a shell; what is displayed is collected."""
    shown = []
    handle = SimpleNamespace(update=shown.append)
    display = ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda html, display_id: shown.append(html) or handle
    module = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace(kernel=True)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_progress_in_a_notebook(notebook, toy_model, sound):
    with xattnmask.progress():
        xattnmask.explain(toy_model, sound, steps=3, tolerance=0.0)
    assert [re.search(r"value='(\d+)'", html)[1] for html in notebook if "value" in html] == ["0", "1", "2", "3", "1"]
    assert "loss" in notebook[2] and "explained" in notebook[-1]
    count = len(notebook)
    listeners().xattnmask_step(event=StepEvent(0, 1, {}))
    assert len(notebook) == count  # it listens no more


def test_progress_elsewhere_prints_nothing_where_there_is_no_terminal(toy_model, sound, capsys):
    with xattnmask.progress():
        xattnmask.explain(toy_model, sound, steps=2)
    assert capsys.readouterr() == ("", "")


def test_the_example_runs(tmp_path):
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("xattnmask_foley")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # none of one machine's results is kept in it
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    html = "".join(output.get("data", {}).get("text/html", "") for cell in notebook.cells if cell.cell_type == "code"
                   for output in cell.outputs)
    assert html.count("<audio") >= 3 and "<progress" in html and "<table" in html
    assert (tmp_path / "out" / "report.html").exists()

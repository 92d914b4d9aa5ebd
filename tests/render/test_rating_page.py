"""The page on which people rate words, in a real browser: what is entered, kept and saved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xattnmask.render.pages import Clip, rating_page

from .browser import pages

SOUND = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
CLIPS = [Clip("a <b>dog</b>", ("a", "<b>dog</b>"), SOUND, 8000), Clip("rain", ("rain",), SOUND, 8000)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    yield from pages(tmp_path_factory.mktemp("chromium"))


def test_ratings_are_shown_as_text_and_kept(browser, tmp_path):
    path = tmp_path / "listening.html"
    rating_page(CLIPS, "s1", path)
    page = browser.open(path)
    choose = ("const [clip, word, value] = arguments; const select = document.querySelector("
              "`select[data-clip='${clip}'][data-word='${word}']`); select.value = value; "
              "select.dispatchEvent(new Event('input'))")
    page.run(choose, 0, 1, "4")
    page.run(choose, 1, 0, "0")
    page.run("const name = document.getElementById('rater'); name.value = ' Ann '; "
             "name.dispatchEvent(new Event('input'))")
    text = json.loads(page.run("return document.getElementById('text').value"))
    assert text == {"format": "xattnmask/ratings", "version": 1, "study": "s1", "rater": "Ann",
                    "ratings": [[None, 4], [0]]}
    assert page.text("count") == "2 of 3 words are rated" and page.errors() == []
    assert page.run("return document.querySelectorAll('h2 b').length") == 0
    again = browser.open(path)
    assert json.loads(again.run("return document.getElementById('text').value"))["ratings"] == [[None, 4], [0]]


def test_saving_offers_a_file_named_after_the_rater(browser, tmp_path):
    path = tmp_path / "listening.html"
    rating_page(CLIPS, "s2", path)
    page = browser.open(path)
    page.run("window.saved = []; HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download) };"
             "document.getElementById('rater').value = 'Bob & co'; document.getElementById('save').click()")
    assert page.run("return window.saved") == ["ratings-Bob-co.json"] and page.errors() == []


def test_the_page_loads_nothing_and_holds_no_other_script():
    html = rating_page(CLIPS, "s3")
    assert html.count("<script") == 2 and "wavesurfer.js 8.0.1" not in html and "default-src &#39;none&#39;" in html
    assert "a &lt;b&gt;dog&lt;/b&gt;" in html

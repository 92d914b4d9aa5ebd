"""The report in a real, headless Chromium, from disk and without network."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from xattnmask.render import comparison_report, edit_report, index_page, report
from xattnmask.render.pages import Entry
from xattnmask.results import compare

from .browser import pages

EVIL = "a <b>dog</b> </script><script>window.hacked=1</script> & 'barks' \"then\" <img src=x onerror=window.hacked=2>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    yield from pages(tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def explanation(make):
    """Two seconds in which each word has a time of its own."""
    made = make()
    importance = np.zeros(made.importance.shape, dtype=np.float32)
    for word in range(6):
        importance[8 * word : 8 * word + 8, word] = 0.5 + 0.1 * word
    sounds = {name: made.audio["audio"] for name in ("audio", "factual", "counterfactual")}
    return replace(made, importance=importance, audio=sounds, diagnostics=("the mask is a fake",))


@pytest.fixture
def page(browser, explanation, tmp_path):
    path = tmp_path / "report.html"
    report(explanation, path)
    return browser.open(path)


def test_loads_without_a_word_in_the_console(page):
    assert page.errors() == []
    assert page.run("return document.querySelectorAll('audio').length") == 3
    page.until(lambda: page.run("return [...document.querySelectorAll('audio')].every((a) => a.readyState >= 2)"))
    assert page.run("return [...document.querySelectorAll('audio')].map((a) => a.duration)") == pytest.approx([2] * 3)
    assert "the mask is a fake" in page.run("return document.body.innerText")


def test_words_are_those_of_the_explanation(page, explanation):
    whole = {row.text: row.importance for row in explanation.words()}
    assert page.scores() == pytest.approx(whole, abs=6e-4)
    assert len(set(page.shades())) > 1


def test_playing_moves_the_playhead_and_the_shading(page):
    before = page.shades()
    page.driver.find_element("id", "play").click()
    page.until(lambda: page.run("return document.querySelector('audio').currentTime > 0.4"))
    assert page.shades() != before
    assert page.text("mode").startswith("Importance at ")
    page.until(lambda: darkest(page.shades()) >= 2)  # each word has its time
    page.until(lambda: page.run("return document.querySelector('audio').ended"))
    page.until(lambda: page.shades() == before)
    assert page.errors() == []


def darkness(colour):
    return -sum(int(channel) for channel in re.findall(r"\d+", colour)[:3])


def darkest(shades):
    """Index of the darkest of what was read at one moment: the sound goes on playing."""
    return shades.index(max(shades, key=darkness))


def test_one_sound_at_a_time(page):
    page.driver.find_element("id", "play").click()
    page.until(lambda: page.run("return !document.querySelector('audio').paused"))
    page.run("document.getElementById('sound-factual').play()")
    page.until(lambda: page.run("return document.querySelector('audio').paused"))


def test_dragging_gives_the_words_of_the_stretch(page, explanation):
    before = page.shades()
    page.drag(0.27, 0.62)
    start, end = map(float, re.findall(r"[\d.]+", page.text("interval")))
    assert (start, end) == pytest.approx((0.54, 1.24), abs=0.03)
    wanted = {row.text: row.importance for row in explanation.interval(start, end).words()}
    assert page.scores() == pytest.approx(wanted, abs=0.05)  # the shown times are rounded to 10 ms
    assert page.scores()["dog"] < page.scores()["barks"] and page.shades() != before
    page.driver.find_element("id", "clear").click()
    assert page.shades() == before and page.text("interval") == ""


def test_a_click_goes_there(page):
    page.drag(0.5, 0.5)
    page.until(lambda: page.run("return document.querySelector('audio').currentTime") == pytest.approx(1.0, abs=0.03))


def test_by_keyboard(page, explanation):
    from selenium.webdriver.common.keys import Keys

    page.keys(Keys.ARROW_RIGHT * 5)
    page.until(lambda: page.run("return document.querySelector('audio').currentTime") == pytest.approx(0.2, abs=0.02))
    page.keys(Keys.ARROW_RIGHT * 5, held=Keys.SHIFT)
    assert page.text("interval") == "0.20 – 0.40 s"
    wanted = {row.text: row.importance for row in explanation.interval(0.2, 0.4).words()}
    assert page.scores() == pytest.approx(wanted, abs=6e-4)
    slider = "return document.getElementById('tracks').getAttribute(arguments[0])"
    assert float(page.run(slider, "aria-valuenow")) == pytest.approx(0.4, abs=0.02)
    assert "selected" in page.run(slider, "aria-valuetext")
    page.keys(Keys.ESCAPE)
    assert page.text("interval") == ""
    page.keys(Keys.HOME, " ")
    page.until(lambda: page.run("return document.querySelector('audio').currentTime > 0.1"))
    page.keys(" ")
    page.until(lambda: page.run("return document.querySelector('audio').paused"))
    assert page.errors() == []


def test_special_tokens_are_hidden_until_asked_for(page, explanation):
    assert "</s>" not in page.scores()
    page.driver.find_element("id", "special").click()
    (special,) = explanation.special()
    assert page.scores()["</s>"] == pytest.approx(special.importance, abs=6e-4)
    assert page.run("return [...document.querySelectorAll('.word.special')].every((word) => !word.hidden)")
    page.driver.find_element("id", "special").click()
    assert "</s>" not in page.scores()


@pytest.mark.parametrize("prompt", [EVIL, "犬 🐶 café $x^$ \u202e", "w" * 400, "a dog"])
def test_whatever_the_prompt_holds_is_text(browser, make, tmp_path, prompt):
    path = tmp_path / "report.html"
    report(make(prompt, model="<i>m</i>", settings={"</script>": "<b>"}), path)
    page = browser.open(path, width=390)
    assert page.errors() == []
    assert page.run("return window.hacked") is None
    assert page.run("return document.querySelector('h1').getAttribute('aria-label')") == prompt
    assert page.run("return document.querySelectorAll('img, b b, i i').length") == 0
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_fits_and_can_be_read(browser, explanation, tmp_path, theme, width):
    path = tmp_path / "report.html"
    report(explanation, path)
    page = browser.open(path, width, theme)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert min(page.run(CONTRASTS)) >= 4.5  # WCAG 2 AA
    light = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (darkness(light) < -600) == (theme == "light")


CONTRASTS = """
const luminance = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll('h2, p, dt, dd, th, td, .text, .score, button, .gutter span, kbd, li, footer')]
    .filter((e) => e.offsetParent && e.textContent.trim())
    .map((e) => { const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05); });
"""


def test_a_change_of_theme_redraws(page):
    before = page.shades()
    page.theme("dark")
    page.until(lambda: page.shades() != before)


def test_denoising_steps(browser, make, tmp_path):
    random = np.random.default_rng(1)
    made = make(steps=np.arange(10)[::-1] * 100.0, step_importance=random.random((10, 7), dtype=np.float32))
    report(made, tmp_path / "report.html")
    page = browser.open(tmp_path / "report.html")
    whole = page.scores()
    page.run("const s = document.getElementById('step'); s.value = 3; s.dispatchEvent(new Event('input'))")
    assert page.text("step-text") == "step 4 of 10 (600)"
    wanted = dict(zip(["a", "dog", "barks", "then", "a", "siren"], made.word_importance(by="step")[3], strict=True))
    assert page.scores() == pytest.approx({word: float(value) for word, value in wanted.items()}, abs=6e-4)
    page.driver.find_element("id", "all-steps").click()
    assert page.scores() == whole and page.errors() == []


def choose_step(page, step):
    page.run("const s = document.getElementById('step'); s.value = arguments[0];"
             "s.dispatchEvent(new Event('input'))", step)


CELLS = """
const canvas = document.querySelector('#tracks > div').shadowRoot.querySelector('.canvases canvas');
const scale = canvas.width / canvas.clientWidth, copy = document.createElement('canvas');
[copy.width, copy.height] = [canvas.width, canvas.height];
const context = copy.getContext('2d', { willReadFrequently: true });
context.drawImage(canvas, 0, 0);
const place = tracks.layout(6, JSON.parse(document.getElementById('data').textContent).sounds[0]);
return Array.from({ length: 6 }, (_, word) => Array.from({ length: arguments[0] }, (_, frame) => {
    const x = ((frame + 0.5) / arguments[0]) * canvas.width, y = (place.at.heat + (word + 0.5) * place.row) * scale;
    const [r, g, b] = context.getImageData(Math.round(x), Math.round(y), 1, 1).data;
    return 765 - r - g - b; }));
"""
"""Darkness of each cell [words, frames] of the heat map, as it was drawn."""


def test_at_a_step_the_heat_map_is_that_steps(browser, make, tmp_path):
    cube = np.random.default_rng(1).random((3, 20, 7)).astype(np.float32)
    made = make(frames=20, steps=[1, 4, 7], step_time_importance=cube, step_importance=cube.mean(1),
                importance=cube.mean(0), step_weights={"noise": [0.9, 0.6, 0.25]})
    report(made, tmp_path / "report.html")
    page = browser.open(tmp_path / "report.html")

    def check(values):
        drawn = np.array(page.run(CELLS, 20), dtype=float)
        rank = lambda matrix: matrix.ravel().argsort().argsort()  # noqa: E731
        assert np.corrcoef(rank(drawn), rank(values[:, :6].T))[0, 1] > 0.99

    whole, shades = page.scores(), page.shades()
    check(cube.mean(0))
    for step in (2, 0):
        choose_step(page, step)
        check(cube[step])
        assert page.scores()["dog"] == pytest.approx(float(cube[step, :, 1].mean()), abs=2e-3)
    assert page.text("step-text") == "step 1 of 3 (1, 90 % noise)" in page.text("mode")
    page.drag(0.02, 0.48)
    assert page.scores()["dog"] == pytest.approx(float(cube[0, :10, 1].mean()), abs=2e-3)
    page.driver.find_element("id", "clear").click()
    page.driver.find_element("id", "all-steps").click()
    check(cube.mean(0))
    assert page.scores() == whole and page.shades() == shades and page.errors() == []


def test_playing_at_a_step_shades_by_that_step(browser, make, tmp_path):
    cube = np.zeros((2, 4, 7), dtype=np.float32)
    for frame in range(4):
        cube[0, frame, frame] = cube[1, frame, 5 - frame] = 1
    made = make(frames=4, steps=[0, 1], step_time_importance=cube, step_importance=cube.mean(1),
                importance=cube.mean(0))
    report(made, tmp_path / "report.html")
    page = browser.open(tmp_path / "report.html")
    for step, word in ((0, 1), (1, 4)):
        choose_step(page, step)
        page.run("const sound = document.querySelector('audio'); sound.currentTime = 0.55; sound.play()")
        page.until(lambda wanted=word: darkest(page.shades()) == wanted)
        page.run("document.querySelector('audio').pause()")
    assert page.errors() == []


def test_without_a_sound(browser, make, tmp_path):
    report(make(audio={}, sample_rate=0), tmp_path / "report.html")
    page = browser.open(tmp_path / "report.html")
    page.drag(0.25, 0.5)
    assert page.text("interval") and page.errors() == []


def test_the_other_pages_load(browser, explanation, tmp_path):
    other = replace(explanation, importance=explanation.importance[::-1], prompt="a cat barks then a siren")
    comparison_report(compare(explanation, other), tmp_path / "comparison.html")
    edit_report(EVIL, ["<b>=0"], {"original": np.zeros(900), "edited": np.ones(900)}, 16000, tmp_path / "edit.html")
    index_page([Entry(EVIL, "0001-a", explanation.words()), Entry("b", "0002-b", error="<i>"), Entry("c", "c")],
               tmp_path / "index.html")
    for name in ("comparison", "edit", "index"):
        page = browser.open(tmp_path / f"{name}.html", width=390, still=name == "index")
        assert page.errors() == [] and page.run("return window.hacked") is None
        assert page.run("return document.documentElement.scrollWidth <= innerWidth"), name

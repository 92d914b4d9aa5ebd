"""The foley world without its models: what captions mean, what is rendered, and which words cause which frames."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from xattnmask_foley.world import (
    DURATION,
    SAMPLE_RATE,
    SOURCES,
    Caption,
    activity,
    parse,
    render,
    rephrase,
    sample_caption,
    truth,
)
from xattnmask_foley.world.grammar import BANDS, CLASSES, CONNECTORS, FORWARD, REVERSE, TOGETHER
from xattnmask_foley.world.render import frame_rms

FRAMES = 100
FILLERS = ("article", "opener", "verb", "unknown")
ARRANGEMENTS = (None, FORWARD, REVERSE, TOGETHER)


def sampled(count: int, arrangement: str | None = "any", babble: float = 0.0) -> list[Caption]:
    return [sample_caption(np.random.default_rng([7, i]), arrangement, babble=babble) for i in range(count)]


def kinds(caption: Caption) -> list[str]:
    """The kind of each word."""
    return [caption.units[unit].kind for unit in caption.unit_of_word()]


def causes(text: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Truth by word; the words of ``text`` must differ."""
    words = text.split()
    assert len(set(words)) == len(words)
    return dict(zip(words, truth(parse(text), seed, FRAMES).T, strict=True))


def where(frames: np.ndarray) -> tuple[int, int]:
    """The first and the last frame that is true."""
    found = np.flatnonzero(frames)
    return int(found[0]), int(found[-1])


def heard(text: str, seed: int = 0) -> dict[str, tuple[int, int]]:
    active = activity(parse(text), seed, FRAMES)
    return {name: where(active[:, i]) for i, name in enumerate(SOURCES) if active[:, i].any()}


class TestGrammar:
    @pytest.mark.parametrize("arrangement", ARRANGEMENTS)
    def test_what_is_sampled_parses_to_itself(self, arrangement):
        for caption in sampled(100, arrangement):
            assert parse(caption.text) == caption
            assert caption.arrangement == arrangement

    def test_made_up_words_survive_parsing_as_unknown(self):
        captions = sampled(60, babble=1.0)
        assert all([u.kind for u in c.units].count("unknown") == 1 for c in captions)
        plain = [c for c in captions if not {u.text for u in c.units if u.kind == "unknown"} & all_words()]
        assert len(plain) > 50
        for caption in plain:
            assert parse(caption.text).phrases == caption.phrases

    def test_case_and_space_do_not_matter(self):
        assert parse("  We hear  a LOUD Dog THEN the rain ") == parse("we hear a loud dog then the rain")

    def test_longer_units_come_first(self):
        units = parse("the dog is heard three times followed by the rain").units
        assert [u.text for u in units] == ["the", "dog", "is heard", "three times", "followed by", "the", "rain"]

    def test_each_word_knows_its_unit(self):
        assert parse("there is a bell three times").unit_of_word() == [0, 0, 1, 2, 3, 3]

    def test_what_modifiers_mean(self):
        (phrase,) = parse("a loud low dog twice").phrases
        assert (phrase.noun, phrase.loudness, phrase.pitch, phrase.count) == ("dog", 1.0, 0.7, 2)
        assert phrase.speed == 1.0

    def test_a_modifier_that_a_source_cannot_show_changes_nothing(self):
        assert parse("the fast high rain twice").phrases == parse("the rain").phrases

    def test_a_modifier_belongs_to_its_own_side_of_the_connector(self):
        first, second = parse("a faint dog and the loud rain").phrases
        assert (first.loudness, second.loudness) == (0.25, 1.0)

    @pytest.mark.parametrize("connector, meaning", CONNECTORS.items())
    def test_order_of_sounding(self, connector, meaning):
        caption = parse(f"a dog {connector} a siren")
        assert caption.arrangement == meaning
        assert caption.order == (("siren", "dog") if meaning == REVERSE else ("dog", "siren"))

    @pytest.mark.parametrize("text", [
        "", "   ", "the", "a zebra", "a dog a siren", "a dog then", "then a dog", "a dog then then a siren",
        "a dog then a siren then the rain", "a dog a siren then", "and a dog the rain", "dog and while rain",
    ])  # fmt: skip
    def test_what_is_no_caption_raises(self, text):
        with pytest.raises(ValueError, match=r"foley caption|connector must stand"):
            parse(text)

    def test_swaps_are_all_others_of_a_class(self):
        caption = parse("a loud dog then a siren")
        for index, unit in enumerate(caption.units):
            swapped = [other.units[index].text for other in caption.swaps(index)]
            assert sorted([*swapped, unit.text]) == sorted(CLASSES[unit.kind])
        assert not list(parse("a dog zzz").swaps(2))

    def test_sources_of_one_band_never_sound_together(self):
        pairs = {frozenset(c.order) for c in sampled(1500, TOGETHER)}
        assert not [pair for pair in pairs if any(pair <= set(band) for band in BANDS)]
        allowed = [p for p in product(SOURCES, SOURCES) if p[0] < p[1] and not any(set(p) <= set(b) for b in BANDS)]
        assert len(pairs) == len(allowed)

    def test_a_caption_never_names_one_source_twice(self):
        assert all(len(set(c.order)) == len(c.order) for c in sampled(500))

    def test_every_source_is_in_one_band(self):
        assert sorted(noun for band in BANDS for noun in band) == sorted(SOURCES)

    def test_saying_it_in_other_words_keeps_what_causes_the_sound(self):
        rng = np.random.default_rng(0)
        said = [(caption, rephrase(caption, rng, babble=0.5)) for caption in sampled(200)]
        assert all(a.phrases == b.phrases and a.arrangement == b.arrangement for a, b in said)
        assert sum(a.text != b.text for a, b in said) > 100

    def test_a_seed_fixes_a_caption(self):
        assert sampled(20, babble=0.5) == sampled(20, babble=0.5)


class TestRender:
    @pytest.mark.parametrize("noun", SOURCES)
    def test_a_seed_fixes_a_clip_and_another_changes_it(self, noun):
        caption = parse(f"the {noun}")
        clip = render(caption, 3)
        assert clip.dtype == np.float32 and clip.shape == (int(DURATION * SAMPLE_RATE),)
        assert np.array_equal(clip, render(caption, 3))
        assert np.abs(clip - render(caption, 4)).max() > 0.01

    def test_no_clip_is_silent(self):
        faint = [parse(f"a faint {noun}") for noun in SOURCES]
        for seed, caption in enumerate([*faint, *sampled(60)]):
            assert np.abs(render(caption, seed)).max() > 0.03, caption.text

    @pytest.mark.xfail(strict=True, reason="a loud dog reaches 1.6, loud rain 1.3; in 1 of 20 clips a few samples clip")
    def test_no_clip_goes_beyond_full_scale(self):
        for noun in SOURCES:
            assert np.abs(render(parse(f"a loud {noun}"), 0)).max() <= 1, noun

    def test_full_scale_is_left_seldom_and_briefly(self):
        """At most 2 % of the samples of any clip, so that a WAV of 16 bits, which clips them, sounds the same."""
        loud = [parse(f"a loud {a} and a loud {b}") for a, b in zip(SOURCES, [*SOURCES][3:], strict=False)]
        for seed, caption in enumerate([*loud, *sampled(60)]):
            assert np.mean(np.abs(render(caption, seed)) > 1) < 0.02, caption.text

    @pytest.mark.parametrize("noun", SOURCES)
    def test_loud_is_louder_than_faint(self, noun):
        loud, faint = (frame_rms(render(parse(f"a {how} {noun}"), 1), 1)[0] for how in ("loud", "faint"))
        assert loud == pytest.approx(4 * faint, rel=1e-4)

    @pytest.mark.parametrize("noun", ["dog", "bell", "bird", "drum", "telephone"])
    def test_counts_are_counted(self, noun):
        ends = [heard(f"a {noun} {count}")[noun][1] for count in ("once", "twice", "three times")]
        assert ends[0] < ends[1] < ends[2] < FRAMES // 2

    @pytest.mark.parametrize("connector, meaning", CONNECTORS.items())
    def test_where_sources_sound(self, connector, meaning):
        found = heard(f"a whistle {connector} the wind")
        if meaning == TOGETHER:
            assert all(start < 5 and end > 93 for start, end in found.values())
        else:
            first, second = ("whistle", "wind") if meaning == FORWARD else ("wind", "whistle")
            assert found[first][1] < found[second][0]
            assert 44 < found[second][0] < 56

    def test_activity_spans_the_gaps_inside_a_sound(self):
        caption = parse("a slow dog")
        silent = frame_rms(render(caption, 0), FRAMES) < 1e-3
        start, end = heard(caption.text)["dog"]
        assert silent[start:end].any()
        active = activity(caption, 0, FRAMES)
        assert active.shape == (FRAMES, len(SOURCES)) and active.sum() == end - start + 1

    def test_words_that_cause_nothing_change_nothing(self):
        plain = render(parse("a dog then the rain"), 5)
        for text in ("there is the dog zzz sounds then a rain plays", "listen to an dog then rain is heard qwerty"):
            assert np.array_equal(plain, render(parse(text), 5)), text


class TestTruth:
    def test_fillers_and_made_up_words_never_cause(self):
        for seed, caption in enumerate(sampled(12, babble=0.6)):
            caused = truth(caption, seed, FRAMES).any(0)
            assert not caused[[kind in FILLERS for kind in kinds(caption)]].any(), caption.text

    def test_nouns_and_connectors_always_cause(self):
        for seed, caption in enumerate(sampled(8)):
            caused = truth(caption, seed, FRAMES).any(0)
            assert caused[[kind in ("noun", "connector") for kind in kinds(caption)]].all(), caption.text

    @pytest.mark.parametrize("connector, first", [("then", "siren"), ("before", "siren"), ("after", "rain")])
    def test_a_noun_causes_frames_of_its_own_slot_alone(self, connector, first):
        caused = causes(f"a siren {connector} the rain")
        second = "rain" if first == "siren" else "siren"
        assert where(caused[first])[1] < where(caused[second])[0]
        assert caused[first].sum() > 40 and caused[second].sum() > 40

    def test_together_both_nouns_cause_throughout(self):
        caused = causes("a siren while the rain is heard")
        assert min(caused["siren"].sum(), caused["rain"].sum()) > 95

    def test_a_connector_causes_in_both_slots(self):
        caused = causes("a siren then the rain")
        assert caused["then"][:45].sum() > 40 and caused["then"][56:].sum() > 40

    def test_words_of_one_unit_share_their_truth(self):
        caused = causes("a bell three times followed by the wind")
        assert np.array_equal(caused["three"], caused["times"]) and caused["three"].any()
        assert np.array_equal(caused["followed"], caused["by"]) and caused["by"].any()

    def test_a_modifier_causes_where_its_own_noun_sounds(self):
        caused = causes("a faint siren then the rain")
        assert caused["faint"].any()
        assert not (caused["faint"] & ~caused["siren"]).any()

    def test_a_modifier_that_a_source_cannot_show_never_causes(self):
        assert not causes("the high rain")["high"].any()

    @pytest.mark.parametrize("text", ["a faint high dog twice", "the drum after a slow siren"])
    def test_is_what_swapping_by_hand_gives(self, text):
        """A word at a time, every other word of its class in its place, rendered anew and compared."""
        classes = {word: texts for texts in CLASSES.values() for word in texts}
        words, original = text.split(), render(parse(text), 2).astype(np.float64)
        expected = np.zeros((FRAMES, len(words)), dtype=bool)
        for index, word in enumerate(words):
            for other in classes[word]:
                changed = " ".join([*words[:index], other, *words[index + 1 :]])
                difference = render(parse(changed), 2) - original
                expected[:, index] |= np.sqrt((difference.reshape(FRAMES, -1) ** 2).mean(1)) > 1e-3
        assert np.array_equal(truth(parse(text), 2, FRAMES), expected)

    def test_a_seed_fixes_it(self):
        caption = parse("a loud dog and the rain")
        assert np.array_equal(truth(caption, 1, FRAMES), truth(caption, 1, FRAMES))
        assert truth(caption, 1, 50).shape == (50, 6)


def all_words() -> set[str]:
    return {word for texts in CLASSES.values() for text in texts for word in text.split()}

"""Listing and finding of what is offered, from metadata alone."""

from __future__ import annotations

import sys

import pytest

from xattnmask.errors import PluginConflictError, UnknownKeyError
from xattnmask.plugins.discovery import ADAPTERS, JUDGES, METHODS, find, keys, nearest, offers


def test_offers_tell_key_distribution_and_version_without_importing(alone):
    alone.add("sirens", {ADAPTERS: {"siren": "explodes_on_import:thing"}}, version="2.5",
              modules={"explodes_on_import": "raise RuntimeError"})
    (offer,) = offers(ADAPTERS)
    assert (offer.key, offer.distribution, offer.version, offer.value, offer.status) == (
        "siren", "sirens", "2.5", "explodes_on_import:thing", "ok")
    assert "explodes_on_import" not in sys.modules


def test_offers_of_a_group_do_not_show_other_groups(alone):
    alone.add("judges", {JUDGES: {"ear": "ear"}})
    assert offers(ADAPTERS) == []
    assert [offer.key for offer in offers(JUDGES)] == ["ear"]


def test_offers_are_sorted_by_key(alone):
    alone.add("b", {ADAPTERS: {"zebra": "z", "ant": "a"}})
    assert keys(ADAPTERS) == [offer.key for offer in offers(ADAPTERS)] == ["ant", "zebra"]


def test_a_key_claimed_twice_is_shown_and_raises_only_when_asked_for(alone):
    alone.add("first-dist", {ADAPTERS: {"siren": "a", "other": "c"}})
    alone.add("second-dist", {ADAPTERS: {"siren": "b"}})
    status = {(offer.key, offer.distribution): offer.status for offer in offers(ADAPTERS)}
    assert status == {("siren", "first-dist"): "conflict", ("siren", "second-dist"): "conflict",
                      ("other", "first-dist"): "ok"}
    assert find(ADAPTERS, "other").value == "c"
    with pytest.raises(PluginConflictError, match=r"'siren'.*first-dist.*second-dist"):
        find(ADAPTERS, "siren")


def test_the_same_key_in_two_groups_is_no_conflict(alone):
    alone.add("both", {ADAPTERS: {"siren": "a"}, METHODS: {"siren": "b"}})
    assert find(ADAPTERS, "siren").value == "a"
    assert find(METHODS, "siren").value == "b"


def test_a_distribution_found_twice_on_the_path_counts_once(distributions, monkeypatch):
    distributions.add("twice", {ADAPTERS: {"twice": "a"}})
    second = distributions.site.parent / "second"
    second.mkdir()
    (second / "twice-1.0.dist-info").symlink_to(distributions.site / "twice-1.0.dist-info")
    monkeypatch.syspath_prepend(str(second))
    assert [offer.status for offer in offers(ADAPTERS) if offer.key == "twice"] == ["ok"]


def test_an_unknown_key_is_told_with_the_nearest_names(alone):
    alone.add("sirens", {ADAPTERS: {"siren": "a", "zebra": "b"}})
    with pytest.raises(UnknownKeyError, match="no model 'sirn': did you mean siren"):
        find(ADAPTERS, "sirn")
    with pytest.raises(UnknownKeyError, match="there is siren, zebra"):
        find(ADAPTERS, "qqqq")


def test_with_nothing_installed_the_error_says_how_to_install(alone):
    with pytest.raises(UnknownKeyError, match=r"no model is installed.*pip install"):
        find(ADAPTERS, "musicgen")


def test_a_damaged_distribution_does_not_stop_the_listing(alone):
    alone.add("fine", {ADAPTERS: {"fine": "a"}})
    alone.add("damaged", {ADAPTERS: {"damaged": "b"}})
    (alone.site / "damaged-1.0.dist-info" / "METADATA").unlink()
    assert {offer.key: offer.distribution for offer in offers(ADAPTERS)}["fine"] == "fine"


@pytest.mark.parametrize(("word", "told"), [("flaot32", "did you mean float32"), ("xyz", "there is bool, float32")])
def test_nearest(word, told):
    assert nearest(word, ["float32", "bool"]).startswith(told)

"""Loading one plugin: what is checked, and how each way of being broken is told."""

from __future__ import annotations

import sys

import pytest

from xattnmask.errors import MissingLibraryError, PluginConflictError, PluginError, UnknownKeyError
from xattnmask.plugins import registry
from xattnmask.plugins.discovery import ADAPTERS, CHECKPOINTS, JUDGES, METHODS
from xattnmask.plugins.offers import Checkpoint

CHECKPOINT = """
    from pathlib import Path
    from xattnmask import Checkpoint, hookimpl

    @hookimpl
    def xattnmask_checkpoint():
        return Checkpoint("siren", Path("weights"), "a siren")
"""
ADAPTER = """
    from xattnmask import Adapter, hookimpl

    class Siren(Adapter):
        key = "siren"

    @hookimpl
    def xattnmask_adapter():
        return Siren
"""


def add(distributions, source, group=ADAPTERS, key="siren", **more):
    distributions.add("siren-dist", {group: {key: "siren_plugin"}}, modules={"siren_plugin": source}, **more)


def test_a_good_plugin_is_loaded(alone):
    add(alone, ADAPTER)
    assert registry.adapter("siren").__name__ == "Siren"


def test_an_entry_point_may_name_an_object_in_a_module(alone):
    source = """
        from xattnmask import Checkpoint, hookimpl

        class Offer:
            @hookimpl
            def xattnmask_checkpoint(self):
                return Checkpoint("siren", "weights", "")

        offer = Offer()
    """
    alone.add("d", {CHECKPOINTS: {"loud": "loud_plugin:offer"}}, modules={"loud_plugin": source})
    assert isinstance(registry.checkpoint("loud"), Checkpoint)


def test_only_the_plugin_asked_for_is_imported(alone):
    add(alone, CHECKPOINT, CHECKPOINTS)
    alone.add("broken", {CHECKPOINTS: {"broken": "broken_plugin"}}, modules={"broken_plugin": "1 / 0"})
    assert registry.checkpoint("siren").model == "siren"
    assert "broken_plugin" not in sys.modules


@pytest.mark.parametrize("source", ["1 / 0", "def broken(:", "import sys; sys.exit(3)", "import siren_plugin.missing"])
def test_a_broken_module_is_told_by_name_and_hurts_nobody_else(alone, source):
    add(alone, source)
    alone.add("other", {CHECKPOINTS: {"fine": "fine_plugin"}}, modules={"fine_plugin": CHECKPOINT})
    with pytest.raises(PluginError, match="'siren' of siren-dist could not be loaded") as caught:
        registry.adapter("siren")
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    assert registry.checkpoint("fine").model == "siren"


def test_an_entry_point_that_names_nothing_is_told(alone):
    alone.add("d", {ADAPTERS: {"gone": "no_such_module", "attribute": "siren_plugin:nothing"}},
              modules={"siren_plugin": ADAPTER})
    with pytest.raises(PluginError, match="'gone' of d could not be loaded"):
        registry.adapter("gone")
    with pytest.raises(PluginError, match="'attribute' of d could not be loaded"):
        registry.adapter("attribute")


def test_a_plugin_without_its_hook_is_told_with_the_hook(alone):
    add(alone, CHECKPOINT, ADAPTERS)
    with pytest.raises(PluginError, match="'siren' of siren-dist does not implement xattnmask_adapter"):
        registry.adapter("siren")


def test_a_hook_that_nobody_knows_is_told(alone):
    add(alone, ADAPTER + "\n    @hookimpl\n    def xattnmask_adaptor(): pass\n")
    with pytest.raises(PluginError, match="xattnmask_adaptor"):
        registry.adapter("siren")


def test_a_hook_with_other_arguments_is_told(alone):
    add(alone, ADAPTER.replace("xattnmask_adapter()", "xattnmask_adapter(colour)"))
    with pytest.raises(PluginError, match=r"does not match the hook specifications.*colour"):
        registry.adapter("siren")


def test_a_hook_that_raises_is_told(alone):
    add(alone, ADAPTER.replace("return Siren", "raise KeyError('wheel')"))
    with pytest.raises(PluginError, match=r"siren-dist could not be loaded.*KeyError.*wheel"):
        registry.adapter("siren")


def test_a_hook_that_returns_nothing_is_told(alone):
    add(alone, ADAPTER.replace("return Siren", "return None"))
    with pytest.raises(PluginError, match="returned nothing"):
        registry.adapter("siren")


@pytest.mark.parametrize(("source", "wanted"), [
    (ADAPTER.replace("return Siren", "return 3"), "subclass of Adapter, not 3"),
    (ADAPTER.replace('key = "siren"', 'key = "horn"'), "a class whose key is 'siren'"),
])
def test_what_an_adapter_plugin_hands_over_is_checked(alone, source, wanted):
    add(alone, source)
    with pytest.raises(PluginError, match=wanted):
        registry.adapter("siren")


def test_what_other_plugins_hand_over_is_checked(alone):
    alone.add("d", {METHODS: {"m": "m_plugin"}, JUDGES: {"j": "j_plugin"}, CHECKPOINTS: {"c": "c_plugin"}}, modules={
        f"{name}_plugin": f"from xattnmask import hookimpl\n@hookimpl\ndef xattnmask_{hook}(): return int\n"
        for name, hook in [("m", "method"), ("j", "judge"), ("c", "checkpoint")]
    })
    with pytest.raises(PluginError, match="method plugin 'm' of d must hand over an instance of Method"):
        registry.method("m")
    with pytest.raises(PluginError, match="judge plugin 'j' of d must hand over a subclass of Judge"):
        registry.judge("j")
    with pytest.raises(PluginError, match="checkpoint plugin 'c' of d must hand over a Checkpoint"):
        registry.checkpoint("c")


def test_unknown_and_contested_keys(alone):
    add(alone, ADAPTER)
    alone.add("rival", {ADAPTERS: {"siren": "rival_plugin"}})
    with pytest.raises(PluginConflictError, match=r"rival.*siren-dist"):
        registry.adapter("siren")
    with pytest.raises(UnknownKeyError, match="did you mean siren"):
        registry.adapter("sirens")


@pytest.mark.parametrize(("requires", "line"), [
    (["xattnmask", "no_such_library>=4.1"], 'pip install "no_such_library>=4.1"'),
    (["xattnmask", "no-such.library (>=4.1)"], 'pip install "no-such.library>=4.1"'),
    (["xattnmask", "no-such-library[audio]<3; python_version > '3'"], 'pip install "no-such-library[audio]<3"'),
    (["xattnmask", "pluggy", "python-no-such"], "pip install python-no-such"),
    (["xattnmask"], "pip install no_such_library"),
])
def test_a_missing_library_is_told_with_the_pip_line(alone, requires, line):
    add(alone, "import no_such_library.audio", requires=requires)
    with pytest.raises(MissingLibraryError) as caught:
        registry.adapter("siren")
    assert "model plugin 'siren' of siren-dist needs no_such_library" in str(caught.value)
    assert str(caught.value).endswith(line)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_library_that_is_missing_when_the_hook_runs_is_told_too(alone):
    add(alone, ADAPTER.replace("return Siren", "import no_such_library"), requires=["no-such-library"])
    with pytest.raises(MissingLibraryError, match="pip install no-such-library"):
        registry.adapter("siren")


def test_a_library_of_another_version_is_told(alone):
    add(alone, "from pluggy import Siren", requires=["pluggy>=99"])
    with pytest.raises(MissingLibraryError, match=r'installed pluggy \d.*pip install --upgrade "pluggy>=99"'):
        registry.adapter("siren")


def test_an_import_error_that_names_nothing_lists_what_is_not_installed(alone):
    add(alone, "raise ImportError('install me')", requires=["pluggy", "no-such-library>1", "extra-one; extra == 'x'"])
    with pytest.raises(MissingLibraryError, match=r'needs no-such-library: pip install "no-such-library>1"$'):
        registry.adapter("siren")

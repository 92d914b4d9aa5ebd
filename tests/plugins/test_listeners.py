"""Listeners: registered by hand and installed, and what a broken one does (nothing)."""

from __future__ import annotations

import warnings

import pytest

from xattnmask.errors import PluginError
from xattnmask.events import RunStart, StepEvent
from xattnmask.plugins import listeners as module
from xattnmask.plugins.discovery import LISTENERS
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.plugins.listeners import PluginWarning, listeners, register, unregister

RUN = RunStart("a dog", "learned", "siren", 2, {})
STEP = StepEvent(0, 2, {"loss": 1.0})
INSTALLED = """
    from xattnmask import hookimpl
    heard = []

    @hookimpl
    def xattnmask_step(event):
        heard.append(event)
"""


class Recorder:
    def __init__(self):
        self.heard = []

    @hookimpl
    def xattnmask_start(self, run):
        self.heard.append(run)

    @hookimpl
    def xattnmask_step(self, event):
        self.heard.append(event)

    @hookimpl
    def xattnmask_end(self):
        self.heard.append("end")


class Clumsy(Recorder):
    @hookimpl
    def xattnmask_step(self, event):
        raise OSError("tracker unreachable")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(module, "_registered", {})
    monkeypatch.setattr(module, "_installed", {})


def tell(relay):
    relay.xattnmask_start(run=RUN)
    relay.xattnmask_step(event=STEP)
    relay.xattnmask_end(explanation=None)


def test_a_registered_listener_hears_all_events_in_order(alone):
    recorder = Recorder()
    register(recorder)
    tell(listeners())
    assert recorder.heard == [RUN, STEP, "end"]


def test_registering_twice_changes_nothing_and_unregistering_ends_it(alone):
    recorder = Recorder()
    register(recorder)
    register(recorder)
    unregister(recorder)
    tell(listeners())
    assert recorder.heard == []
    with pytest.raises(PluginError, match="Recorder is not registered"):
        unregister(recorder)


def test_two_listeners_of_one_class_both_hear(alone):
    recorders = [Recorder(), Recorder()]
    for recorder in recorders:
        register(recorder)
    tell(listeners())
    assert [len(recorder.heard) for recorder in recorders] == [3, 3]


class Misspelt:
    @hookimpl
    def xattnmask_step(self, evnet):
        pass


@pytest.mark.parametrize("plugin", [object(), Recorder, Misspelt()])
def test_what_cannot_listen_is_refused(plugin):
    with pytest.raises(PluginError):
        register(plugin)


def test_a_listener_that_fails_is_warned_about_by_name_once_and_the_others_go_on(alone):
    clumsy, recorder = Clumsy(), Recorder()
    register(clumsy)
    register(recorder)
    relay = listeners()
    with pytest.warns(PluginWarning, match="Clumsy failed in xattnmask_step.*tracker unreachable") as caught:
        tell(relay)
        relay.xattnmask_step(event=STEP)
    assert len(caught) == 1
    assert clumsy.heard == [RUN]
    assert recorder.heard == [RUN, STEP, "end", STEP]


def test_ctrl_c_in_a_listener_passes_through(alone):
    class Stop:
        @hookimpl
        def xattnmask_step(self):
            raise KeyboardInterrupt

    register(Stop())
    with pytest.raises(KeyboardInterrupt):
        tell(listeners())


def test_an_installed_listener_is_imported_at_the_first_relay_and_hears(alone):
    alone.add("d", {LISTENERS: {"log": "log_plugin"}}, modules={"log_plugin": INSTALLED})
    tell(listeners())
    tell(listeners())
    import log_plugin

    assert log_plugin.heard == [STEP, STEP]


def test_a_broken_installed_listener_is_warned_about_once_and_left_out(alone):
    alone.add("bad-dist", {LISTENERS: {"bad": "bad_plugin"}}, modules={"bad_plugin": "1 / 0"})
    alone.add("d", {LISTENERS: {"log": "log_plugin"}}, modules={"log_plugin": INSTALLED})
    with pytest.warns(PluginWarning, match="'bad' of bad-dist"):
        tell(listeners())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell(listeners())
    import log_plugin

    assert log_plugin.heard == [STEP, STEP]


def test_a_contested_listener_is_warned_about_once(alone):
    for name in ("one", "two"):
        alone.add(name, {LISTENERS: {"log": f"{name}_plugin"}}, modules={f"{name}_plugin": INSTALLED})
    with pytest.warns(PluginWarning, match="claimed by one.*two") as caught:
        tell(listeners())
    assert len(caught) == 1

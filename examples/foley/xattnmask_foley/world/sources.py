"""Twelve procedural sound sources, apart from each other in frequency and in time structure.

A source is a function of a :class:`Manner` and of :class:`Draws`. All randomness comes from the draws, so
that the same draws with another word give the same sound but for what the word changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import signal

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Manner:
    """How a source sounds: factors on speed and pitch (1 = plain), and a number of events (None = all that fit)."""

    speed: float = 1.0
    pitch: float = 1.0
    count: int | None = None


class Draws:
    """The random draws of one sound: named uniforms in [0,1) and white noise, fixed by the seed.

    A draw's value depends on the seed and its name alone, never on which draws were made before.
    """

    def __init__(self, *seed: int):
        self._seed = seed

    def uniform(self, name: str, low: float, high: float) -> float:
        """The draw ``name``, scaled to [low, high)."""
        return low + (high - low) * float(self._generator(name).random())

    def noise(self, samples: int) -> np.ndarray:
        """White noise of unit variance, float64 [samples]; a longer draw begins with the shorter one."""
        return self._generator("noise").standard_normal(samples)

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng([*self._seed, *name.encode()])


Source = Callable[[Manner, Draws, int], np.ndarray]


def dog(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Barks: short harmonic bursts that fall in pitch, with breath noise."""
    pitch = manner.pitch * draws.uniform("pitch", 380, 460)
    length = int(0.17 * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    frequency = pitch * (1.25 - 2.2 * t)
    voice = _harmonics(frequency, [1, 0.9, 0.7, 0.4, 0.25, 0.12])
    bark = (voice + 0.25 * _band(draws.noise(length), 300, 2500)) * _burst(length, 0.012, 0.06)
    return _repeat(bark, draws.uniform("period", 0.42, 0.48), manner, samples)


def siren(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """A tone that wails up and down around 900 Hz."""
    t = np.arange(samples) / SAMPLE_RATE
    phase = 2 * np.pi * draws.uniform("phase", 0, 1)
    rate = manner.speed * draws.uniform("rate", 0.95, 1.2)
    frequency = manner.pitch * draws.uniform("pitch", 850, 950) * (1 + 0.3 * np.sin(2 * np.pi * rate * t + phase))
    return 0.5 * _harmonics(frequency, [1, 0.35, 0.2])


def rain(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Hiss above 4 kHz that flickers as drops do."""
    noise = _band(draws.noise(samples), 4000, 7600)
    flicker = np.abs(_band(np.roll(draws.noise(samples), samples // 3), 8, 60))
    return 0.55 * noise * (0.6 + flicker / flicker.std() * 0.25) * draws.uniform("level", 0.85, 1.1)


def bell(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Struck metal: inharmonic partials from 1.2 kHz that ring on."""
    length = int(0.5 * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    pitch = manner.pitch * draws.uniform("pitch", 1150, 1350)
    partials = [(1.0, 1.0, 0.22), (2.02, 0.7, 0.16), (2.76, 0.6, 0.12), (4.07, 0.3, 0.06)]
    strike = sum(level * np.exp(-t / decay) * np.sin(2 * np.pi * pitch * ratio * t) for ratio, level, decay in partials)
    strike = 0.45 * strike * np.minimum(1, (length - np.arange(length)) / 800)
    return _repeat(strike, draws.uniform("period", 0.52, 0.58), manner, samples)


def bird(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Three quick rising chirps at a time, between 3 and 5.5 kHz."""
    pitch = manner.pitch * draws.uniform("pitch", 3000, 3300)
    length = int(0.06 * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    chirp = _harmonics(pitch * (1 + 0.35 * t / t[-1]), [1.0]) * np.hanning(length)
    gap = np.zeros(int(0.02 * SAMPLE_RATE))
    song = np.concatenate([chirp, gap, chirp, gap, chirp])
    return 0.6 * _repeat(song, draws.uniform("period", 0.46, 0.54), manner, samples)


def engine(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """A low buzz that throbs."""
    t = np.arange(samples) / SAMPLE_RATE
    pitch = manner.pitch * draws.uniform("pitch", 72, 84)
    wobble = 1 + 0.01 * np.sin(2 * np.pi * 0.7 * t)
    buzz = _harmonics(pitch * wobble, [1, 0.9, 0.7, 0.4, 0.2])
    throb = 0.75 + 0.25 * np.sin(2 * np.pi * 9 * manner.speed * t)
    return 0.4 * buzz * throb


def clock(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Ticks and tocks around 2.3 kHz, four a second."""
    period = draws.uniform("period", 0.23, 0.27)
    tick, tock = (_click(f * draws.uniform("pitch", 0.95, 1.05), 0.012) for f in (2600, 2000))
    gap = np.zeros(int(period * SAMPLE_RATE / manner.speed) - len(tick))
    return 0.9 * _repeat(np.concatenate([tick, gap, tock]), 2 * period, manner, samples)


def drum(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Thumps that fall from 140 to 60 Hz."""
    length = int(0.22 * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    frequency = manner.pitch * draws.uniform("pitch", 58, 68) * (1 + 1.3 * np.exp(-t / 0.03))
    thump = _harmonics(frequency, [1, 0.4, 0.15]) * _burst(length, 0.004, 0.07)
    return 1.1 * _repeat(thump, draws.uniform("period", 0.42, 0.5), manner, samples)


def whistle(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """A steady, slightly wavering tone around 2.2 kHz."""
    t = np.arange(samples) / SAMPLE_RATE
    waver = 1 + 0.012 * np.sin(2 * np.pi * 5.5 * t + draws.uniform("phase", 0, 6))
    tone = _harmonics(manner.pitch * draws.uniform("pitch", 2050, 2300) * waver, [1, 0.05])
    return 0.4 * tone * np.minimum(1, t / 0.06)


def wind(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Noise between 250 and 750 Hz that swells slowly."""
    t = np.arange(samples) / SAMPLE_RATE
    swell = 0.8 + 0.2 * np.sin(2 * np.pi * (0.6 * t + draws.uniform("phase", 0, 1)))
    return 0.5 * _band(draws.noise(samples), 250, 750) * swell


def telephone(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Rings of two tones, 1.35 and 1.7 kHz, that trill."""
    length = int(0.33 * SAMPLE_RATE / manner.speed)
    t = np.arange(length) / SAMPLE_RATE
    pitch = manner.pitch * draws.uniform("pitch", 0.97, 1.03)
    trill = 0.55 + 0.45 * np.sign(np.sin(2 * np.pi * 20 * t))
    tones = np.sin(2 * np.pi * 1350 * pitch * t) + np.sin(2 * np.pi * 1700 * pitch * t)
    ring = 0.3 * tones * signal.lfilter([0.05], [1, -0.95], trill) * _fade(length)
    return _repeat(ring, draws.uniform("period", 0.5, 0.58), manner, samples)


def footsteps(manner: Manner, draws: Draws, samples: int) -> np.ndarray:
    """Heel and toe: two short crunches of noise at each step."""
    length = int(0.05 * SAMPLE_RATE)
    crunch = _band(draws.noise(length), 700, 3200) * _burst(length, 0.002, 0.015)
    gap = np.zeros(int(0.06 * SAMPLE_RATE))
    step = np.concatenate([crunch, gap, 0.6 * crunch])
    return 1.1 * _repeat(step, draws.uniform("period", 0.36, 0.42), manner, samples)


SOURCES: dict[str, Source] = {
    source.__name__: source
    for source in (dog, siren, rain, bell, bird, engine, clock, drum, whistle, wind, telephone, footsteps)
}


def _harmonics(frequency: np.ndarray, levels: list[float]) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    return np.sum([level * np.sin((n + 1) * phase) for n, level in enumerate(levels)], axis=0)


def _band(noise: np.ndarray, low: float, high: float) -> np.ndarray:
    sos = signal.butter(4, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos")
    return signal.sosfilt(sos, noise) * np.sqrt(SAMPLE_RATE / 2 / (high - low)) * 0.6


def _burst(length: int, attack: float, decay: float) -> np.ndarray:
    t = np.arange(length) / SAMPLE_RATE
    return np.minimum(1, t / attack) * np.exp(-np.maximum(0, t - attack) / decay)


def _click(frequency: float, decay: float) -> np.ndarray:
    t = np.arange(int(5 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    return np.sin(2 * np.pi * frequency * t) * np.exp(-t / decay)


def _fade(length: int, seconds: float = 0.01) -> np.ndarray:
    ramp = np.arange(length) / (seconds * SAMPLE_RATE)
    return np.minimum(1, np.minimum(ramp, ramp[::-1]))


def _repeat(event: np.ndarray, period: float, manner: Manner, samples: int) -> np.ndarray:
    """Lay ``event`` every ``period`` seconds (divided by the speed): ``count`` times, or as often as it fits."""
    hop = int(period * SAMPLE_RATE / manner.speed)
    out = np.zeros(samples + len(event))
    fits = max(1, (samples - len(event)) // hop + 1)
    for k in range(fits if manner.count is None else min(manner.count, fits)):
        out[k * hop : k * hop + len(event)] += event
    return out[:samples]

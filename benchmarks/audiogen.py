"""audiocraft: the authors' procedure beside ours on the class of model it was written for.

Quality and seconds on foley-audiogen, whose causes are known; seconds and memory also on random weights of the sizes of
musicgen-small's language model, five seconds of audio, where two of the 50 epochs are timed and scaled up. The large
model is as much as two cores bear: audiogen-medium is four times as large. Each peak of memory is that of a process of
its own, that loads the model and explains once.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from xattnmask_audiocraft.audiogen import AudioGen
from xattnmask_audiocraft.library import OmegaConf, builders
from xattnmask_audiocraft.patterns import emitters
from xattnmask_audiocraft.text_encoders import text_encoder
from xattnmask_foley.training.tokenizer import build as build_tokenizer

import xattnmask as xm

from .child import own_peak, told_by
from .models import PROMPT
from .quality import SUITES, scored, summary
from .report import table, write

CAPTION = "we hear a loud dog followed by the rain"
FOLEY, LARGE = "foley-audiogen", "random, 24 layers of 1024"
EPOCHS, TIMED = 50, 2
FRAMES = 250
"""Five seconds at 50 frames a second."""
CONFIG = {
    "lm_model": "transformer_lm",
    "device": "cpu",
    "dtype": "float32",
    "transformer_lm": {
        "n_q": 4, "card": 2048, "dim": 1024, "num_heads": 16, "num_layers": 24, "hidden_scale": 4, "norm": "layer_norm",
        "norm_first": True, "causal": True, "memory_efficient": True, "custom": False, "bias_ff": False,
        "bias_attn": False, "bias_proj": False, "activation": "gelu",
    },
    "codebooks_pattern": {"modeling": "delay", "delay": {"delays": [0, 1, 2, 3]}},
    "classifier_free_guidance": {"training_dropout": 0.0, "inference_coef": 3.0},
    "attribute_dropout": {},
    "fuser": {"sum": [], "prepend": [], "cross": ["description"], "input_interpolate": []},
    "conditioners": {"args": {}, "description": {"model": "t5", "t5": {"name": "t5", "finetune": False}}},
    "dataset": {"segment_duration": 30.0},
}  # fmt: skip


def run(captions: int, out: Path, threads: int) -> None:
    """Measure both models with both procedures and write a table."""
    torch.set_num_threads(threads)
    methods = SUITES["paper"]
    frame = pd.DataFrame(scored(xm.load(FOLEY), captions, methods, "rendered"))
    rows = [{"model": FOLEY, **row} for row in summary(frame)]
    for row in rows:
        row["peak MB"] = f"{_child(FOLEY, row['method'], threads)[1]:.0f}"
    for name in methods:
        seconds, peak = _child(LARGE, name, threads)
        rows.append({"model": LARGE, "method": name, "median s": f"{seconds:.2f}", "peak MB": f"{peak:.0f}"})
    for of_model in (rows[: len(methods)], rows[len(methods) :]):
        theirs = float(of_model[-1]["median s"])
        for ours in of_model[:-1]:
            ours["times faster than the authors'"] = f"{theirs / float(ours['median s']):.0f}"
    text = table(rows, f"python -m benchmarks audiogen --captions {captions} --threads {threads}")
    write(out / "audiogen.csv", frame.to_csv(index=False, float_format="%.5f"))
    write(out / "audiogen.md", text)
    print(text)


def large_model() -> AudioGen:
    """Random weights; the text encoder, run once a forward, is a T5 of two layers."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    sizes = transformers.T5Config(vocab_size=len(tokenizer), d_model=512, d_kv=64, d_ff=1024, num_layers=2, num_heads=8)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(f"{folder}/t5")
        transformers.T5EncoderModel(sizes).save_pretrained(f"{folder}/t5")
        config = OmegaConf.create(CONFIG)
        with text_encoder(config, folder):
            model = builders.get_lm_model(config)
    model.cfg = config
    return AudioGen(model.eval().requires_grad_(False), None, LARGE)


def random_generation(model: AudioGen, prompt: str, frames: int) -> xm.Generation:
    """A generation of random codes: enough to explain, and nothing has to be generated."""
    books = model.backbone.n_q
    codes = torch.randint(model.backbone.card, (books, frames), generator=torch.Generator().manual_seed(0))
    return xm.Generation(
        prompt=prompt, audio=np.zeros(frames * 640, np.float32), sample_rate=32000, tokens=model.tokenize(prompt),
        seed=0, settings={}, model=model.key, checkpoint=model.checkpoint, times=np.arange(frames + 1) / 50,
        positions=emitters(model.backbone.pattern_provider.get_pattern(frames)), replay={"codes": codes},
    )  # fmt: skip


def _child(model: str, method: str, threads: int) -> tuple[float, float]:
    """Seconds of explaining once, scaled up to all epochs, and the peak of the process in MB."""
    seconds, peak = told_by("audiogen", model, method, str(threads))
    return seconds, peak


def _measure(name: str, method: str) -> tuple[float, float]:
    kind, settings = SUITES["paper"][method]
    model = large_model() if name == LARGE else xm.load(name)
    generation = random_generation(model, PROMPT, FRAMES) if name == LARGE else model.generate(CAPTION, seed=0)
    timed = TIMED if name == LARGE and settings.get("preset") == "paper" else None
    start = time.perf_counter()
    xm.explain(model, generation, method=kind, **settings, **({"steps": timed} if timed else {}))
    seconds = (time.perf_counter() - start) * (EPOCHS / timed if timed else 1)
    return seconds, own_peak()


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(_measure(*sys.argv[1:3])))

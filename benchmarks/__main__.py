"""Command line of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
OUT = Path("docs/benchmark")


@app.command()
def quality(
    captions: int = 100, suite: str = "main", out: Path = OUT, threads: int = 1, audio: str = "rendered"
) -> None:
    """Score methods against the truth of the foley world; suites: main, methods, paper, learned."""
    from .quality import run

    run(captions, suite, out, threads, audio)


@app.command()
def speed(part: str = "foley", repeats: int = 5, out: Path = OUT, threads: int = 2, device: str = "cpu") -> None:
    """Time generating and explaining side by side; parts: foley, small, paper, patch, memory, length.

    small, paper and patch run on another device as well.
    """
    from .speed import run

    run(part, repeats, out, threads, device)


@app.command()
def methods(repeats: int = 5, out: Path = OUT, threads: int = 2) -> None:
    """Time every method on every bundled model, side by side: seconds, forward passes, peak memory."""
    from .methods import run

    run(repeats, out, threads)


@app.command()
def audiogen(captions: int = 12, out: Path = OUT, threads: int = 2) -> None:
    """Compare the authors' procedure with ours on models of audiocraft: seconds, peak memory, frame AUC."""
    from .audiogen import run

    run(captions, out, threads)


@app.command()
def diffusion(
    part: str = "seconds", captions: int = 20, repeats: int = 5, out: Path = OUT, threads: int = 2,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Explain the bundled diffusion models; parts: seconds, memory, steps (what fewer explained steps cost).

    Part large takes the seconds of random weights of cvssp/audioldm2's sizes, which want a GPU.
    """
    from .diffusion import run

    run(part, captions, repeats, out, threads, device)


@app.command()
def plane(captions: int = 30, out: Path = OUT, threads: int = 1) -> None:
    """Score where words stand in time and frequency on foley-audioldm2 against where their sources sound."""
    from .plane import run

    run(captions, out, threads)


@app.command()
def edit(
    captions: int = 100, split: str = "test", start: int = 0, rule: str = "", depth: str = "", out: Path = OUT,
    name: str = "edit", threads: int = 1,
) -> None:  # fmt: skip
    """Take words away and have the judge hear what is gone; splits: test, validation (to choose a rule by)."""
    from .edit import run

    settings = {key: value for key, value in (("rule", rule), ("depth", depth)) if value}
    run(captions, split, start, out, threads, settings, name)


@app.command()
def strengthen(
    captions: int = 12, split: str = "test", start: int = 0, out: Path = OUT, name: str = "strengthen", threads: int = 1
) -> None:
    """Strengthen the words of faint and of missed sources, and have the judge hear them."""
    from .strengthen import run

    run(captions, split, start, out, threads, name)


if __name__ == "__main__":
    app()

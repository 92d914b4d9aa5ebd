"""Command line of the converter: ``python -m xattnmask_audiocraft.convert SOURCE OUT``."""

from __future__ import annotations

import argparse
import sys

from xattnmask.errors import XattnmaskError

from . import convert


def main(arguments: list[str] | None = None) -> int:
    """Convert; 0, or 2 after an error of one line."""
    parser = argparse.ArgumentParser(
        prog="python -m xattnmask_audiocraft.convert",
        description="Write a MusicGen of transformers as a checkpoint folder of audiocraft.",
    )
    parser.add_argument("source", help="a named checkpoint (foley-musicgen), a folder or a hub id")
    parser.add_argument("out", help="a folder that is new or empty")
    given = parser.parse_args(arguments)
    try:
        print(convert(given.source, given.out))
    except XattnmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

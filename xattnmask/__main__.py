"""``python -m xattnmask``: the same as the command ``xattnmask``."""

from .cli import main

if __name__ == "__main__":
    main()

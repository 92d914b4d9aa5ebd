"""The command ``xattnmask``."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from ..errors import XattnmaskError
from .check import check
from .compare import compare
from .edit import edit
from .evaluate import evaluate
from .explain import explain
from .listing import judges, methods, models, worlds
from .new_adapter import new_adapter
from .plot import plot
from .study import study

app = typer.Typer(
    name="xattnmask",
    help="Tells which words of a prompt made which part of a generated sound.",
    epilog="Start with: xattnmask explain 'a dog barks then a siren wails'",
)
app.command()(explain)
app.command()(edit)
app.command()(compare)
app.command()(evaluate)
app.command()(study)
app.command()(plot)
app.command()(models)
app.command()(methods)
app.command()(check)
app.command()(new_adapter)
app.command()(judges)
app.command()(worlds)

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"xattnmask {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with ``arguments`` (the process's own by default) and exit.

    Exit codes: 0 done; 2 an error the user can mend, told in one line; 130 interrupted; 1 anything else.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(arguments, debug="--debug" in arguments))


def _run(arguments: list[str], debug: bool) -> int:
    command = typer.main.get_command(app)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line_warnings(warnings.showwarning)
            result = command.main(args=arguments, prog_name="xattnmask", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        result = 130
    except (XattnmaskError, _UsageError) as error:
        return _fail(_message(error), 2, debug)
    except Exception as error:
        hint = "" if debug else " (--debug shows where)"
        return _fail(f"unexpected {type(error).__name__}: {_message(error)}{hint}", 1, debug)
    if result == 130:
        print("xattnmask: interrupted", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"xattnmask: error: {message}", file=sys.stderr)
    return code


def _message(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = error.format_message() if isinstance(error, _UsageError) else str(error)  # type: ignore[attr-defined]
    return " ".join(text.split()) or type(error).__name__


def _one_line_warnings(show: Any) -> Any:
    from ..plugins.listeners import PluginWarning

    def showwarning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            print(f"xattnmask: warning: {message}", file=sys.stderr)
        else:
            show(message, category, *place, **more)

    return showwarning

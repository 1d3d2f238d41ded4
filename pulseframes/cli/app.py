"""The application that the commands belong to, how it runs, and its exit codes."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Annotated, Any, Final

import typer
import typer.core

import pulseframes as pf
from pulseframes._text import escaped
from pulseframes.cli.output import alert, print_warnings, set_quiet
from pulseframes.errors import cli_message

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
QUOTA_EXHAUSTED: Final = 3
STOPPED: Final = 130

#: The meaning of each exit code.
EXIT_CODES: Final = {
    DONE: "done",
    FAILED: "failed",
    WRONG_USAGE: "wrong usage",
    QUOTA_EXHAUSTED: "quota used up; results so far are saved, and the same command resumes later",
    STOPPED: "stopped by Ctrl-C; the same command resumes",
}

#: What Typer says of a value that is no number.
_NO_NUMBER: Final = re.compile(r"Input should be a valid (integer|number)\b.*", re.DOTALL)
#: Said of an error that may pass.
_AGAIN: Final = "Run the same command again later: it resumes, and nothing that was received is paid for twice."

#: What Typer raises for wrong usage, and does not export.
_UsageError: Final[Any] = typer.BadParameter.__base__


class _Commands(typer.core.TyperGroup):
    """The commands; the message of wrong usage, which may quote a file's name, does not control the terminal."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as problem:
            problem.message = escaped(_NO_NUMBER.sub(_in_words, problem.message))
            raise


def _in_words(match: re.Match[str]) -> str:
    return "not a whole number" if match[1] == "integer" else "not a number"


app = typer.Typer(
    cls=_Commands,
    help="Raygun Real User Monitoring sessions as typed tables.",
    epilog="\n\n".join(["Exit codes:", *(f"- {code}: {meaning}" for code, meaning in EXIT_CODES.items())]),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The parameters of the command that runs.
_PARAMETERS: ContextVar[Sequence[Any]] = ContextVar("parameters", default=())
#: Arguments in Python, and the parameters of commands that stand for them under another name.
_OTHER_NAMES: Final = {
    "path": "lake",
    "source": "lake",
    "rules": "privacy",
    "storage_options": "storage_option",
    "measures": "measure",
    "within": "precision",
    "output": "report",
}


def examples(*lines: str) -> str:
    """Return the end of a command's help: command lines to copy."""
    return "\n\n".join(["Examples:", *(f"- `pulseframes {line}`" for line in lines)])


def main() -> None:
    """Run the command line; the entry point of the ``pulseframes`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed one is None
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no failure
    with warnings.catch_warnings():
        print_warnings(_in_options)
        try:
            code = _exit_code()
        except KeyboardInterrupt:  # before Typer runs a command
            code = STOPPED
    if code == STOPPED and threading.active_count() > 1:  # Python would wait for a query that DuckDB cannot interrupt
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _exit_code() -> int:
    """Run a command, report errors on stderr and return the exit code."""
    try:
        app()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else DONE
    except (pf.InvalidQuery, pf.CredentialsMissing) as problem:
        return _failed(problem, WRONG_USAGE)
    except pf.QuotaExhausted as problem:
        rest = f"{problem.remaining:,} still to download: run the same command again then." if problem.remaining else ""
        return _failed(problem, QUOTA_EXHAUSTED, rest)
    except BrokenPipeError:
        # The reader of our output has stopped. Python would raise again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (pf.PulseError, OSError, ImportError) as problem:  # ImportError: an extra that is not installed
        return _failed(problem, FAILED, _AGAIN if isinstance(problem, pf.ServerError) and problem.retryable else "")
    return DONE


def _failed(problem: Exception, code: int, rest: str = "") -> int:
    alert("\n".join(filter(None, (f"error: {_in_options(problem)}", rest, *getattr(problem, "__notes__", ())))))
    return code


def _in_options(problem: object) -> str:
    """Return a problem's message with the running command's arguments and options in place of those in Python."""
    message, given = cli_message(problem), {parameter.name: parameter for parameter in _PARAMETERS.get()}
    named = given | {name: given[other] for name, other in _OTHER_NAMES.items() if other in given and name not in given}
    for name, parameter in named.items():
        argument = (parameter.metavar or name).rstrip(".")
        written = parameter.opts[0] if parameter.param_type_name == "option" else argument
        first = rf"^{name}\b|" if isinstance(problem, pf.InvalidQuery) else ""
        anywhere = rf"|\b{name}\b" if "_" in name else ""  # a name without an underscore may be just a word
        message = re.sub(rf"{first}\b{name}=(?=[.;, ]){anywhere}", written, message)
    return message


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only errors and warnings on stderr; goes before the command.")
    ] = False,
) -> None:
    set_quiet(quiet)
    if context.invoked_subcommand is not None:
        group: Any = context.command
        _PARAMETERS.set(group.commands[context.invoked_subcommand].params)
    if version:
        typer.echo(pf.__version__)
        raise typer.Exit

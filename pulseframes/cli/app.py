"""The application that the commands belong to, how it is run, and its exit codes."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, Final

import typer

from pulseframes.cli.output import be_quiet, say, show_warnings

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
QUOTA_EXHAUSTED: Final = 3
STOPPED: Final = 130

#: What the exit codes mean; after the last two, the same command goes on where it stopped.
EXIT_CODES: Final = {
    DONE: "done",
    FAILED: "failed",
    WRONG_USAGE: "wrong usage",
    QUOTA_EXHAUSTED: "no call is left, and what had come is saved: later, the same command goes on",
    STOPPED: "stopped by Ctrl-C: the same command goes on",
}

app = typer.Typer(
    help="Raygun Real User Monitoring sessions as typed tables.",
    epilog="\n\n".join(["Exit codes:", *(f"- {code}: {what}" for code, what in EXIT_CODES.items())]),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def examples(*lines: str) -> str:
    """Give what a command's help ends with: lines that can be run as they are."""
    return "\n\n".join(["Examples:", *(f"- `pulseframes {line}`" for line in lines)])


def main() -> None:
    """Run the command line; the entry point of the ``pulseframes`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed one is None
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no failure
    with warnings.catch_warnings():
        show_warnings()
        code = _exit_code()
    sys.exit(code)


def _exit_code() -> int:  # noqa: PLR0911  one return a kind of end
    """Run a command, and say on stderr what went wrong."""
    from pulseframes.errors import CredentialsMissing, InvalidQuery, PulseError, QuotaExhausted, SchemaViolation

    try:
        app()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else DONE
    except SchemaViolation as problem:
        say(f"error: {problem.summary} The other rows are written, and these beside them where there is an --output.")
        return FAILED
    except (InvalidQuery, CredentialsMissing) as problem:
        return _failed(problem, WRONG_USAGE)
    except QuotaExhausted as problem:
        code = _failed(problem, QUOTA_EXHAUSTED)
        if problem.remaining:
            say(
                f"{problem.remaining} are still to come: run the same command again then, and it goes on where it stopped."
            )
        return code
    except BrokenPipeError:
        # Whoever read our output has read enough. Python would complain once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PulseError, OSError, ImportError) as problem:  # an extra that is not installed is the last of these
        return _failed(problem, FAILED)
    return DONE


def _failed(problem: Exception, code: int) -> int:
    say(f"error: {problem}")
    return code


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say only errors and warnings on stderr; goes before the command.")
    ] = False,
) -> None:
    be_quiet(quiet)
    if version:
        from pulseframes._version import __version__

        typer.echo(__version__)
        raise typer.Exit

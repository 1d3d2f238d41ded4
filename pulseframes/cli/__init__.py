"""The command line: commands, their arguments and exit codes.

Data goes to stdout, everything else to stderr. Modules are imported inside the commands, so that ``--help`` does not wait
for polars.
"""

from typing import Final

from pulseframes.cli import fetch, lake, maintenance, query, remove, report, try_it
from pulseframes.cli.app import app, main

__all__ = ["app", "fetch", "lake", "main", "maintenance", "query", "remove", "report", "try_it"]

#: The order in which ``--help`` lists the commands.
COMMANDS: Final = (
    *("search", "details", "quota"),
    *("plan", "sync", "sql", "estimate", "report", "forget", "retain"),
    *("replay", "doctor"),
    *("schema", "demo", "simulate"),
)

app.registered_commands.sort(key=lambda command: COMMANDS.index(getattr(command.callback, "__name__", "")))

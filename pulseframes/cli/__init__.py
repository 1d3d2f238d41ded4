"""The command line: commands, their arguments and exit codes.

Data goes to stdout, everything else to stderr. The commands call the public API; ``import pulseframes`` loads each name on first
use, so ``--help`` does not wait for polars.
"""

from typing import Final

from pulseframes.cli import account, demo, fetch, lake, maintenance, publish, query
from pulseframes.cli.app import app, main

__all__ = ["account", "app", "demo", "fetch", "lake", "main", "maintenance", "publish", "query"]

#: The order in which ``--help`` lists the commands.
COMMANDS: Final = (
    *("search", "details", "quota"),
    *("plan", "sync", "sql", "estimate", "pages", "errors", "satisfaction", "report", "publish"),
    *("forget", "retain", "replay", "export_raw", "doctor", "login"),
    *("schema", "demo", "simulate"),
)

app.registered_commands.sort(key=lambda command: COMMANDS.index(getattr(command.callback, "__name__", "")))

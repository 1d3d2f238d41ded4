"""The command line: commands, their arguments and exit codes.

Data goes to stdout, everything else to stderr. Modules are imported inside the commands, so that ``--help`` does not wait
for polars. ``--help`` lists the commands in the order in which they are imported here.
"""

from pulseframes.cli import ask, lake, look_after, questions, remove, report, try_out
from pulseframes.cli.entry import app, main

__all__ = ["app", "ask", "lake", "look_after", "main", "questions", "remove", "report", "try_out"]

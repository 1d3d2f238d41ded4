"""Generates parts of the pages from the code, and checks the built site.

``<!-- generated: NAME -->`` on a page is replaced by one of the texts below while the site is built. Between
``<!-- committed: NAME -->`` and ``<!-- end -->`` stands the same kind of text, committed so that the page can be read in the
repository. Run this file to bring the committed texts up to date.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import notebook_pages
import pictures
import typer
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from typer.cli import get_docs_for_click
from typer.main import get_command

import pulseframes as pf
from pulseframes import errors
from pulseframes.cli import app as commands
from pulseframes.cli.app import EXIT_CODES
from pulseframes.endpoints import DETAIL
from pulseframes.tables import LAKE_TABLES, Privacy, Table
from pulseframes.tables.dictionary import entries

#: The public names by page, and for each class the members to document. The build fails if a public name is on no page.
API: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "sessions": {
        "search_sessions": (),
        "session_details": (),
        "SessionFrames": ("tables", "to_arrow", "to_pandas", "write_parquet", "write"),
        "certificate": (),
        "Certificate": ("call_ids", "fetched"),
        "frame_schema": (),
        "Progress": (),
        "ProgressHook": (),
    },
    "scan": {"scan_sessions": (), "scan_page_views": (), "scan_errors": (), "cost": ()},
    "client": {
        "PulseClient": ("quota", "last_calls", "calls_spent", "check_credentials", "close"),
        "quota": (),
        "Quota": (),
        "Credentials": ("find", "from_env"),
        "Settings": ("folder",),
    },
    "lake": {
        "sync": (),
        "SyncReport": ("as_dict",),
        "plan": (),
        "Plan": ("as_dict", "details_in"),
        "Lake": ("sessions", "page_views", "errors", "rejected", "design", "sql", "duckdb", "write", "coverage"),
        "PrivacyPolicy": (),
        "export_raw": (),
        "RawExport": ("as_dict",),
        "publish": (),
        "PublishReport": ("changed", "as_dict"),
        "forget": (),
        "retain": (),
        "Forgotten": ("found", "as_dict"),
    },
    "sample": {
        "estimate": (),
        "plan_precision": (),
        "PrecisionPlan": ("as_dict", "within_after"),
        "choose_details": (),
        "Design": ("name", "allocated"),
        "Sample": ("of_lake", "of_frames", "is_census"),
    },
    "analysis": dict.fromkeys(
        (
            "page_speed",
            "apdex",
            "satisfaction",
            "error_impact",
            "traffic",
            "paths",
            "landings",
            "compare",
            "features",
            "page_template",
        ),
        (),
    ),
    "report": {"report": (), "charts": ()},
    "errors": {
        "PulseError": (),
        "CredentialsMissing": (),
        "InvalidQuery": (),
        "AuthenticationFailed": (),
        "QuotaExhausted": (),
        "SessionNotFound": (),
        "ServerError": (),
        "MalformedAnswer": (),
        "JournalError": (),
        "LakeError": (),
        "SchemaViolation": ("summary",),
        "PulseWarning": (),
        "SchemaDriftWarning": (),
        "IncompleteWarning": (),
        "RejectedRowsWarning": (),
        "JournalWarning": (),
        "MissingSessionsWarning": (),
    },
}

SIMULATOR: Final[dict[str, tuple[str, ...]]] = {
    "Simulator": (
        "client", "start", "stop", "url", "now", "begin", "faults", "requests", "calls", "advance", "remove", "truth",
        "summaries", "detail", "handle",
    ),
    "Fault": ("from_json",),
    "load_faults": (),
}  # fmt: skip

DLT: Final[dict[str, tuple[str, ...]]] = {"source": ()}

_MARK: Final = re.compile(r"^<!-- generated: (\w+)(?: (\w+))? -->$", re.MULTILINE)
_COMMITTED: Final = re.compile(r"^<!-- committed: (\w+) -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_PICTURE: Final = re.compile(r"^<!-- picture: (\w+) -->$", re.MULTILINE)
#: HTML that makes a browser load something from another host; links that a reader may follow are allowed.
_LOADED: Final = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"'](?:https?:)?//|<link(?![^>]*canonical)[^>]*\shref=[\"'](?:https?:)?//|url\([\"']?(?:https?:)?//|@import"
)


def api(page: str) -> str:
    """Return the reference of a page's names, from their docstrings."""
    return _reference("pulseframes", API[page])


def charts() -> str:
    """Return the reference of the charts, with a mark below each where the build puts its picture."""
    text = _reference("pulseframes.charts", dict.fromkeys(pf.charts.__all__, ()))
    return re.sub(r"(\.\. autofunction:: pulseframes\.charts\.(\w+)\n```\n)", r"\1\n<!-- picture: \2 -->\n", text)


def simulated() -> str:
    """Return the reference of the simulator."""
    return _reference("pulseframes.simulator", SIMULATOR)


def dlt() -> str:
    """Return the reference of the source for dlt."""
    return _reference("pulseframes.dlt", DLT)


def tables() -> str:
    """Return the data dictionary: the tables as a lake stores them."""
    return "\n\n".join(f"## {name}\n\n{table.description}\n\n{_columns(table)}" for name, table in LAKE_TABLES.items())


def command_line() -> str:
    """Return each command's help, in the groups of ``pulseframes --help``."""
    group: Any = get_command(commands)
    panels: dict[str, list[str]] = {}
    with patch.dict(os.environ, {"COLUMNS": "200"}):
        for name, command in group.commands.items():
            context = typer.Context(command, info_name=name)
            text = get_docs_for_click(obj=command, ctx=context, indent=2, name=name, call_prefix="pulseframes")
            panels.setdefault(command.rich_help_panel, []).append(_tidied(text))
    return "\n\n".join(f"## {panel}\n\n" + "\n".join(texts) for panel, texts in panels.items())


def exit_codes() -> str:
    """Return the table of exit codes."""
    return _table(["exit code", "meaning"], [[str(code), what] for code, what in EXIT_CODES.items()])


def settings() -> str:
    """Return the settings with their environment variables and defaults, from the docstring and the fields."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("PULSEFRAMES_")]:
            del os.environ[name]
        defaults = {field.name: getattr(pf.Settings(), field.name) for field in dataclasses.fields(pf.Settings)}
    rows = []
    for parameter in NumpyDocString(inspect.getdoc(pf.Settings))["Parameters"]:
        names, text = parameter.name.split(", "), " ".join(parameter.desc)
        variables = re.findall(r"PULSEFRAMES_\w+", text)
        text = re.sub(r" \(``PULSEFRAMES_\w+``[^)]*\)", "", text)
        values = [f"`{defaults[name]}`" for name in names if defaults[name] != ""]
        text += f" Default: {', '.join(values)}." if values else ""
        rows.append(["<br>".join(f"`{name}`" for name in [*names, *variables]), text])
    return _table(["setting, variable", "meaning"], rows).replace("``", "`")


def error_tree() -> str:
    """Return the tree of errors and warnings, as the docstring of their module draws it."""
    tree = inspect.cleandoc(errors.__doc__ or "").partition("::\n")[2].partition("\nNo message")[0]
    return f"```text\n{inspect.cleandoc(tree)}\n```"


def benchmarks() -> str:
    """Return the committed figures of ``make bench``."""
    with patch.object(sys, "path", [*sys.path, str(pictures.BENCHMARKS)]):
        from table import markdown

    return markdown(pictures.measured())


def estimates() -> str:
    """Return the committed figures of ``make bench-sampling``."""
    with patch.object(sys, "path", [*sys.path, str(pictures.BENCHMARKS)]):
        from sampling_table import markdown

    return markdown(json.loads((pictures.BENCHMARKS / "sampling.json").read_text(encoding="utf-8")))


def scale() -> str:
    """Return the committed figures of ``benchmarks/scale.py``, and what they come to."""
    with patch.object(sys, "path", [*sys.path, str(pictures.BENCHMARKS)]):
        from scale_table import markdown

    return markdown(json.loads((pictures.BENCHMARKS / "scale.json").read_text(encoding="utf-8")))


GENERATED: Final[dict[str, Callable[..., str]]] = {
    "api": api,
    "charts": charts,
    "simulator": simulated,
    "dlt": dlt,
    "tables": tables,
    "commands": command_line,
    "exit_codes": exit_codes,
    "settings": settings,
    "error_tree": error_tree,
    "notebook": notebook_pages.page,
    "benchmarks": benchmarks,
    "estimates": estimates,
    "scale": scale,
}


def expanded(text: str) -> str:
    """Return a page's text with its generated parts."""
    return _MARK.sub(lambda mark: GENERATED[mark[1]](*([mark[2]] if mark[2] else [])), updated(text))


def updated(text: str) -> str:
    """Return a page's text with its committed parts up to date."""
    return _COMMITTED.sub(lambda part: f"<!-- committed: {part[1]} -->\n{GENERATED[part[1]]()}\n<!-- end -->", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks of the build."""
    app.connect("source-read", _expand)
    app.connect("autodoc-process-signature", _shorten_signature)
    app.connect("autodoc-process-docstring", link_names, priority=400)  # before numpydoc reads it
    app.connect("env-check-consistency", _check_names)
    app.connect("build-finished", _check_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _expand(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = _PICTURE.sub(lambda mark: f"```{{raw}} html\n{pictures.picture(mark[1])}\n```", expanded(source[0]))


def _shorten_signature(
    _app: Sphinx, _what: str, _name: str, _item: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Replace defaults that are functions by an ellipsis."""
    return (re.sub(r"<(?:[^<>]|<[^<>]*>)*>", "...", signature) if signature else signature), returns


def link_names(_app: Sphinx, _what: str, where: str, _item: object, _options: object, lines: list[str]) -> None:
    """Link the public names that a docstring has between double backticks; without parentheses, ``estimate`` is a column."""
    module = where.rpartition(".")[0]

    def link(name: re.Match[str]) -> str:
        if name["name"] not in _PUBLIC or not (name["text"].endswith(")") or name["name"][0].isupper()):
            return name[0]
        home = module if name["as"] and module == "pulseframes.charts" else "pulseframes"  # one chart refers to another
        return f"{name['as']}:py:obj:`{name['text']} <{home}.{name['name']}>`"

    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(?P<as>(?:as for )?)``(?P<text>(?P<name>\w+)(?:\(\))?)``", link, line)


def _check_names(_app: Sphinx, env: Any) -> None:
    """Warn about public names that are on no page."""
    documented = env.domaindata["py"]["objects"]
    missing = sorted(name for name in _PUBLIC if f"pulseframes.{name}" not in documented)
    if missing:
        logging.getLogger(__name__).warning(
            "%s: on no page; give it a place in API (docs/generate.py)", ", ".join(missing)
        )


def _check_pages(app: Sphinx, failure: Exception | None) -> None:
    """Fail if a page would make a browser load something from another host."""
    if failure is None:
        for path in sorted(Path(app.outdir).rglob("*.html")):
            loaded = _LOADED.search(path.read_text(encoding="utf-8"))
            if loaded:
                raise ExtensionError(f"{path.name} would load something from another host: {loaded[0]}")


_PUBLIC: Final = set(pf.__all__) - {"__version__"}


def _reference(module: str, names: dict[str, tuple[str, ...]]) -> str:
    home = import_module(module)
    lines = ["```{eval-rst}", f".. currentmodule:: {module}", "", ".. autosummary::", "   :nosignatures:", ""]
    lines += [f"   {name}" for name in names]
    lines += ["", "```", ""]
    for name, members in names.items():
        public = getattr(home, name)
        kind = "module" if inspect.ismodule(public) else "function"
        if inspect.isclass(public):
            kind = "exception" if issubclass(public, BaseException) else "class"
        lines += [f"## {name}", "", "```{eval-rst}", f".. auto{kind}:: {module}.{name}"]
        lines += [f"   :members: {', '.join(members)}", "   :member-order: bysource"] if members else []
        lines += ["```", ""]
    return "\n".join(lines)


def _columns(table: Table) -> str:
    rows = []
    for entry in entries(table):
        name = f"**`{entry['column']}`**" if entry["key"] else f"`{entry['column']}`"
        kind = [entry["type"], entry["unit"], None if entry["nullable"] else "never null"]
        kind += [f"from {entry['minimum']}"] if entry["minimum"] is not None else []
        what = [entry["description"]]
        what += [f"Known values: {', '.join(entry['known_values'])}."] if entry["known_values"] else []
        what += [f"Privacy: {entry['privacy']}."] if entry["privacy"] != Privacy.NONE else []
        if entry["json_path"]:
            only = ", in details only" if entry["answers"] == DETAIL.answer and not table.list_key else ""
            what.append(f"<br>In the API: `{entry['json_path']}`{only}.")
        rows.append([f"{name}<br>{', '.join(filter(None, kind))}", " ".join(what)])
    return _table(["column, type", "meaning"], rows)


def _tidied(text: str) -> str:
    """Return a command's help with its examples as a block to copy, and without the options of every command."""
    text = re.sub(r"^\* `--help`.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\{(\w+)\}", r"\1", re.sub(r" <(?:list\[)?(str|int|float|path)(?: range)?\]?>", r" <\1>", text))
    text, _, examples = text.partition("Examples:\n")
    lines = re.findall(r"^- `(.*)`$", examples, re.MULTILINE)
    return text.replace("**Options**:\n\n\n", "") + "**Examples**:\n\n```sh\n" + "\n".join(lines) + "\n```\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    for page in Path(__file__).parent.rglob("*.md"):
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")

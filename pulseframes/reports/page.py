"""The page: one file with all that it needs, no script, and a policy that lets the browser load nothing."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, overload

from pulseframes._files import write_bytes
from pulseframes._text import printable
from pulseframes._version import __version__
from pulseframes.client import Settings
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.reports.basis import calls_section, coverage_section, notes, summary, window_text
from pulseframes.reports.coverage import calls_by_day
from pulseframes.reports.findings import Findings, find
from pulseframes.reports.sections import key_figures, sections
from pulseframes.sampling.design import Design

#: The packages that the report extra is made of.
NEEDED: Final = ("altair", "vl_convert", "jinja2", "scipy")
#: What the page is called, if it is not told otherwise.
TITLE: Final = "How the site did"


@overload
def report(
    lake: Lake | str | os.PathLike[str],
    output: None = None,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    title: str = TITLE,
    time_zone: str = "UTC",
) -> str: ...


@overload
def report(
    lake: Lake | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    title: str = TITLE,
    time_zone: str = "UTC",
) -> Path: ...


def report(
    lake: Lake | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    title: str = TITLE,
    time_zone: str = "UTC",
) -> Path | str:
    """Make a lake's report: one HTML page that needs nothing else and asks nothing of any host. Costs no call.

    It has traffic, load times, satisfaction, errors, countries, browsers and ways, each as a sentence, a chart and a table, with
    95 % intervals where the details are a sample; and what it all rests on. It has no names of users, ids or addresses. If this machine's
    journal has calls of the lake's application, it has their number by day.

    Parameters
    ----------
    lake : Lake or path
        The lake.
    output : str, path or None
        The file to write, which is replaced if it is there; its folder has to be there. None gives the page as text.
    date_from, date_to : str, date or datetime
        Whose sessions, by their start; UTC. All that the sample speaks for or, without a sample, all that was read, if not given.
    design : {"pageviews", "uniform"}, Design or None
        Which of the lake's samples; the last, if not given.
    title : str
        The page's title.
    time_zone : str
        Whose days and hours: ``"Pacific/Auckland"``.

    Returns
    -------
    Path or str
        The file that was written, or the page.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or the window has sessions that the sample does not speak for.
    LakeError
        If there is no lake, or a file of it is damaged.
    OSError
        If the file cannot be written; what was there before is still there.
    ImportError
        If Altair, vl-convert, Jinja2 or SciPy is not installed; ``pip install 'pulseframes[report]'`` gets them.
    """
    source = as_lake(lake)
    path = None if output is None else writable(output)
    found = find(source, date_from=date_from, date_to=date_to, design=design, time_zone=time_zone)
    page = render(found, source, title=title)
    return page if path is None else save(page, path)


def writable(output: str | os.PathLike[str]) -> Path:
    """Give the path to write to; raises ``InvalidQuery`` where it is a folder, in none, or in one that is read-only."""
    path = Path(output)
    if path.is_dir():
        raise InvalidQuery(f"output: {path} is a folder; give a file in it, such as report.html.", argument="output")
    if not path.parent.is_dir():
        raise InvalidQuery(f"output: there is no folder {path.parent}.", argument="output")
    if not os.access(path.parent, os.W_OK):
        raise InvalidQuery(f"output: {path} cannot be written; its folder is read-only.", argument="output")
    return path


def save(page: str, path: Path) -> Path:
    """Write a page: whole, or not at all."""
    write_bytes(page.encode(), path)
    return path


def render(found: Findings, lake: Lake, *, title: str = TITLE) -> str:
    """Write the page of what was found.

    Parameters
    ----------
    found : Findings
        What ``find()`` gave.
    lake : Lake
        Where it was found, for whose application's calls are told.
    title : str
        The page's title.
    """
    if not isinstance(title, str) or not title.strip():
        raise InvalidQuery(f"title: {title!r} is no text.", argument="title")
    style = _read("page.css")
    told = sections(found)
    calls = calls_section(calls_by_day(lake, found.zone), Settings().daily_limit)
    told += [coverage_section(found), *([] if calls is None else [calls])]
    return str(
        _template().render(
            title=printable(title),
            window=window_text(found.standing.window, found),
            summary=summary(found),
            warns=found.basis in ("not drawn", "none"),
            figures=key_figures(found),
            sections=told,
            notes=notes(found),
            found=found,
            style=style,
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            version=__version__,
        )
    )


def _template() -> Any:
    try:
        import jinja2
    except ImportError:
        raise ImportError("The report needs Jinja2: pip install 'pulseframes[report]'") from None
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read("page.html.j2"))


def _read(name: str) -> str:
    return (files("pulseframes.reports") / name).read_text(encoding="utf-8")

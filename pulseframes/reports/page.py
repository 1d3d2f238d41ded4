"""The page: one self-contained file without scripts, and a policy that lets the browser load nothing."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, overload

from pulseframes._arguments import check_type
from pulseframes._files import write_bytes
from pulseframes._text import printable
from pulseframes._version import __version__
from pulseframes.client import Settings
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.reports.basis import calls_section, coverage_section, notes, summary, window_text
from pulseframes.reports.coverage import calls_by_day
from pulseframes.reports.findings import Findings, collect
from pulseframes.reports.sections import key_figures, sections
from pulseframes.reports.shown import ReportFile, ReportPage
from pulseframes.sampling.design import Design

#: The packages that the extra named report installs.
NEEDED: Final = ("altair", "vl_convert", "jinja2", "scipy")
#: The endings of a report's file.
SUFFIXES: Final = (".html", ".htm")
#: The default title.
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
    compare: Literal["previous"] | None = None,
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
    compare: Literal["previous"] | None = None,
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
    compare: Literal["previous"] | None = None,
) -> Path | str:
    """Build a lake's report: one self-contained HTML page. Costs no call.

    It shows traffic, load times, satisfaction, errors, countries, browsers and navigation, each as sentences, a chart and a table, with
    95% intervals if the details are a sample. It also describes the data. It shows no columns about users. Error titles and page
    paths are shown without e-mail and IP addresses; a name or an id that the site puts into them stays, so read it before you publish it. If this machine's
    journal has calls of the lake's application, it shows their number by day.

    Parameters
    ----------
    lake : Lake or path
        The lake.
    output : str, path or None
        The file to write, named ``.html`` or ``.htm``, in an existing folder; replaced if it exists. None returns the page as text.
    date_from, date_to : str, date or datetime
        The window in which the sessions started, in UTC. By default, the window of the sample or, without one, of all that was read.
    design : {"pageviews", "uniform"}, Design or None
        The sample to use, if the lake has several; by default, the last.
    title : str
        The page's title.
    time_zone : str
        The time zone of days and hours, such as ``"Pacific/Auckland"``.
    compare : {"previous"} or None
        Put on top what changed since the period of equal length before the window: sessions, users, load time, and the shares of
        sessions that are rated Poor or have errors, with 95% intervals. If the lake lacks that period, the report says what to sync.

    Returns
    -------
    Path or str
        The file that was written, or the page. A notebook shows a link to the file, or the page itself.

    Raises
    ------
    InvalidQuery
        If an argument is invalid, or the window has sessions that the sample does not represent.
    LakeError
        If there is no lake, or a file of it is damaged.
    OSError
        If the file cannot be written; an earlier file is then unchanged.
    ImportError
        If Altair, vl-convert, Jinja2 or SciPy is not installed: ``pip install 'pulseframes[report]'``.

    Examples
    --------
    >>> path = pf.report("lake", "report.html", title="The shop in November")
    >>> page = pf.report("lake", time_zone="Pacific/Auckland")
    >>> page = pf.report("lake", date_from="2026-11-12", date_to="2026-11-14", compare="previous")
    """
    source = as_lake(lake)
    path = None if output is None else writable(output)
    findings = collect(
        source, date_from=date_from, date_to=date_to, design=design, time_zone=time_zone, compare=compare
    )
    page = render(findings, source, title=title)
    return ReportPage(page) if path is None else save(page, path)


def writable(output: str | os.PathLike[str]) -> Path:
    """Return the path to write to.

    Raises ``InvalidQuery`` if it is a folder or no HTML file, or its folder is missing or read-only.
    """
    check_type("output", output, (str, os.PathLike), "a file, such as 'report.html'")
    path = Path(output)
    problem = ""
    if "\0" in str(path):
        problem = "output holds a NUL character, which no file's name can have."
    elif path.is_dir():
        problem = f"{path} is a folder; name a file in it, such as {path / 'report.html'}."
    elif path.suffix.lower() not in SUFFIXES:
        problem = f"a report is HTML, so {path} must end in {' or '.join(SUFFIXES)}, such as {path.with_suffix('.html')}. A browser prints it as PDF."
    elif not path.parent.is_dir():
        problem = f"the folder {path.parent} does not exist."
    elif not os.access(path.parent, os.W_OK):
        problem = f"the folder {path.parent} is read-only."
    if problem:
        raise InvalidQuery(f"output: {problem}", argument="output")
    return path


def save(page: str, path: Path) -> Path:
    """Write a page to a file, whole or not at all."""
    write_bytes(page.encode(), path)
    return ReportFile(path)


def render(findings: Findings, lake: Lake, *, title: str = TITLE) -> str:
    """Return the page of a lake's findings, with the recent calls of its application."""
    if not isinstance(title, str) or not title.strip():
        raise InvalidQuery(f"title must be non-empty text, not {title!r}.", argument="title")
    style = _read("page.css")
    calls = calls_section(calls_by_day(lake, findings.zone), Settings().daily_limit)
    return str(
        _template().render(
            title=printable(title),
            window=window_text(findings.coverage.window, findings),
            time_zone=findings.time_zone,
            summary=summary(findings),
            warns=findings.basis in ("not drawn", "none"),
            figures=key_figures(findings),
            sections=[*sections(findings), coverage_section(findings), *([] if calls is None else [calls])],
            notes=notes(findings),
            built_at=datetime.now(UTC),
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

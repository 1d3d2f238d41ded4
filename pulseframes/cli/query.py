"""Commands that query a lake: in SQL, by estimates from its sample, and as a report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import pulseframes as pf
from pulseframes._text import plural
from pulseframes.cli.app import app, examples
from pulseframes.cli.files import Destination, Output
from pulseframes.cli.options import (
    AsJson,
    By,
    LakeArgument,
    Last,
    OutputFile,
    PrintFormat,
    SampleName,
    StorageOptions,
    TableName,
    Where,
    Wide,
    WindowFrom,
    WindowTo,
    open_lake,
    parse_options,
    window,
)
from pulseframes.cli.output import alert, info, print_json

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.analysis.details import Details


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        'sql lake "select country, count(*) from sessions group by all"',
        'sql lake "select * from page_views" -o page_views.parquet',
        'sql lake "select distinct page from page_views" -f csv | sort',
    ),
)
def sql(
    lake: LakeArgument,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="SQL, in DuckDB's dialect.")],
    output: OutputFile = None,
    text_format: PrintFormat = "table",
    storage_option: StorageOptions = None,
) -> None:
    """Query a lake in SQL; the tables are sessions, page_views, errors, design and rejected. Costs no call."""
    destination = Destination.of(output, text_format, storage_option)
    result = open_lake(lake, storage_option).sql(query)
    destination.write(result)


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "estimate lake 'p75(loading_time_ms)' --by page_template",
        "estimate lake 'total(error_count)' --by country -f csv",
        "estimate lake \"share(satisfaction_rating = 'Poor')\"",
    ),
)
def estimate(
    lake: LakeArgument,
    measures: Annotated[
        list[str],
        typer.Argument(
            metavar="MEASURE...",
            help="total(x), mean(x), share(condition), ratio(x, y), median(x), p75(x) or count(), where x, y and condition are SQL.",
        ),
    ],
    by: By = None,
    where: Where = None,
    of: Annotated[
        TableName | None,
        typer.Option(help="Table whose rows to count.", show_default="the first that has all columns"),
    ] = None,
    date_from: WindowFrom = None,
    date_to: WindowTo = None,
    last: Last = None,
    design: SampleName = None,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Calibrate the weights to this column's known totals; may be repeated. 'none': not even to predicted load times.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    output: OutputFile = None,
    text_format: PrintFormat = "table",
    storage_option: StorageOptions = None,
) -> None:
    """Estimate statistics of all sessions from the lake's sample, with confidence intervals. Costs no call."""
    destination = Destination.of(output, text_format, storage_option, estimates=True)
    start, end = window(last, date_from, date_to)
    place = open_lake(lake, storage_option)
    destination.write(
        pf.estimate(
            place,
            measures,
            by=by,
            where=where,
            of=of,
            date_from=start,
            date_to=end,
            design=design,
            calibrate=None if calibrate == ["none"] else calibrate or "auto",
            confidence=confidence,
            wide=True,
        )
    )
    _describe_sample(place, design)


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "pages lake --last 7d",
        "pages lake --by country --where \"page_template = '/search'\"",
        "pages lake -o pages.csv",
    ),
)
def pages(
    lake: LakeArgument,
    by: By = None,
    where: Where = None,
    date_from: WindowFrom = None,
    date_to: WindowTo = None,
    last: Last = None,
    design: SampleName = None,
    wide: Wide = False,
    output: OutputFile = None,
    text_format: PrintFormat = "table",
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Show the load times of each page template, or group, with 95% intervals. Costs no call."""
    by, days = by or ["page_template"], window(last, date_from, date_to)
    destination = Destination.of(output, text_format, storage_option, first=(*by, "p75_ms"), as_json=as_json)
    place = open_lake(lake, storage_option)
    _analyse(place, days, design, destination, lambda sample: pf.page_speed(sample, by=by, where=where, wide=wide))


@app.command(
    rich_help_panel="Lake",
    epilog=examples("errors lake --last 7d", "errors lake --where \"country = 'NZ'\" --wide", "errors lake --json"),
)
def errors(
    lake: LakeArgument,
    where: Where = None,
    date_from: WindowFrom = None,
    date_to: WindowTo = None,
    last: Last = None,
    design: SampleName = None,
    wide: Wide = False,
    output: OutputFile = None,
    text_format: PrintFormat = "table",
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Show the sessions that each group of errors affects, with 95% intervals; users too with --wide. Costs no call."""
    days, first = window(last, date_from, date_to), ("title", "share_of_sessions")
    destination = Destination.of(output, text_format, storage_option, first=first, as_json=as_json)
    place = open_lake(lake, storage_option)
    _analyse(place, days, design, destination, lambda sample: pf.error_impact(sample, where=where, wide=wide))


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "satisfaction lake --last 28d --every 1w", "satisfaction lake --by platform_name", "satisfaction lake -f csv"
    ),
)
def satisfaction(
    lake: LakeArgument,
    every: Annotated[str, typer.Option(metavar="PERIOD", help="Length of a period, such as 1h, 1d, 1w or 1mo.")] = "1d",
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone for days and hours.")] = "UTC",
    by: By = None,
    where: Where = None,
    date_from: WindowFrom = None,
    date_to: WindowTo = None,
    last: Last = None,
    design: SampleName = None,
    wide: Wide = False,
    output: OutputFile = None,
    text_format: PrintFormat = "table",
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Show the share of sessions with each satisfaction rating, per period, with 95% intervals. Costs no call."""
    days = window(last, date_from, date_to)
    first = ("period", *(by or ()), "satisfaction_rating", "share")
    destination = Destination.of(output, text_format, storage_option, first=first, as_json=as_json)
    place = open_lake(lake, storage_option)
    options: dict[str, Any] = {"every": every, "time_zone": time_zone, "by": by, "where": where, "wide": wide}
    _analyse(place, days, design, destination, lambda sample: pf.satisfaction(sample, **options))


def _analyse(
    lake: pf.Lake,
    days: tuple[str | None, str | None],
    design: str | None,
    destination: Destination,
    analysis: Callable[[Details], pl.DataFrame],
) -> None:
    """Write an analysis of a lake's details, and print what its figures rest on."""
    from pulseframes.analysis.details import sample_or_details, sizes_of, summaries_of

    sample = sample_or_details(lake, *days, design)
    destination.write(analysis(sample))
    if sample.is_drawn:
        _describe_sample(lake, design)
        return
    sessions = len(summaries_of(lake, *days, design))
    info(
        f"Details: {sizes_of(sample).population:,} of {plural(sessions, 'session')}, not sampled at random. These figures represent no "
        "other sessions."
    )


def _describe_sample(lake: pf.Lake, design: str | None) -> None:
    """Print what the figures of a sample or of all sessions rest on."""
    from pulseframes.analysis.sample import describe_response

    info(
        describe_response(lake, design) or "No sample was needed: these figures are known for all sessions in the lake."
    )


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "report lake -o report.html",
        "report lake -o week.html --last 7d --compare previous",
        "report lake -o shop.html --time-zone Pacific/Auckland --json",
    ),
)
def report(
    lake: LakeArgument,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, also in s3://bucket/: NAME.html or NAME.htm; replaced if it exists.",
        ),
    ],
    date_from: WindowFrom = None,
    date_to: WindowTo = None,
    last: Last = None,
    design: SampleName = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone for days and hours.")] = "UTC",
    compare: Annotated[
        Literal["previous"] | None,
        typer.Option(help="Put on top what changed since the period of equal length before."),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Build a lake's report: one HTML page with charts that needs no network. Costs no call."""
    start, end = window(last, date_from, date_to)
    place = open_lake(lake, storage_option)
    from pulseframes.reports import TITLE, collect, render, summary

    page = _page(output, storage_option, open_it=open_it)
    findings = collect(place, date_from=start, date_to=end, design=design, time_zone=time_zone, compare=compare)
    page.write(render(findings, place, title=TITLE if title is None else title).encode())
    info(f"{summary(findings)}\nWrote {page.target}.")
    if open_it:
        open_in_browser(Path(page.target))
    if as_json:
        print_json(findings.as_dict() | {"path": page.target})


def _page(target: str, storage_option: list[str] | None, *, open_it: bool) -> Output:
    """Return the file of a report, if it can be written."""
    from pulseframes.reports import writable

    page = Output(target, parse_options(storage_option))
    if "://" not in target:
        writable(target)
    elif not target.lower().endswith((".html", ".htm")):
        raise typer.BadParameter(
            "a report must end in .html or .htm, such as s3://bucket/week.html.", param_hint="--output"
        )
    elif open_it:
        raise typer.BadParameter("only for a file on this machine.", param_hint="--open")
    else:
        page.check()
    return page


def open_in_browser(path: Path) -> None:
    """Open a page in the browser, on a terminal only: elsewhere, nobody may be there to see it."""
    import webbrowser

    address = path.absolute().as_uri()
    if not sys.stderr.isatty():
        alert(f"--open needs a terminal. Open {address} in a browser.")
    elif not webbrowser.open(address):
        alert(f"No browser was found. Open {address} in one.")

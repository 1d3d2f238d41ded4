"""Commands that ask a lake: in SQL, or for estimates from its sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseframes.cli.app import app, examples
from pulseframes.cli.options import By, PrintFormat, TableName
from pulseframes.cli.output import ALL_OF_IT, Sink, TextFormat, note
from pulseframes.cli.places import LakePlace, StorageOptions, open_lake

if TYPE_CHECKING:
    import polars as pl


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        'sql lake "select country, count(*) from sessions group by all"',
        'sql lake "select * from page_views" -o page_views.parquet',
        'sql lake "select distinct page from page_views" -f csv | sort',
    ),
)
def sql(
    lake: LakePlace,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="In DuckDB's SQL.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.parquet, NAME.csv or NAME.ndjson.")
    ] = None,
    text_format: PrintFormat = TextFormat.TABLE,
    storage_option: StorageOptions = None,
) -> None:
    """Ask a lake a question: the tables are sessions, page_views, errors, design and rejected. Costs no call."""
    put = Sink(output, text_format, table=None)
    frame = open_lake(lake, storage_option).sql(query)
    from polars.exceptions import PolarsError

    try:
        put(frame)
    except PolarsError as problem:  # CSV has no lists, to name one
        raise typer.BadParameter(f"The result cannot be written in this format: {problem}") from None


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "estimate lake 'p75(loading_time_ms)' --by page_template",
        "estimate lake 'total(error_count)' --by country -f csv",
        "estimate lake \"share(satisfaction_rating = 'Poor')\"",
    ),
)
def estimate(
    lake: LakePlace,
    measures: Annotated[
        list[str],
        typer.Argument(
            metavar="MEASURE...",
            help="total(x), mean(x), share(condition), ratio(x, y), median(x), p75(x), count(); in brackets, SQL.",
            show_default=False,
        ),
    ],
    by: By = None,
    where: Annotated[str | None, typer.Option(metavar="CONDITION", help="Only what fulfils this, in SQL.")] = None,
    of: Annotated[
        TableName | None, typer.Option(help="What is counted; by default the first that has all columns.")
    ] = None,
    date_from: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Start of the window; the sample's, if left out.")
    ] = None,
    date_to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="End of the window; the sample's, if left out.")
    ] = None,
    design: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of the lake's samples; the last, if left out.")
    ] = None,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Calibrate the weights to this column's known totals; may be repeated."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.parquet, NAME.csv or NAME.ndjson.")
    ] = None,
    text_format: PrintFormat = TextFormat.TABLE,
    storage_option: StorageOptions = None,
) -> None:
    """Estimate what all sessions would say from the lake's sample, each figure with its interval. Costs no call."""
    put = Sink(output, text_format, table=None, draw=_draw)
    from pulseframes.analysis.estimate import estimate as make_estimate

    place = open_lake(lake, storage_option)
    put(
        make_estimate(
            place,
            measures,
            by=by,
            where=where,
            of=None if of is None else of.value,
            date_from=date_from,
            date_to=date_to,
            design=design,
            calibrate=calibrate or (),
            confidence=confidence,
        )
    )
    from pulseframes.analysis.lake_sample import describe_response

    note(describe_response(place, design) or "The lake has no sample: what is asked is known of all sessions.")


def _draw(found: pl.DataFrame) -> str:
    from pulseframes.cli.tables import estimates_as_text

    return estimates_as_text(found, all_of_it=ALL_OF_IT)

"""Commands that update a lake: plan what that costs, and sync."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Final, Literal, TypeAlias

import typer

import pulseframes as pf
from pulseframes.cli.app import QUOTA_EXHAUSTED, app, examples
from pulseframes.cli.history import describe_history, saved_history
from pulseframes.cli.options import AsJson, By, LakeArgument, Last, Refresh, StorageOptions, open_lake, window_from
from pulseframes.cli.output import alert, counted_client, info, print_json, progress_bar, say

#: Calls of a day that are likely to go to authenticating and searching.
_OTHER_CALLS: Final = 3
#: A smaller number without a percent sign may be meant as a share.
_ONE_PER_CENT: Final = 0.01

DesignName: TypeAlias = Literal["pageviews", "uniform", "newest"]

From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATE",
        help="Start of the window: a date or time in UTC, yesterday, or 7d (7 days before today). Required without --last.",
        show_default=False,
    ),
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="End of the window: as the start.", show_default="now"),
]
Details = Annotated[
    str,
    typer.Option(
        metavar="N|all", help="In each run, also download details for N more sessions, or all; one call each."
    ),
]
DesignOption = Annotated[
    DesignName | None,
    typer.Option(
        "--design",
        help="How to select sessions for details: at random, by page views (for questions about page views) or uniformly (about "
        "sessions), or the newest.",
        show_default="the lake's last design, or pageviews",
    ),
]
Strata = Annotated[
    list[str] | None,
    typer.Option("--strata", metavar="COLUMN", help="Stratify the sample by this column; may be repeated."),
]
ForQuestion = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="QUESTION",
        help="Instead of --strata: the question that the sample is for, such as 'p75(loading_time_ms) by country'. It chooses strata and "
        "their shares.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed; a different seed draws a different sample.", min=0)]
LookBack = Annotated[
    int,
    typer.Option(
        metavar="HOURS",
        help="Re-read this many hours before the newest data, to catch late changes.",
        min=0,
        max=87_600,
    ),
]
PrivacyRules = Annotated[
    list[str] | None,
    typer.Option(
        "--privacy",
        metavar="CLASS_OR_COLUMN=ACTION",
        help="Rule for personal data before it is written: personal=pseudonymise, ip_address=truncate, page=strip_query; may "
        "be repeated. Fixed when the lake is created.",
    ),
]
NoProbe = Annotated[
    bool, typer.Option("--no-probe", help="Spend no call on counting sessions; the plan says less, or estimates.")
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        help="Also forecast how many details it takes to know --measure within this margin, such as 10%. Costs no call: the "
        "forecast uses the sample so far.",
    ),
]
History = Annotated[
    int | None,
    typer.Option(
        metavar="DAYS",
        help="Also forecast how much of the window the calls of this many days can save: details and intervals by month.",
        min=1,
        max=3_650,
    ),
]
Measure = Annotated[
    str | None,
    typer.Option(
        metavar="MEASURE", help="Statistic to forecast; without it, the median load time.", show_default=False
    ),
]
Top = Annotated[int | None, typer.Option(help="Number of groups, those with the most rows.", min=1, show_default="10")]
Whole = Annotated[bool, typer.Option("--whole", help="Forecast for all sessions together, not for each page_template.")]


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "plan lake --from 2026-11-01",
        "plan lake --from 2026-11-01 --details all --no-probe --json",
        "plan lake --from 2026-11-01 --precision 10% --top 5",
    ),
)
def plan(
    lake: LakeArgument,
    date_from: From = None,
    date_to: To = None,
    last: Last = None,
    details: Details = "0",
    design: DesignOption = None,
    strata: Strata = None,
    for_question: ForQuestion = None,
    seed: Seed = 0,
    look_back: LookBack = 24,
    no_probe: NoProbe = False,
    precision: Precision = None,
    history: History = None,
    measure: Measure = None,
    by: By = None,
    top: Top = None,
    whole: Whole = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Estimate how many calls and days a sync needs.

    Costs at most one call, plus one for a session key; none with --no-probe or --precision.
    """
    start, end = window_from(last, date_from, date_to)
    count, chosen = "all" if history else _how_many(details), _design(design, strata, for_question, seed)
    within = None if precision is None else _share(precision)
    given = [name for name, value in {"measure": measure, "by": by, "top": top, "whole": whole}.items() if value]
    _check_forecast(given, precision, design, history, details)
    place = open_lake(lake, storage_option)
    with counted_client(reported=True) as client:
        forecast = None
        if within is not None:  # first, as it costs no call
            from pulseframes.analysis.precision import BY, MEASURE, TOP

            a_day = count if isinstance(count, int) and count else client.settings.daily_limit - _OTHER_CALLS
            forecast = pf.plan_precision(
                place,
                measure or MEASURE,
                within=within,
                by=None if whole else by or BY,
                top=top or TOP,
                details_a_day=max(1, a_day),
                design=chosen,
            )
        planned = pf.plan(
            place,
            start,
            end,
            details=count,
            design=chosen,
            look_back=timedelta(hours=look_back),
            client=client,
            probe=not no_probe and within is None,
        )
        saved = None
        if history is not None:
            from pulseframes.fetch.backlog import wanted_window

            saved = saved_history(place, wanted_window(start, end, client.clock()), planned, history, measure)
    if as_json:
        extra = {"precision": forecast and forecast.as_dict(), "history": saved}
        print_json(planned.as_dict() | {name: value for name, value in extra.items() if value is not None})
    else:
        is_needless = forecast is not None and planned.calls == 0  # what the precision needs is below
        texts = [] if is_needless else [str(planned)]
        texts += [] if forecast is None else [str(forecast)]
        texts += [] if saved is None else [describe_history(saved, planned)]
        say("\n\n".join(texts))


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "sync lake --from 2026-11-01 --details 45 --design pageviews",
        "sync lake --from 2026-11-01 --privacy personal=drop",
        "sync s3://bucket/lake --from 2026-11-01 --details 20 --json",
    ),
)
def sync(
    lake: LakeArgument,
    date_from: From = None,
    date_to: To = None,
    last: Last = None,
    details: Details = "0",
    design: DesignOption = None,
    strata: Strata = None,
    for_question: ForQuestion = None,
    seed: Seed = 0,
    look_back: LookBack = 24,
    privacy: PrivacyRules = None,
    refresh: Refresh = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Update a lake: download new and changed sessions in as few calls as possible.

    If the quota runs out, the results so far are in the lake, the exit code is 3, and the same command resumes later.
    """
    start, end = window_from(last, date_from, date_to)
    count, chosen = _how_many(details), _design(design, strata, for_question, seed)
    if design is not None and not count:
        raise typer.BadParameter("it needs --details, such as --details 45.", param_hint="--design")
    place = open_lake(lake, storage_option, privacy=pf.PrivacyPolicy.parse(privacy) if privacy else None)
    stopped = "Stopped. Results so far are in the lake or the journal: run the same command again to resume."
    with counted_client(stopped, reported=True) as client, progress_bar(client) as progress:
        try:
            report = pf.sync(
                place,
                start,
                end,
                details=count,
                design=chosen,
                look_back=timedelta(hours=look_back),
                client=client,
                progress=progress,
                refresh=refresh,
            )
        except pf.PulseError as problem:
            if problem.partial is not None:
                info(str(problem.partial))
            raise
    (info if report.finished else alert)(str(report))  # a user must know when to resume
    if as_json:
        print_json(report.as_dict())
    if not report.finished:
        raise typer.Exit(QUOTA_EXHAUSTED)


def _check_forecast(
    given: list[str], precision: str | None, design: str | None, history: int | None, details: str
) -> None:
    """Refuse options of the forecast if there is none, or if they contradict each other."""
    if history is not None and details != "0":
        raise typer.BadParameter("not with --details: it forecasts as many as the calls allow.", param_hint="--history")
    if history is not None and precision is not None:
        raise typer.BadParameter("not with --precision: ask for one forecast at a time.", param_hint="--history")
    if given and precision is None and not (history is not None and given == ["measure"]):
        raise typer.BadParameter("it needs --precision, such as --precision 10%.", param_hint=f"--{given[0]}")
    for name in ("by", "top"):
        if "whole" in given and name in given:
            raise typer.BadParameter("not with --whole, which has no groups.", param_hint=f"--{name}")
    if precision is not None and design == "newest":
        raise typer.BadParameter("newest is not a random sample, so nothing can be estimated.", param_hint="--design")


def _how_many(details: str) -> int | Literal["all"]:
    """Parse the number of details."""
    if details == "all":
        return "all"
    if details.isascii() and details.isdigit():
        return int(details)
    raise typer.BadParameter(f"{details!r} is neither a whole number nor all.", param_hint="--details")


def _design(
    kind: DesignName | None, strata: Iterable[str] | None, for_question: str | None, seed: int
) -> pf.Design | str | None:
    """Return the design; None leaves it to the lake."""
    if kind is None and for_question is not None:
        kind = "pageviews"
    if kind is None or kind == "newest":
        values = {"strata": strata, "for": for_question is not None, "seed": seed}
        given = [name for name, value in values.items() if value]
        if given:
            raise typer.BadParameter("it needs --design pageviews or --design uniform.", param_hint=f"--{given[0]}")
        return kind
    return pf.Design(kind, seed, tuple(strata or ()), for_question=for_question)


def _share(percent: str) -> float:
    """Parse a percentage."""
    try:
        share = float(percent.strip().removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise typer.BadParameter(
            f"{percent!r} is not a percentage between 0% and 100%, such as 10%.", param_hint="--precision"
        )
    if share < _ONE_PER_CENT and not percent.strip().endswith("%"):
        raise typer.BadParameter(
            f"{percent!r} is ambiguous: write {float(percent) * 100:.4g}% or {float(percent):.4g}%.",
            param_hint="--precision",
        )
    return share

"""Commands that fill a lake: plan what that will cost, and sync."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pulseframes.cli.app import QUOTA_EXHAUSTED, app, examples
from pulseframes.cli.options import AsJson, By, DesignKind
from pulseframes.cli.output import counted_client, note, print_json, progress_bar, say
from pulseframes.cli.places import LakePlace, StorageOptions, open_lake

if TYPE_CHECKING:
    from pulseframes.analysis.precision import PrecisionPlan
    from pulseframes.lake import Lake
    from pulseframes.sampling.design import Design
    from pulseframes.tables.privacy import PrivacyPolicy

#: Of a day's calls, those that are likely to go to authenticating and searching.
_OTHER_CALLS = 3
#: A smaller number without a percent sign may be meant as a share.
_ONE_PER_CENT = 0.01

From = Annotated[str, typer.Option("--from", metavar="DATE", help="Start of the window: a date, or a time in UTC.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="End of the window: a date, or a time in UTC; now, if left out."),
]
Details = Annotated[
    str, typer.Option(metavar="N|all", help="Get the details of so many sessions as well, or of all; one call each.")
]
DesignState = Annotated[
    DesignKind | None,
    typer.Option(
        "--design",
        help="Whose details: a probability sample, for questions about page views or about sessions (uniform), or the "
        "newest sessions. The lake's last sample, if left out; the newest where it has none.",
    ),
]
Strata = Annotated[
    list[str] | None,
    typer.Option("--strata", metavar="COLUMN", help="Stratify the sample by this column; may be repeated."),
]
Seed = Annotated[int, typer.Option(help="Another seed is another sample.", min=0)]
LookBack = Annotated[
    int,
    typer.Option(metavar="HOURS", help="Read so much before what is there again, for late changes.", min=0, max=87_600),
]


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "plan lake --from 2026-11-01",
        "plan lake --from 2026-11-01 --details all --no-probe --json",
        "plan lake --from 2026-11-01 --precision 10% --top 5",
    ),
)
def plan(
    lake: LakePlace,
    date_from: From,
    date_to: To = None,
    details: Details = "0",
    design: DesignState = None,
    strata: Strata = None,
    seed: Seed = 0,
    look_back: LookBack = 24,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Spend no call on counting sessions: say less, or estimate.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Say, too, how many details it takes to know --measure so closely, such as 10%. Spends no call: it is foretold "
            "from what is known.",
        ),
    ] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="MEASURE", help="What is to be known; the median load time, if left out.")
    ] = None,
    by: By = None,
    top: Annotated[
        int | None, typer.Option(help="For how many of the groups, those with the most rows; 10, if left out.", min=1)
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="For all sessions as a whole; for each page_template, if neither this nor --by is given."
        ),
    ] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Say what a sync would cost in calls and days.

    Costs one call at most, besides a session key; none with --no-probe or --precision.
    """
    wanted, chosen = _how_many(details), _design(design, strata, seed)
    within = None if precision is None else _share(precision)
    _check_asked(precision, {"--measure": measure, "--by": by, "--top": top, "--whole": whole})
    place = open_lake(lake, storage_option)
    from pulseframes.fetch.plan import plan as make_plan

    with counted_client() as client:
        takes = None
        if within is not None:  # first, as it costs no call
            a_day = wanted if isinstance(wanted, int) and wanted else client.settings.daily_limit - _OTHER_CALLS
            takes = _precision(
                place, measure, within=within, by=by, top=top, whole=whole, details_a_day=max(1, a_day), design=chosen
            )
        planned = make_plan(
            place,
            date_from,
            date_to,
            details=wanted,
            design=chosen,
            look_back=timedelta(hours=look_back),
            client=client,
            probe=not no_probe and within is None,
        )
    if as_json:
        print_json(planned.as_dict() | ({} if takes is None else {"precision": takes.as_dict()}))
    else:
        typer.echo(str(planned))
        if takes is not None:
            typer.echo(f"\n{takes}")


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "sync lake --from 2026-11-01 --details 45 --design pageviews",
        "sync lake --from 2026-11-01 --privacy personal=drop",
        "sync s3://bucket/lake --from 2026-11-01 --details 20 --json",
    ),
)
def sync(
    lake: LakePlace,
    date_from: From,
    date_to: To = None,
    details: Details = "0",
    design: DesignState = None,
    strata: Strata = None,
    seed: Seed = 0,
    look_back: LookBack = 24,
    privacy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS_OR_COLUMN=ACTION",
            help="What is done to personal data before it is written: personal=pseudonymise, ip_address=truncate, "
            "page=strip_query; may be repeated. Settled when the lake is made.",
        ),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Bring a lake up to date: read what is new or may have changed, in as few calls as there can be.

    When no call is left, what had come is in the lake, the exit code is 3, and the same command goes on later.
    """
    wanted, chosen = _how_many(details), _design(design, strata, seed)
    if design is not None and not wanted:
        raise typer.BadParameter("say how many, with --details.", param_hint="--design")
    place = open_lake(lake, storage_option, privacy=_policy(privacy))
    from pulseframes.errors import PulseError
    from pulseframes.fetch.sync import sync as run_sync

    stopped = "Stopped: what had come is in the lake or the journal; run the same command again and it goes on."
    with counted_client(stopped) as client, progress_bar(client) as progress:
        try:
            report = run_sync(
                place,
                date_from,
                date_to,
                details=wanted,
                design=chosen,
                look_back=timedelta(hours=look_back),
                client=client,
                progress=progress,
                refresh=refresh,
            )
        except PulseError as problem:
            if problem.partial is not None:
                note(str(problem.partial))
            raise
    (note if report.finished else say)(str(report))  # when to come back is what a user must know
    if as_json:
        print_json(report.as_dict())
    if not report.finished:
        raise typer.Exit(QUOTA_EXHAUSTED)


def _precision(
    place: Lake, measure: str | None, *, by: list[str] | None, top: int | None, whole: bool, **options: Any
) -> PrecisionPlan:
    from pulseframes.analysis.precision import BY, MEASURE, TOP, plan_precision

    if options["design"] == "newest":
        raise typer.BadParameter("newest is no sample, and nothing can be estimated from it.", param_hint="--design")
    groups = None if whole else by or BY
    return plan_precision(place, measure or MEASURE, by=groups, top=top or TOP, **options)


def _check_asked(precision: str | None, asked: Mapping[str, object]) -> None:
    """Refuse options that say of what the precision is, where none is asked for or they contradict each other."""
    given = [name for name, value in asked.items() if value]
    if given and precision is None:
        raise typer.BadParameter("say how closely it is to be known, with --precision.", param_hint=given[0])
    for name in ("--by", "--top"):
        if asked["--whole"] and name in given:
            raise typer.BadParameter("the whole has no groups.", param_hint=name)


def _policy(rules: Iterable[str] | None) -> PrivacyPolicy | None:
    """Read the privacy rules; none leave it to the lake."""
    if not rules:
        return None
    from pulseframes.tables.privacy import PrivacyPolicy

    return PrivacyPolicy.parse(rules)


def _how_many(details: str) -> int | Literal["all"]:
    """Read the number of details that are wanted."""
    if details == "all":
        return "all"
    if details.isascii() and details.isdigit():
        return int(details)
    raise typer.BadParameter(f"{details!r} is neither a whole number from 0 nor all.", param_hint="--details")


def _design(kind: DesignKind | None, strata: Iterable[str] | None, seed: int) -> Design | str | None:
    """Read the design; none leaves it to the lake."""
    if kind is None or kind is DesignKind.NEWEST:
        if strata or seed:
            raise typer.BadParameter("say pageviews or uniform, too.", param_hint="--design")
        return kind and kind.value
    from pulseframes.sampling.design import Design

    return Design("pageviews" if kind is DesignKind.PAGEVIEWS else "uniform", seed, tuple(strata or ()))


def _share(percent: str) -> float:
    """Read a percentage."""
    try:
        share = float(percent.strip().removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise typer.BadParameter(f"{percent!r} is no percentage between 0% and 100%.", param_hint="--precision")
    if share < _ONE_PER_CENT and not percent.strip().endswith("%"):
        raise typer.BadParameter(
            f"{percent!r} may be a share or a percentage: say {float(percent) * 100:.4g}% or {float(percent):.4g}%.",
            param_hint="--precision",
        )
    return share

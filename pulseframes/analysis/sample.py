"""A sample to estimate from: the sessions that it represents, those that were drawn, and their details."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from pulseframes._process import check_process
from pulseframes._text import plural
from pulseframes.errors import IncompleteWarning, InvalidQuery, LakeError, warn
from pulseframes.lake import Lake, as_lake, in_window, is_active
from pulseframes.query import EVER, DateLike, parse_window
from pulseframes.sampling.columns import PROBABILITY, RATE, RESPONDED, SIZE, STRATUM
from pulseframes.sampling.design import SUMMARY_COLUMNS, Design, as_design
from pulseframes.sampling.population import (
    check_details,
    check_frame,
    members_of,
    population_of,
    population_of_choice,
    with_probability,
)
from pulseframes.sampling.prediction import PREDICTED, PREDICTORS
from pulseframes.sampling.rates import DesignState, of_design
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, TABLES
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.lake_tables import SETTLED_AT, SETTLED_VIEWS, views_to_draw_by
from pulseframes.windows import LOOK_BACK, Window, subtract

#: How long before a sample details teach the model of its load times, and how many.
_EARLIER: Final = timedelta(days=56)
_MOST_EARLIER: Final = 2_000
#: Nonresponse above this share of the sample is worth a warning.
_MUCH: Final = 0.05


@dataclass(frozen=True, repr=False)
class Sample:
    """A population of sessions, and the sample of it whose details were downloaded.

    Attributes
    ----------
    population : polars.DataFrame
        One row per session that the sample represents: columns of its summary, ``stratum``, ``size``, ``inclusion_probability``,
        and ``views``, its page views as the summary reported them when it was drawn; 1 if unknown.
    members : polars.DataFrame
        The sessions drawn: the same columns, and ``responded``, false if no details were received.
    details : SessionFrames
        The details of those that responded.
    is_drawn : bool
        Whether the sessions were sampled at random, or are all there are; if not, they represent only themselves.
    earlier : SessionFrames or None
        Details of other sessions, such as those of the weeks before, that load times are also predicted from.

    Examples
    --------
    >>> sample = pf.Sample.of_lake("lake", "2026-11-10", "2026-11-12")
    >>> result = pf.estimate(sample, "median(loading_time_ms)")
    """

    population: pl.DataFrame
    members: pl.DataFrame
    details: SessionFrames
    is_drawn: bool = True
    earlier: SessionFrames | None = None

    def __repr__(self) -> str:
        responded = int(self.members[RESPONDED].sum())
        drawn = f"{len(self.members)} drawn" if self.is_drawn else "not drawn"
        return f"Sample({len(self.population)} sessions, {drawn}, {responded} with details)"

    @property
    def is_census(self) -> bool:
        """Whether it has the details of all its sessions, so that figures are exact.

        Examples
        --------
        >>> pf.Sample.of_lake(pf.Lake("lake")).is_census
        False
        """
        return len(self.details.sessions) == len(self.population)

    @classmethod
    def of_frames(
        cls,
        sessions: pl.DataFrame,
        chosen: pl.DataFrame,
        details: SessionFrames,
        *,
        design: Design | str = "pageviews",
        earlier: SessionFrames | None = None,
    ) -> Sample:
        """Combine a population, what ``choose_details()`` chose of it, and the details received.

        Parameters
        ----------
        sessions : polars.DataFrame
            The population that was chosen from.
        chosen : polars.DataFrame
            What ``choose_details()`` returned.
        details : SessionFrames
            What ``session_details(chosen["session_id"])`` returned.
        design : {"pageviews", "uniform"} or Design
            How they were chosen.
        earlier : SessionFrames or None
            Details of other sessions, such as those of the weeks before: with 100 or more, also of the sample, load times have narrower
            intervals. See ``calibrate`` of ``estimate()``.

        Raises
        ------
        InvalidQuery
            If a frame lacks columns, or the choice is not from this population.

        Warns
        -----
        IncompleteWarning
            If more than one in twenty of the chosen sessions have no details, as after a quota ran out: choose only as many as
            were downloaded, or wait for the others.

        Examples
        --------
        >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10")
        >>> chosen = pf.choose_details(sessions, 12)
        >>> sample = pf.Sample.of_frames(sessions, chosen, pf.session_details(chosen["session_id"]))
        """
        check_process()
        design = as_design(design)
        check_frame("sessions", sessions, [*design.columns, "status"], "search_sessions()")
        design = design.allocated(sessions)
        check_frame("chosen", chosen, ["session_id", STRATUM, SIZE, PROBABILITY], "choose_details()")
        if not chosen[PROBABILITY].is_between(0, 1, closed="right").all():
            raise InvalidQuery(
                "chosen: each inclusion_probability must be above 0 and at most 1; pass what choose_details() returned.",
                argument="chosen",
            )
        _check_details(details)
        if earlier is not None:
            needed = {
                SESSIONS.name: ("session_id", "page_view_count", *PREDICTORS),
                PAGE_VIEWS.name: ("session_id", PREDICTED),
            }
            check_details("earlier", earlier, needed)
        population = population_of_choice(sessions, chosen, design)
        sample = cls(population, *members_of(population, chosen["session_id"], details), earlier=earlier)
        _warn_of_nonresponse(sample, design.name)
        return sample

    @classmethod
    def of_details(cls, details: SessionFrames) -> Sample:
        """Take details that were not sampled at random: figures describe only them, and have no intervals.

        Parameters
        ----------
        details : SessionFrames
            What ``session_details()`` returned.

        Raises
        ------
        InvalidQuery
            If they are not ``SessionFrames``.

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-10", limit=3)["session_id"])
        >>> pf.Sample.of_details(details)
        Sample(3 sessions, not drawn, 3 with details)
        """
        _check_details(details)
        population = everyone(population_of(details.sessions, Design("uniform"))).population
        return cls(population, *members_of(population, population["session_id"], details), is_drawn=False)

    @classmethod
    def of_lake(
        cls,
        lake: Lake | str | os.PathLike[str],
        date_from: DateLike | None = None,
        date_to: DateLike | None = None,
        *,
        design: Design | str | None = None,
        columns: Iterable[str] = SUMMARY_COLUMNS,
    ) -> Sample:
        """Read a sample that ``sync(design=...)`` drew. Costs no call.

        Parameters
        ----------
        lake : Lake or path
            The lake.
        date_from, date_to : str, date, datetime or None
            The sessions' starts, from and to; UTC. By default, the time that the sample represents.
        design : {"pageviews", "uniform"}, Design or None
            Which of the lake's samples; the last one drawn, by default.
        columns : iterable of str
            The summary columns of the population.

        Raises
        ------
        InvalidQuery
            If a time or the design is wrong, or the window has sessions that the sample does not represent.
        LakeError
            If there is no lake; it has neither a sample nor the details of all sessions; or the sample's sessions are gone.

        Warns
        -----
        IncompleteWarning
            If more than one in twenty of the sampled sessions have no details; weights adjust for them if they resemble the others.

        Examples
        --------
        >>> sample = pf.Sample.of_lake("lake", columns=["country"])
        """
        lake = as_lake(lake)
        state = lake.state().find_design(design)
        if state is None:
            downloaded = cls.of_bought(lake, date_from, date_to, columns=columns)
            if not downloaded.is_drawn:
                raise no_sample(lake)
            return downloaded
        window = window_to_read(lake, state, date_from, date_to)
        drawn = lake.design().filter(of_design(state.design)).collect()
        if drawn.is_empty():
            raise _lost_sample(lake, state)
        sessions = _sessions(lake, window, [*columns, *state.design.columns, SETTLED_AT, SETTLED_VIEWS])
        population = state.with_rate(population_of(sessions, state.design, drawn))
        outside = population.filter(pl.col(RATE).is_null())
        if not outside.is_empty() and (date_from is not None or date_to is not None):
            raise InvalidQuery(
                f"The sample {state.design.name} does not represent {len(outside)} sessions of this window, such as one of "
                f"{outside['session_start'][0]:%Y-%m-%d %H:%M} UTC. Sync the window with details, or narrow it.",
                argument="date_from" if date_from is not None else "date_to",
            )
        population = with_probability(population.drop_nulls(RATE))
        ids = drawn.join(population, on="session_id", how="semi")["session_id"]
        earlier = _earlier_details(lake, window) if {*PREDICTORS} <= {*population.columns} else None
        sample = cls(population, *members_of(population, ids, _details(lake, window, ids)), earlier=earlier)
        _warn_of_nonresponse(sample, state.label)
        return sample

    @classmethod
    def of_everybody(
        cls,
        lake: Lake | str | os.PathLike[str],
        date_from: DateLike | None = None,
        date_to: DateLike | None = None,
        *,
        design: Design | str | None = None,
        columns: Iterable[str] = SUMMARY_COLUMNS,
    ) -> Sample:
        """Take all sessions of a lake as a census, for figures that need only summaries; arguments as for ``of_lake()``.

        Examples
        --------
        >>> everybody = pf.Sample.of_everybody("lake")
        """
        lake = as_lake(lake)
        window = window_to_read(lake, lake.state().find_design(design), date_from, date_to)
        return everyone(population_of(_sessions(lake, window, columns), Design("uniform")))

    @classmethod
    def of_bought(
        cls,
        lake: Lake | str | os.PathLike[str],
        date_from: DateLike | None = None,
        date_to: DateLike | None = None,
        *,
        columns: Iterable[str] = SUMMARY_COLUMNS,
    ) -> Sample:
        """Take the details that a lake has, however they were chosen: not drawn, unless it has all; arguments as for ``of_lake()``.

        Examples
        --------
        >>> downloaded = pf.Sample.of_bought("lake")
        """
        lake = as_lake(lake)
        window = window_to_read(lake, None, date_from, date_to)
        population = everyone(population_of(_sessions(lake, window, columns), Design("uniform"))).population
        members, details = members_of(population, population["session_id"], _details(lake, window))
        if members[RESPONDED].all():
            return cls(population, members, details)
        members = members.filter(RESPONDED)
        return cls(members.drop(RESPONDED), members, details, is_drawn=False)


def everyone(population: pl.DataFrame) -> Sample:
    """Return a population as a census of itself, without page views and errors."""
    population = population.with_columns(pl.lit(1.0).alias(PROBABILITY))
    members = population.with_columns(pl.lit(value=True).alias(RESPONDED))
    return Sample(population, members, SessionFrames(population, PAGE_VIEWS.empty(), ERRORS.empty()))


def describe_response(lake: Lake, design: Design | str | None) -> str | None:
    """Return a sentence on how many sessions were drawn and have no details; None if the lake has no sample."""
    state = lake.state().find_design(design)
    if state is None:
        return None
    responded = lake.design().filter(of_design(state.design)).select(RESPONDED).collect()[RESPONDED]
    missing = int((~responded).sum())
    details = f"{missing:,} of them without details" if missing else "all with details"
    return f"Sample {state.label}: {len(responded):,} drawn, {details}."


def window_to_read(
    lake: Lake, state: DesignState | None, date_from: DateLike | None, date_to: DateLike | None
) -> Window:
    """Return the window asked for, or the default; warn if the lake has not read all of it."""
    default = lake.default_window(state)
    if default is None and (date_from is None or date_to is None):
        raise LakeError(
            f"The lake {lake.location} has no sessions.",
            python="Add some with sync() or Lake.write().",
            cli="Add some with `pulseframes sync`.",
        )
    window = parse_window(date_from, date_to, default or EVER)
    read = lake.coverage()
    argument = "date_to" if date_from is None else "date_from"
    gaps = subtract([window], read) if read and (date_from, date_to) != (None, None) else []
    if gaps == [window]:
        covered = _text(Window(read[0].start, read[-1].end))
        raise InvalidQuery(
            f"{argument}: the lake {lake.location} has nothing of this window, only {covered}. Sync it first.",
            argument=argument,
        )
    if gaps:
        others = f" and {plural(len(gaps) - 1, 'more part')}" if gaps[1:] else ""
        warn(
            IncompleteWarning,
            f"The lake {lake.location} has not read all of this window: the figures omit {_text(gaps[0])}{others}.",
        )
    warn_of_lacking(lake, window)
    return window


def warn_of_lacking(lake: Lake, window: Window) -> None:
    """Warn if a lake lacks sessions of a window that it has read."""
    lacking = [part for part in lake.state().incomplete if subtract([window], [part]) != [window]]
    if lacking:
        others = f" and {plural(len(lacking) - 1, 'more part')}" if lacking[1:] else ""
        warn(
            IncompleteWarning,
            f"The lake {lake.location} lacks sessions of {_text(lacking[0])}{others}: the server did not send them, or they were deleted. "
            "The figures are for the others.",
        )


def _text(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


def _sessions(lake: Lake, window: Window, columns: Iterable[str]) -> pl.DataFrame:
    """Read the sessions of a window that are not active."""
    wanted = dict.fromkeys([*columns, "session_id", "session_start", "page_view_count"])
    return lake.sessions().filter(in_window(window), ~is_active(LOOK_BACK)).select(*wanted).collect()


def _details(lake: Lake, window: Window, ids: pl.Series | None = None) -> SessionFrames:
    """Read the details of a window's sessions: of some or, by default, of all that have any."""
    days = pl.col("date").is_between(window.start.date(), window.end.date())
    named = pl.lit(value=True) if ids is None else pl.col("session_id").is_in(ids.implode())
    scans = (lake.sessions().filter(pl.col("detail_fetched_at").is_not_null()), lake.page_views(), lake.errors())
    sessions, page_views, errors = (scan.filter(days, named).drop("date").collect() for scan in scans)
    return SessionFrames(sessions, page_views, errors)


def _earlier_details(lake: Lake, window: Window) -> SessionFrames:
    """Read the details of the newest sessions that started before a window, which load times are predicted from."""
    since = window.start - min(_EARLIER, window.start - EVER.start)
    before = Window(since, window.start)
    sessions = lake.sessions().filter(in_window(before), pl.col("detail_fetched_at").is_not_null())
    views_then = views_to_draw_by().alias("page_view_count")
    newest = sessions.select("session_id", views_then, *PREDICTORS).sort("session_start").tail(_MOST_EARLIER).collect()
    views = lake.page_views().filter(
        pl.col("date").is_between(since.date(), window.start.date()),
        pl.col("session_id").is_in(newest["session_id"].implode()),
    )
    return SessionFrames(newest, views.select("session_id", PREDICTED).collect(), ERRORS.empty())


def _warn_of_nonresponse(sample: Sample, design: str) -> None:
    missing = int((~sample.members[RESPONDED]).sum())
    if missing > _MUCH * len(sample.members):
        warn(
            IncompleteWarning,
            f"{missing} of the {len(sample.members)} sessions in the sample {design} have no details. Weights adjust for them, "
            "if they resemble the others.",
        )


def _lost_sample(lake: Lake, state: DesignState) -> LakeError:
    return LakeError(
        f"The lake {lake.location} no longer has any session of its sample {state.label}: its design/ was deleted, or all of "
        "them were erased. Another sync with this design and at least one detail draws the sample again."
    )


def no_sample(lake: Lake) -> LakeError:
    """Return the error for a lake with details that are not all, and none of which was drawn."""
    if any(state.pending for state in lake.state().designs):
        return LakeError(
            f"The sync that draws the sample of the lake {lake.location} was interrupted before it recorded the sample. Run it "
            "again: it resumes, and no details are downloaded twice."
        )
    return LakeError(
        f"The lake {lake.location} has no random sample, so nothing can be estimated from its details.",
        python="Draw one with sync(..., details=45, design='pageviews').",
        cli="Draw one with `pulseframes sync` and --details 45 --design pageviews.",
    )


def _check_details(details: SessionFrames) -> None:
    check_details("details", details, {name: TABLES[name].key for name in TABLES})
    for name, frame in details.tables().items():
        repeated = frame.filter(pl.struct(TABLES[name].key).is_duplicated())
        if not repeated.is_empty():
            raise InvalidQuery(
                f"details: session {repeated['session_id'][0]} is in {name} twice, as after putting two downloads together. Pass each "
                f"session once, such as the frames of Lake.write(), or frame.unique({[*TABLES[name].key]}).",
                argument="details",
            )

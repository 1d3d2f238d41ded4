"""A sample to estimate from: the sessions that it speaks for, those that were drawn, and what their details say."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from pulseframes.analysis.lake_sample import details_of, drawn_of, sessions_of, window_of
from pulseframes.endpoints import SEARCH
from pulseframes.errors import IncompleteWarning, InvalidQuery, LakeError, warn
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.rates import RATE
from pulseframes.sampling.selection import PROBABILITY, SIZE, STRATUM, VIEWS, probability, rates, size_of, stratum_of
from pulseframes.sampling.weights import RESPONDED
from pulseframes.tables import ERRORS, ITEM_TABLES, PAGE_VIEWS, SESSIONS
from pulseframes.tables.frames import SessionFrames

#: What every session is known by, from its summary.
SUMMARY_COLUMNS: Final = tuple(column.name for column in SESSIONS.columns if SEARCH in column.endpoints)
#: Of those that were drawn, the share without an answer that is warned of.
_MANY: Final = 0.05
#: What a population says of its sessions' page views; details count them in another way, and up to 500.
KNOWN_VIEWS: Final = "views"
_WHEN_DRAWN: Final = "_when_drawn"
_CHOSEN: Final = ("session_id", STRATUM, SIZE, PROBABILITY)


@dataclass(frozen=True, repr=False)
class Sample:
    """A population of sessions, and the sample of it whose details were bought.

    Attributes
    ----------
    population : polars.DataFrame
        A row for each session that the sample speaks for: columns of its summary, ``stratum``, ``inclusion_probability``, and
        ``views``, its page views as its summary told them when it was drawn, and 1 where it did not.
    members : polars.DataFrame
        The sessions that were drawn: the same columns, and ``responded``, false where no details came.
    details : SessionFrames
        The details of those that responded.
    is_drawn : bool
        Whether a design has drawn it, or it is all sessions; if not, its sessions speak for nobody but themselves.
    """

    population: pl.DataFrame
    members: pl.DataFrame
    details: SessionFrames
    is_drawn: bool = True

    def __repr__(self) -> str:
        answers = int(self.members[RESPONDED].sum())
        drawn = f"{len(self.members)} drawn" if self.is_drawn else "not drawn"
        return f"Sample({len(self.population)} sessions, {drawn}, {answers} with details)"

    @property
    def is_census(self) -> bool:
        """Whether the details of all its sessions are there, so that nothing is left to be estimated."""
        return len(self.details.sessions) == len(self.population)

    @classmethod
    def of_frames(
        cls, sessions: pl.DataFrame, chosen: pl.DataFrame, details: SessionFrames, *, design: Design | str = "pageviews"
    ) -> Sample:
        """Join a population, what ``choose_details()`` chose of it, and the details that came.

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

        Raises
        ------
        InvalidQuery
            If the choice lacks columns, or is not of this population.

        Warns
        -----
        IncompleteWarning
            If more than one in twenty of those that were chosen have no details, as where the calls ended on the way: choose as many
            as came, or wait for the others.
        """
        wanted = design if isinstance(design, Design) else Design(design)  # type: ignore[arg-type]  # it checks its kind
        _check_columns("sessions", sessions, [*wanted.columns, "status"], "search_sessions()")
        _check_columns("chosen", chosen, _CHOSEN, "choose_details()")
        _check_once("sessions", sessions)
        _check_once("chosen", chosen)
        if not chosen[PROBABILITY].is_between(0, 1, closed="right").all():
            raise InvalidQuery(
                "chosen: an inclusion_probability is none above 0, up to 1; give what choose_details() returned.",
                argument="chosen",
            )
        _check_details(details)
        population = _population(sessions.filter(pl.col("status").ne_missing("active")), wanted)
        apart = chosen.join(population, on=["session_id", STRATUM, SIZE], how="anti")
        if not apart.is_empty():
            raise InvalidQuery(
                f"chosen: session {apart['session_id'][0]} was not drawn from these sessions by the design {wanted.name}.",
                argument="chosen",
            )
        told = chosen.group_by(STRATUM).agg((pl.col(PROBABILITY) / pl.col(SIZE)).max().alias("_told"))
        rate = rates(population, wanted, chosen["session_id"]).join(told, on=STRATUM, how="left")
        rate = rate.select(
            STRATUM, pl.coalesce("_told", RATE).alias(RATE)
        )  # strata that nobody was drawn of share one rate
        population = _with_chances(population.join(rate, on=STRATUM, how="left", maintain_order="left"))
        population = population.update(chosen.select("session_id", PROBABILITY), on="session_id", how="left")
        sample = cls(population, *_drawn(population, chosen["session_id"], details))
        _warn_of_unanswered(sample, wanted.name)
        return sample

    @classmethod
    def of_details(cls, details: SessionFrames) -> Sample:
        """Take details that nothing tells the choice of: figures of them are exact for them alone, and have no intervals.

        Parameters
        ----------
        details : SessionFrames
            What ``session_details()`` returned.

        Raises
        ------
        InvalidQuery
            If it is none.
        """
        _check_details(details)
        population = of_all(_population(details.sessions, Design("uniform"))).population
        return cls(population, *_drawn(population, population["session_id"], details), is_drawn=False)

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
        """Read a sample that ``sync(design=...)`` has drawn. Costs no call.

        Parameters
        ----------
        lake : Lake or path
            The lake.
        date_from, date_to : str, date, datetime or None
            Whose sessions, by their start; all that the sample speaks for, if not given.
        design : {"pageviews", "uniform"}, Design or None
            Which sample; the one that was drawn last, if not given.
        columns : iterable of str
            Which columns of the summary the population has.

        Raises
        ------
        InvalidQuery
            If a time or the design is none, or the window has sessions that the sample does not speak for.
        LakeError
            If there is no lake; or no sample in it, nor the details of all.

        Warns
        -----
        IncompleteWarning
            If more than one in twenty of those that were drawn have no details: weights make up for them, as far as they are like
            the others.
        """
        lake = as_lake(lake)
        drawn = lake.state().find_design(design)
        if drawn is None:
            bought = cls.of_bought(lake, date_from, date_to, columns=columns)
            if not bought.is_drawn:
                raise _no_sample(lake)
            return bought
        window = window_of(lake, drawn, date_from, date_to)
        sessions = sessions_of(lake, window, [*columns, *drawn.design.columns])
        rows = drawn_of(lake, drawn)
        told = rows.select("session_id", pl.col(VIEWS).alias(_WHEN_DRAWN))
        population = drawn.with_rate(_population(sessions.join(told, on="session_id", how="left"), drawn.design))
        outside = population.filter(pl.col(RATE).is_null())
        if not outside.is_empty() and (date_from is not None or date_to is not None):
            raise InvalidQuery(
                f"The sample {drawn.design.name} does not speak for {len(outside)} sessions of this window, such as those of "
                f"{outside['session_start'][0]:%Y-%m-%d %H:%M} UTC: sync it with details, or narrow the window.",
                argument="date_from" if date_from is not None else "date_to",
            )
        population = _with_chances(population.drop_nulls(RATE))
        ids = rows.join(population, on="session_id", how="semi")["session_id"]
        sample = cls(population, *_drawn(population, ids, details_of(lake, window, ids)))
        _warn_of_unanswered(sample, f"{drawn.design.name} (seed {drawn.design.seed})")
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
        """Take all sessions as a sample of themselves, for what every summary says; arguments as for ``of_lake()``."""
        lake = as_lake(lake)
        drawn = lake.state().find_design(design)
        sessions = sessions_of(lake, window_of(lake, drawn, date_from, date_to), columns)
        return of_all(_population(sessions, Design("uniform")))

    @classmethod
    def of_bought(
        cls,
        lake: Lake | str | os.PathLike[str],
        date_from: DateLike | None = None,
        date_to: DateLike | None = None,
        *,
        columns: Iterable[str] = SUMMARY_COLUMNS,
    ) -> Sample:
        """Take the details that a lake has, by whatever choice; not drawn, unless all are there. Arguments as for ``of_lake()``."""
        lake = as_lake(lake)
        window = window_of(lake, None, date_from, date_to)
        population = of_all(_population(sessions_of(lake, window, columns), Design("uniform"))).population
        members, details = _drawn(population, population["session_id"], details_of(lake, window, None))
        if members[RESPONDED].all():
            return cls(population, members, details)
        members = members.filter(RESPONDED)
        return cls(members.drop(RESPONDED), members, details, is_drawn=False)


def _check_columns(argument: str, frame: object, names: Iterable[str], source: str) -> None:
    """Check that an argument is a frame with some columns; raises ``InvalidQuery`` where it is none."""
    if not isinstance(frame, pl.DataFrame):
        raise InvalidQuery(
            f"{argument}: {type(frame).__name__} is no polars DataFrame; give what {source} returned.",
            argument=argument,
        )
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidQuery(
            f"{argument}: there is no column {missing[0]}; give what {source} returned.", argument=argument
        )


def _check_once(argument: str, frame: pl.DataFrame) -> None:
    twice = frame["session_id"].is_duplicated()
    if twice.any():
        raise InvalidQuery(
            f"{argument}: session {frame['session_id'].filter(twice)[0]} is there twice.", argument=argument
        )


def of_all(population: pl.DataFrame) -> Sample:
    """Give a population as a sample of itself."""
    population = population.with_columns(pl.lit(1.0).alias(PROBABILITY))
    frames = {SESSIONS.name: population, **{table.name: table.empty() for table in ITEM_TABLES}}
    return Sample(population, population.with_columns(pl.lit(value=True).alias(RESPONDED)), _frames(frames))


def _check_details(details: object) -> None:
    if not isinstance(details, SessionFrames):
        raise InvalidQuery(
            f"details: {type(details).__name__} is not what session_details() returned.", argument="details"
        )


def _no_sample(lake: Lake) -> LakeError:
    if any(drawn.pending for drawn in lake.state().designs):
        return LakeError(
            f"The sync of the lake {lake.location} that drew a sample was cut short before it could put it down. Run it again: "
            "it goes on, and pays for nothing twice."
        )
    return LakeError(
        f"The lake {lake.location} has no sample: its details were not drawn by a design, and speak for nobody but "
        "themselves. sync(..., details=n, design='pageviews') draws one."
    )


def _warn_of_unanswered(sample: Sample, design: str) -> None:
    unanswered = int((~sample.members[RESPONDED]).sum())
    if unanswered > _MANY * len(sample.members):
        warn(
            IncompleteWarning,
            f"{unanswered} of the {len(sample.members)} sessions that the sample {design} drew have no details. Weights make up for "
            "them, as far as they are like the others.",
        )


def _population(sessions: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Add what a sample needs to know of all sessions, by what their summaries said when they were drawn."""
    now = pl.col("page_view_count")
    told = pl.coalesce(_WHEN_DRAWN, now, pl.lit(1)) if _WHEN_DRAWN in sessions.columns else now.fill_null(1)
    views = pl.when((now == 0) & (told <= 1)).then(0).otherwise(told)  # none is drawn as one
    return sessions.with_columns(
        views.alias(KNOWN_VIEWS),
        size_of(told.clip(lower_bound=1), design).alias(SIZE),
        stratum_of(design.strata).alias(STRATUM),
    ).drop(_WHEN_DRAWN, strict=False)


def _with_chances(population: pl.DataFrame) -> pl.DataFrame:
    return population.with_columns(probability(pl.col(RATE)).alias(PROBABILITY)).drop(RATE)


def _drawn(population: pl.DataFrame, ids: pl.Series, details: SessionFrames) -> tuple[pl.DataFrame, SessionFrames]:
    """Give the members, and the details of those that responded."""
    members = population.filter(pl.col("session_id").is_in(ids.implode()))
    responded = pl.col("session_id").is_in(details.sessions["session_id"].implode())
    members = members.with_columns(responded.alias(RESPONDED))
    keep = members.filter(RESPONDED).select("session_id")
    frames = {name: frame.join(keep, on="session_id", how="semi") for name, frame in details.tables().items()}
    return members, _frames(frames)


def _frames(tables: dict[str, pl.DataFrame]) -> SessionFrames:
    return SessionFrames(tables[SESSIONS.name], tables[PAGE_VIEWS.name], tables[ERRORS.name])

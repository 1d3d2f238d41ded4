"""How details are sampled: what a session's chance is proportional to, the seed, strata and their shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import polars as pl

from pulseframes._arguments import check_choice, did_you_mean, whole_number
from pulseframes._text import listed
from pulseframes.endpoints import SEARCH
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import SIZE, STRATUM
from pulseframes.tables import SESSIONS, Privacy

if TYPE_CHECKING:
    from pulseframes.tables.frames import SessionFrames

Kind: TypeAlias = Literal["pageviews", "uniform"]

#: The columns that a search fills: what is known of every session.
SUMMARY_COLUMNS: Final = tuple(column.name for column in SESSIONS.columns if SEARCH in column.endpoints)


#: A session with as many page views is a bot's, as far as a sample is concerned: the API lists no more of them.
BOT_VIEWS: Final = 500
#: The stratum of bots.
BOTS: Final = f"{BOT_VIEWS} page views or more"
#: The stratum of the groups that are too rare for one of their own, in a design for a question.
OTHERS: Final = "other values"


@dataclass(frozen=True)
class Design:
    """How details are sampled.

    Attributes
    ----------
    kind : {"pageviews", "uniform"}
        What a session's chance is proportional to: its page views, for questions about page views and errors; or the same
        for all sessions, for questions about sessions.
    seed : int
        Seed of the permanent random numbers. The same seed extends the same sample.
    strata : tuple of str
        Summary columns to stratify by.
    allocation : mapping of str to float, or None
        Shares of the sample for some strata, by name: ``"NZ"``; ``"NZ, Chrome"`` for two columns; ``"null"`` for no value. The
        other strata divide the rest in proportion to their sizes.
    bot_share : float or None
        The largest share of the sample that goes to sessions with 500 page views or more, which are nearly always bots: they are a
        stratum of their own. None treats them like others, so that they may take most of a small sample. ``"uniform"``
        ignores it.
    for_question : str or None
        The question that the sample is for: a measure, as for ``estimate()``, and the summary columns that group it, such as
        ``"p75(loading_time_ms) by country"``. These columns are its strata, and the shares are chosen for the question when the sample is
        first drawn: each group's figure is as precise as it can be while the figure for all sessions loses about a tenth of
        its precision at most. Groups with less than 1% of all page views (or sessions), and those beyond the twelve largest, share a stratum.

    Raises
    ------
    InvalidQuery
        If the kind or a column is unknown, a column identifies people, or the shares or the question are not valid.

    Examples
    --------
    >>> design = pf.Design("uniform", seed=7, strata="country", allocation={"NZ": 0.5})
    >>> design.name
    'uniform by country'
    >>> pf.Design(for_question="p75(loading_time_ms) by country").strata
    ('country',)
    """

    kind: Kind = "pageviews"
    seed: int = 0
    strata: tuple[str, ...] = ()
    allocation: Mapping[str, float] | None = None
    bot_share: float | None = 0.05
    for_question: str | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, get_args(Kind))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, most=2**63 - 1))
        object.__setattr__(self, "strata", strata_columns(self.strata))
        if self.for_question is not None:
            question, strata = _parsed(self.for_question, self.strata)
            object.__setattr__(self, "for_question", question)
            object.__setattr__(self, "strata", strata)
        if self.allocation is not None:
            _check_allocation(self.allocation, self.strata)
        check_bot_share(self.bot_share)
        if self.kind == "uniform":  # each session has the same chance, also a bot's
            object.__setattr__(self, "bot_share", None)

    @property
    def name(self) -> str:
        """The name in a lake: the kind, and the columns of the strata.

        Examples
        --------
        >>> pf.Design("uniform", strata=("country",)).name
        'uniform by country'
        """
        return f"{self.kind} by {', '.join(self.strata)}" if self.strata else self.kind

    @property
    def columns(self) -> list[str]:
        """The columns of the sessions table that it needs."""
        return ["session_id", "page_view_count", *self.strata]

    def allocated(self, sessions: pl.DataFrame, earlier: SessionFrames | None = None) -> Design:
        """Return the design with its shares chosen for its question; without a question, or with shares, the design itself.

        ``sync()`` does so when a lake's sample is first drawn. For a choice in memory that is to grow, do it once and keep the result.

        Parameters
        ----------
        sessions : polars.DataFrame
            The population, as for ``choose_details()``.
        earlier : SessionFrames or None
            Details that you have, however they were chosen: they show in which groups sessions differ most. Without them, all
            groups count as equally varied.

        Returns
        -------
        Design
            With its ``allocation``.

        Raises
        ------
        InvalidQuery
            If a column is missing, a session occurs twice, or the question cannot be computed from the earlier details.

        Examples
        --------
        >>> sessions = pf.search_sessions("2026-11-09", "2026-11-16")
        >>> design = pf.Design(for_question="p75(loading_time_ms) by platform_name").allocated(sessions)
        >>> sorted(design.allocation)
        ['Desktop', 'Mobile', 'Tablet']
        """
        from pulseframes.sampling.allocation import allocated

        return allocated(self, sessions, earlier)


def as_design(design: object, *others: str) -> Design:
    """Return a design, or the one of a kind; ``others`` are further choices of the caller's, for the message."""
    if isinstance(design, Design):
        return design
    check_choice("design", design, (*get_args(Kind), *others))
    return Design(design)  # type: ignore[arg-type]  # one of the kinds


def strata_columns(strata: object) -> tuple[str, ...]:
    """Return the names of the strata columns; raise ``InvalidQuery`` if one cannot divide sessions into strata."""
    given = (strata,) if isinstance(strata, str) else () if strata is None else strata
    names = tuple(given) if isinstance(given, Iterable) else (given,)
    for name in names:
        if not isinstance(name, str):
            raise InvalidQuery(
                f"strata must be column names, such as 'country' or ['country', 'os_name'], not {name!r}.",
                argument="strata",
            )
        check_summary_column("strata", name)
    return names


def _parsed(question: str, strata: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return a question, and its columns as strata; raise ``InvalidQuery`` if others are named too."""
    from pulseframes.sampling.allocation import parse_question

    question, columns = parse_question(question)
    if strata not in ((), columns):
        raise InvalidQuery(
            f"strata: the strata are those of for_question, {', '.join(columns)}. Omit one of the two.",
            argument="strata",
        )
    return question, columns


def check_summary_column(argument: str, name: str) -> None:
    """Raise ``InvalidQuery`` if a column is not filled by a search, or identifies people or sessions."""
    if name not in SUMMARY_COLUMNS:
        raise InvalidQuery(
            f"Unknown column {name!r} in {argument}=. Use one that a search fills, such as 'country'."
            f"{did_you_mean(name, SUMMARY_COLUMNS)}",
            argument=argument,
        )
    if SESSIONS[name].privacy is not Privacy.NONE or name in SESSIONS.key:
        raise InvalidQuery(
            f"{argument}: {name} identifies people or single sessions; use a column such as 'country'.",
            argument=argument,
        )


def size_of(views: pl.Expr, design: Design) -> pl.Expr:
    """Return what the chance of being drawn is proportional to."""
    return views if design.kind == "pageviews" else pl.lit(1, pl.Int64)


def stratum_of(views: pl.Expr, design: Design) -> pl.Expr:
    """Return the name of each session's stratum; empty without strata."""
    values = [pl.col(name).cast(pl.String).fill_null("null") for name in design.strata]
    stratum = pl.concat_str(values, separator=", ") if values else pl.lit("")
    if design.for_question is not None and design.allocation is not None:
        named = stratum.is_in(list(design.allocation))
        stratum = pl.when(named).then(stratum).otherwise(pl.lit(OTHERS))
    if design.kind != "pageviews" or design.bot_share is None:
        return stratum
    return pl.when(views >= BOT_VIEWS).then(pl.lit(BOTS)).otherwise(stratum)


def check_strata_exist(population: pl.DataFrame, design: Design) -> None:
    """Raise ``InvalidQuery`` if the allocation names a stratum that no session belongs to, unless it was chosen for a question."""
    if design.for_question is not None:
        return
    strata = population[STRATUM].unique().sort().to_list()
    missing = [name for name in design.allocation or {} if name not in strata]
    if missing and strata:
        raise InvalidQuery(
            f"allocation: no session is in the stratum {missing[0]!r}; the strata are {listed(map(repr, strata), most=20)}.",
            argument="allocation",
        )


def stratum_shares(population: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Return each stratum's ``share`` of the sample, and the size of all its sessions, ``_size``."""
    sizes = population.group_by(STRATUM).agg(pl.col(SIZE).sum().alias("_size")).sort(STRATUM)
    of_bots = _share_of_bots(sizes, design)
    shares = {name: share * (1 - of_bots) for name, share in (design.allocation or {}).items()} | (
        {BOTS: of_bots} if of_bots else {}
    )
    named = pl.col(STRATUM).is_in(list(shares))
    rest = max(0.0, 1.0 - math.fsum(shares.values()))
    unnamed = sizes.filter(~named)
    if not rest and not unnamed.is_empty():
        raise InvalidQuery(
            f"allocation: the shares leave nothing for {unnamed[STRATUM][0]!r}, so the sample could not represent its "
            "sessions. Give it a share, or lower the others.",
            argument="allocation",
        )
    by_size = pl.col("_size") / max(1, unnamed["_size"].sum()) * rest
    given = pl.col(STRATUM).replace_strict(shares, default=0.0, return_dtype=pl.Float64)
    return sizes.with_columns(pl.when(named).then(given).otherwise(by_size).alias("share"))


def _share_of_bots(sizes: pl.DataFrame, design: Design) -> float:
    """Return the share of the stratum of bots: by its size, up to the design's limit; 0 if there is none."""
    bots, total = (int(frame["_size"].sum()) for frame in (sizes.filter(pl.col(STRATUM) == BOTS), sizes))
    if not bots or design.bot_share is None or design.kind != "pageviews":
        return 0.0
    return 1.0 if bots == total else min(design.bot_share, bots / total)


def check_bot_share(share: object) -> None:
    """Raise ``InvalidQuery`` unless a share of bots is a number above 0 and at most 1, or None."""
    if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1):
        raise InvalidQuery(f"bot_share must be above 0 and at most 1, or None, not {share!r}.", argument="bot_share")


def _check_allocation(allocation: Mapping[str, float], strata: tuple[str, ...]) -> None:
    if not isinstance(allocation, Mapping) or not all(isinstance(name, str) for name in allocation):
        raise InvalidQuery(
            f"allocation must be a mapping such as {{'NZ': 0.5}}, not {allocation!r}.", argument="allocation"
        )
    if not strata:
        raise InvalidQuery("allocation needs strata, such as strata='country'.", argument="allocation")
    for name, share in allocation.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise InvalidQuery(
                f"allocation: the share of {name!r} must be above 0 and at most 1, not {share!r}.",
                argument="allocation",
            )
    if math.fsum(allocation.values()) > 1 + 1e-9:
        raise InvalidQuery("allocation: the shares add up to more than 1.", argument="allocation")

"""How details are drawn, as a user says it: what a session's chance is proportional to, the seed, strata and their shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from pulseframes._arguments import check_choice, whole_number
from pulseframes.endpoints import SEARCH
from pulseframes.errors import InvalidQuery
from pulseframes.tables import SESSIONS, Privacy

Kind: TypeAlias = Literal["pageviews", "uniform"]


@dataclass(frozen=True)
class Design:
    """How details are drawn.

    Attributes
    ----------
    kind : {"pageviews", "uniform"}
        What a session's chance is proportional to: its page views, for questions about page views and errors; or the same
        for all, for questions about sessions.
    seed : int
        What the permanent random numbers hang on. The same seed goes on with the same sample.
    strata : tuple of str
        Summary columns by whose values the sample is stratified.
    allocation : mapping of str to float, or None
        Shares of the sample for strata, by their names (``"NZ"``; ``"NZ, Chrome"`` for two columns; ``"null"`` for no value).
        The strata that it does not name divide the rest by their sizes, as all of them do where it is None.

    Raises
    ------
    InvalidQuery
        If there is no such kind or column, a column says who somebody is, or the shares are none.
    """

    kind: Kind = "pageviews"
    seed: int = 0
    strata: tuple[str, ...] = ()
    allocation: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        strata = names_of_strata(self.strata)
        object.__setattr__(self, "strata", strata)
        check_choice("design", self.kind, get_args(Kind))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, most=2**63 - 1))
        for name in strata:
            _check_stratum(name)
        if self.allocation is not None:
            _check_allocation(self.allocation, strata)

    @property
    def name(self) -> str:
        """What the lake calls it, with the columns of its strata."""
        return f"{self.kind} by {', '.join(self.strata)}" if self.strata else self.kind

    @property
    def columns(self) -> list[str]:
        """The columns of the sessions table that it needs."""
        return ["session_id", "page_view_count", *self.strata]


def names_of_strata(strata: object) -> tuple[str, ...]:
    """Give the columns that make strata; raises ``InvalidQuery`` where they are no names."""
    given = (strata,) if isinstance(strata, str) else () if strata is None else strata
    names = tuple(given) if isinstance(given, Iterable) else (given,)
    for name in names:
        if not isinstance(name, str):
            raise InvalidQuery(f"strata: {name!r} is no column; give 'country', or several names.", argument="strata")
    return names


def _check_stratum(name: str) -> None:
    column = SESSIONS[name] if name in SESSIONS.schema else None
    if column is None or SEARCH not in column.endpoints:
        raise InvalidQuery(f"strata: {name!r} is no column that search_sessions() fills.", argument="strata")
    if column.privacy is not Privacy.NONE or name in SESSIONS.key:
        raise InvalidQuery(
            f"strata: {name} says who somebody is, or where they went; it makes no strata.", argument="strata"
        )


def _check_allocation(allocation: Mapping[str, float], strata: tuple[str, ...]) -> None:
    if not isinstance(allocation, Mapping) or not all(isinstance(name, str) for name in allocation):
        raise InvalidQuery(f"allocation: {allocation!r} is not like {{'NZ': 0.5}}.", argument="allocation")
    if not strata:
        raise InvalidQuery("allocation: there are no strata to give shares to.", argument="allocation")
    for name, share in allocation.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise InvalidQuery(f"allocation: {name!r}: {share!r} is no share above 0, up to 1.", argument="allocation")
    if math.fsum(allocation.values()) > 1 + 1e-9:
        raise InvalidQuery("allocation: the shares add up to more than 1.", argument="allocation")

"""Whose details a sync buys by a design, and what the lake puts down of those that were drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.fetch.sync_report import SampleReport
from pulseframes.lake import Lake, LakeState, detail_failed, detail_is_current, in_window, is_active
from pulseframes.sampling.columns import DETAILED, PROBABILITY, RATE, RESPONDED, STRATUM, WEIGHT
from pulseframes.sampling.design import Design, as_design, check_strata_exist, size_of
from pulseframes.sampling.population import selectable
from pulseframes.sampling.rates import DesignState, names_of, of_design, probability, same_design, stratum_rates
from pulseframes.sampling.selection import first_of, in_order
from pulseframes.sampling.weights import weigh
from pulseframes.tables import DATE, DESIGN, INSTANT, partitioned
from pulseframes.windows import Window, subtract

_STANDING: Final = (
    "session_start",
    "session_updated",
    "status",
    "fetched_at",
    "detail_updated",
    "detail_fetched_at",
    "detail_failed_at",
    DATE,
)


def design_to_use(state: LakeState, design: Design | str | None) -> Design | None:
    """Give the design of a sync: the one asked for or, if none is, the lake's last; None for the newest sessions first.

    Raises
    ------
    InvalidQuery
        If it is none, or the lake has it with another allocation.
    """
    if design is None:
        return state.designs[-1].design if state.designs else None
    if design == "newest":
        return None
    wanted = as_design(design)
    known = same_design(state.designs, wanted)
    if known is not None and known.rate_windows and known.design != wanted:
        raise InvalidQuery(
            f"design: the lake's sample {wanted.name} (seed {wanted.seed}) was begun with the allocation "
            f"{known.design.allocation}, and goes on with it; another one needs another seed.",
            argument="design",
        )
    return wanted


class SampleDraw:
    """What a design draws of a lake's sessions in a window.

    Parameters
    ----------
    lake : Lake
        The lake, while it is its holder's turn to write.
    design : Design
        How details are drawn.
    window : Window
        Whose sessions are the population, as far as the lake has read it.
    look_back : timedelta
        How long a session can still change.
    """

    def __init__(self, lake: Lake, design: Design, window: Window, look_back: timedelta) -> None:
        self._lake = lake
        self._design = design
        self._look_back = look_back
        state = lake.state()
        self._windows = subtract([window], subtract([window], state.coverage.windows()))
        known = same_design(state.designs, design) or DesignState(design)
        # Details count page views in another way than summaries: the chance is by what was known when a session was drawn.
        being_bought = pl.DataFrame(
            [*known.pending.items()], schema={"session_id": pl.Int64, "page_view_count": pl.Int64}, orient="row"
        )
        self._views = pl.concat([self._members(), being_bought]).unique("session_id", keep="first")
        others = [one for one in state.designs if one.rate_windows and one is not known]
        self._beside = [] if known.rate_windows else [names_of([one]) for one in others]
        population = self._population(self._windows)
        if not known.rate_windows:  # later, a stratum may have no session left
            check_strata_exist(population, design)
        self._ordered = in_order(population, design)
        there = self._ordered.select("session_id", "page_view_count")
        self._views = pl.concat([self._views, there]).unique("session_id", keep="first")

    def to_fetch(self) -> list[int]:
        """Give the sessions whose details are not there, in the order in which to buy them."""
        return self._ordered.filter(~pl.col(DETAILED))["session_id"].to_list()

    def begin(self, ids: Iterable[int]) -> None:
        """Put down whose details are about to come: a sync that is killed could not tell by what page views they were drawn."""
        chosen = self._views.filter(pl.col("session_id").is_in(pl.Series(list(ids), dtype=pl.Int64).implode()))
        drawn = self._drawn()
        drawn.design = self._design  # one that has drawn nothing may be begun with another allocation
        drawn.pending |= dict(chosen.select("session_id", "page_view_count").iter_rows())
        self._lake.save_state()

    def record(self, useless: Collection[int] = (), *, came: bool = True) -> SampleReport:
        """Put down in the lake what was drawn so far: probabilities, weights, and the rate_windows that they hold for.

        Parameters
        ----------
        useless : collection of int
            Sessions whose answers can never be read: drawn, as those that the server does not know.
        came : bool
            Whether any details came; if so, this is the lake's last sample from now on.
        """
        drawn = self._drawn()
        if came:
            state = self._lake.state()
            state.designs = [*(one for one in state.designs if one is not drawn), drawn]
        drawn.pending = {}
        population = self._population([*self._windows, *(rate_window.window for rate_window in drawn.rate_windows)])
        here = population.filter(_within(self._windows))
        given_up = pl.col(DETAILED) | pl.col("session_id").is_in(pl.Series(list(useless), dtype=pl.Int64).implode())
        taken = first_of(in_order(here.with_columns(given_up.alias(DETAILED)), self._design), 0)["session_id"]
        members = self._members()["session_id"]
        sampled = pl.concat([taken, members]).unique()
        if len(sampled) > len(members):  # or those that came since would be spoken for without a chance
            now = stratum_rates(drawn.with_rate(here), self._design, sampled, before=probability().fill_null(0.0))
            for window in self._windows:
                drawn.raise_rates(window, dict(zip(now[STRATUM], now[RATE], strict=True)))
        chances = drawn.with_rate(population).filter(pl.col(RATE).is_not_null())
        rows = self._rows(drawn, chances, sampled)
        self._lake.put_design(self._design.name, self._design.seed, rows)
        size = size_of(pl.col("page_view_count"), self._design)
        return SampleReport.of(self._design.name, self._design.seed, len(chances), rows, size, self._beside)

    def _drawn(self) -> DesignState:
        """Give what the lake knows of the design; a new one is not its last before details came for it."""
        state = self._lake.state()
        drawn = same_design(state.designs, self._design)
        if drawn is None:
            drawn = DesignState(self._design)
            state.designs = [drawn, *state.designs]
        return drawn

    def _rows(self, drawn: DesignState, population: pl.DataFrame, sampled: pl.Series) -> pl.DataFrame:
        """Give the rows of the design's table, with the sessions' days."""
        window = drawn.window
        if window is None:
            return pl.DataFrame(schema=partitioned(DESIGN))
        chances = population.with_columns(probability())
        members = chances.filter(pl.col("session_id").is_in(sampled.implode()), pl.col(PROBABILITY) > 0)
        weights = weigh(chances, members, pl.lit(1.0)).select("session_id", WEIGHT)
        rows = members.join(weights, on="session_id", how="left").with_columns(
            pl.lit(self._design.name).alias("design"),
            pl.lit(self._design.seed, pl.Int64).alias("seed"),
            pl.lit(window.start).cast(INSTANT).alias("population_from"),
            pl.lit(window.end).cast(INSTANT).alias("population_to"),
        )
        return rows.select(*DESIGN.schema.names(), DATE)

    def _members(self) -> pl.DataFrame:
        """Give the sessions that were drawn before, with the page views that they had then."""
        scan = self._lake.design().filter(of_design(self._design)).select("session_id", "page_view_count")
        return self._lake.read(scan)

    def _population(self, windows: Iterable[Window]) -> pl.DataFrame:
        """Read the sessions that can be drawn, as a choice needs them, with their start and day, and whether details came."""
        wanted = dict.fromkeys([*self._design.columns, *_STANDING])
        scan = self._lake.sessions().filter(_within(windows), ~is_active(self._look_back)).select(*wanted)
        rows = self._lake.read(scan)
        rows = rows.update(self._views, on="session_id", how="left")
        population = selectable(rows, self._design, detailed=detail_is_current() | detail_failed())
        responded = pl.col("detail_fetched_at").is_not_null().alias(RESPONDED)
        return pl.concat([population, rows.select("session_start", DATE, responded)], how="horizontal")


def _within(windows: Iterable[Window]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *(in_window(window) for window in windows))

"""Draws the sessions whose details a sync downloads by a design, and records the sample in the lake."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.fetch.sync_report import SampleReport
from pulseframes.lake import Lake, LakeState, detail_failed, detail_is_current, in_window, is_active
from pulseframes.sampling.columns import DETAILED, PROBABILITY, RATE, RESPONDED, SIZE, STRATUM, WEIGHT
from pulseframes.sampling.design import Design, as_design, check_strata_exist, stratum_shares
from pulseframes.sampling.population import selectable
from pulseframes.sampling.rates import DesignState, names_of, of_design, probability, same_design, stratum_rates
from pulseframes.sampling.selection import first_of, in_order
from pulseframes.sampling.suitability import wrong_design
from pulseframes.sampling.weights import sample_worth, weigh
from pulseframes.tables import DATE, DESIGN, INSTANT, partitioned
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.lake_tables import SETTLED_AT, SETTLED_VIEWS, views_to_draw_by
from pulseframes.windows import LOOK_BACK, Window, subtract

_STATUS: Final = (
    "session_start",
    "session_updated",
    "status",
    "fetched_at",
    "detail_updated",
    "detail_fetched_at",
    "detail_failed_at",
    SETTLED_AT,
    SETTLED_VIEWS,
    DATE,
)


def design_to_use(state: LakeState, design: Design | str | None) -> Design | None:
    """Return the design of a sync, by default the lake's last or ``"pageviews"``; None for the newest sessions first.

    Raises
    ------
    InvalidQuery
        If it is not a design, or the lake has it with another allocation or for another question.
    """
    if design is None:
        return state.designs[-1].design if state.designs else Design()
    if design == "newest":
        return None
    wanted = as_design(design, "newest")
    known = same_design(state.designs, wanted)
    if known is None or not known.rate_windows:
        return wanted
    if (
        wanted.bot_share == Design.bot_share
    ):  # a sample goes on as it began, also one of a version that did not draw bots apart
        wanted = replace(wanted, bot_share=known.design.bot_share)
    if wanted.for_question is not None and wanted.allocation is None:  # the shares were chosen at the first draw
        wanted = replace(wanted, allocation=known.design.allocation)
    if known.design != wanted:
        raise InvalidQuery(
            f"design: the lake's sample {wanted.name} (seed {wanted.seed}) was drawn with another allocation, bot_share or "
            "for_question, which cannot change. Keep it, or start another sample with another seed.",
            argument="design",
        )
    return wanted


class SampleDraw:
    """The draw of a sample from a lake's sessions in a window."""

    def __init__(self, lake: Lake, design: Design, window: Window) -> None:
        self._lake = lake
        state = lake.state()
        self._windows = subtract([window], subtract([window], state.coverage.windows()))
        known = same_design(state.designs, design) or DesignState(design)
        if known.pending and design.allocation is None and known.design.for_question == design.for_question is not None:
            design = replace(design, allocation=known.design.allocation)  # by which a killed sync began to draw
        self._design = design = self._allocated(design)
        # Details count page views differently from summaries: the probability is by the count when a session was drawn.
        schema = {"session_id": pl.Int64, "page_view_count": pl.Int64}
        pending = pl.DataFrame([*known.pending.items()], schema=schema, orient="row")
        self._views = pl.concat([self._members(), pending]).unique("session_id", keep="first")
        others = [other for other in state.designs if other.rate_windows and other is not known]
        self._beside = [] if known.rate_windows else [names_of([other]) for other in others]
        population = self._population(self._windows)
        if not known.rate_windows:  # later, a stratum may have no session left
            check_strata_exist(population, design)
        self._ordered = in_order(population, design)
        current = self._ordered.select("session_id", "page_view_count")
        self._views = pl.concat([self._views, current]).unique("session_id", keep="first")

    def shares(self) -> dict[str, float]:
        """Return each stratum's share of the details, the largest first; empty without strata."""
        if not self._design.strata or self._ordered.is_empty():
            return {}
        shares = stratum_shares(self._ordered, self._design).select(STRATUM, pl.col("share") / pl.col("share").sum())
        return dict(shares.sort("share", STRATUM, descending=[True, False]).iter_rows())

    def wrong_design(self, calls: int) -> str | None:
        """Return a warning if a sample that is continued by N calls is worth little for the other kind of question."""
        ids = first_of(self._ordered, calls)["session_id"]
        rates = stratum_rates(self._ordered, self._design, ids)
        drawn = self._ordered.join(rates, on=STRATUM, how="left").with_columns(probability())
        return wrong_design(drawn, self._design, len(ids))

    def pending(self) -> list[int]:
        """Return the sessions without details, in the order of the draw."""
        return self._ordered.filter(~pl.col(DETAILED))["session_id"].to_list()

    def begin(self, ids: Iterable[int]) -> None:
        """Record the page views of sessions whose details are about to be fetched, in case the sync is killed."""
        chosen = self._views.filter(_is_one_of(ids))
        design_state = self._state()
        design_state.design = self._design  # until it has a session, its allocation may change
        design_state.pending |= dict(chosen.select("session_id", "page_view_count").iter_rows())
        self._lake.save_state()

    def record(self, unreadable: Collection[int] = (), *, latest: bool = True) -> SampleReport:
        """Record the sample so far in the lake: probabilities, weights, and the windows that its rates hold for.

        Parameters
        ----------
        unreadable : collection of int
            Sessions whose answers can never be read. They are in the sample, like those that the server does not know.
        latest : bool
            Make this the lake's last sample, which later syncs continue.
        """
        design_state = self._state()
        if latest:
            state = self._lake.state()
            state.designs = [*(other for other in state.designs if other is not design_state), design_state]
        design_state.pending = {}
        windows = [*self._windows, *(rate_window.window for rate_window in design_state.rate_windows)]
        population = self._population(windows)
        in_reach = population.filter(_within(self._windows))
        done = pl.col(DETAILED) | _is_one_of(unreadable)
        drawn = first_of(in_order(in_reach.with_columns(done.alias(DETAILED)), self._design), 0)["session_id"]
        members = self._members()["session_id"]
        sampled = pl.concat([drawn, members]).unique()
        if len(sampled) > len(members):  # otherwise sessions that arrived since had no chance to be drawn
            rated = design_state.with_rate(in_reach)
            now = stratum_rates(rated, self._design, sampled, before=probability().fill_null(0.0))
            as_of = in_reach.select(pl.col(SETTLED_AT).max()).item()
            for window in self._windows:
                design_state.add_rates(window, dict(zip(now[STRATUM], now[RATE], strict=True)), as_of)
        represented = design_state.with_rate(population).filter(pl.col(RATE).is_not_null())
        represented = represented.with_columns(probability())
        rows = represented.filter(pl.col("session_id").is_in(sampled.implode()), pl.col(PROBABILITY) > 0)
        self._lake.put_design(self._design.name, self._design.seed, self._rows(design_state.window, represented, rows))
        worth = sample_worth(represented, rows, pl.col(SIZE))
        report = SampleReport.of(self._design.name, self._design.seed, len(represented), rows, worth, self._beside)
        return replace(report, wrong_design=wrong_design(represented, self._design, len(rows)))

    def _allocated(self, design: Design) -> Design:
        """Return the design with the shares for its question: by the sessions of the window, and all details that the lake has."""
        if design.for_question is None or design.allocation is not None:
            return design
        sessions = self._lake.sessions()
        detailed = sessions.filter(pl.col("detail_fetched_at").is_not_null())
        earlier = SessionFrames(detailed.collect(), self._lake.page_views().collect(), self._lake.errors().collect())
        return design.allocated(
            sessions.filter(_within(self._windows)).select(*design.columns, "status").collect(), earlier
        )

    def _state(self) -> DesignState:
        """Return the lake's state of the design; a new one is added, but not as its last: that needs details."""
        state = self._lake.state()
        design_state = same_design(state.designs, self._design)
        if design_state is None:
            design_state = DesignState(self._design)
            state.designs = [design_state, *state.designs]
        return design_state

    def _rows(self, window: Window | None, population: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the design table, with the sessions' days."""
        if window is None:
            return pl.DataFrame(schema=partitioned(DESIGN))
        weights = weigh(population, members, pl.lit(1.0)).select("session_id", WEIGHT)
        rows = members.join(weights, on="session_id", how="left", maintain_order="left").with_columns(
            pl.lit(self._design.name).alias("design"),
            pl.lit(self._design.seed, pl.Int64).alias("seed"),
            pl.lit(window.start).cast(INSTANT).alias("population_from"),
            pl.lit(window.end).cast(INSTANT).alias("population_to"),
        )
        return rows.select(*DESIGN.schema.names(), DATE)

    def _members(self) -> pl.DataFrame:
        """Return the sessions in the sample, with the page views that they had when they were drawn."""
        scan = self._lake.design().filter(of_design(self._design)).select("session_id", "page_view_count")
        return scan.collect()

    def _population(self, windows: Iterable[Window]) -> pl.DataFrame:
        """Return the sessions that can be drawn, with their start and day, and whether they have details."""
        wanted = dict.fromkeys([*self._design.columns, *_STATUS])
        scan = self._lake.sessions().filter(_within(windows), ~is_active(LOOK_BACK)).select(*wanted)
        rows = scan.collect().with_columns(views_to_draw_by().alias("page_view_count")).drop(SETTLED_VIEWS)
        rows = rows.update(self._views, on="session_id", how="left")
        population = selectable(rows, self._design, detailed=detail_is_current() | detail_failed())
        responded = pl.col("detail_fetched_at").is_not_null().alias(RESPONDED)
        return pl.concat([population, rows.select("session_start", SETTLED_AT, DATE, responded)], how="horizontal")


def _within(windows: Iterable[Window]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *(in_window(window) for window in windows))


def _is_one_of(ids: Iterable[int]) -> pl.Expr:
    return pl.col("session_id").is_in(pl.Series(list(ids), dtype=pl.Int64).implode())

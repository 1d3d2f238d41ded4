"""Features for machine learning: one row per session, of what was known at its start or its end."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.analysis.details import in_memory
from pulseframes.analysis.estimate import Source, open_source, sample_of
from pulseframes.analysis.page_template import Rules, page_template
from pulseframes.analysis.sample import Sample
from pulseframes.analysis.stored import StoredDetails
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sampling.columns import WEIGHT
from pulseframes.sampling.design import Design
from pulseframes.sampling.weights import weigh
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.periods import local_start

Known: TypeAlias = Literal["start", "end"]
Label: TypeAlias = Literal["satisfaction_rating", "session_length_ms", "page_view_count", "user_is_anonymous"]

_CATEGORIES: Final = ("country", "platform_name", "os_name", "browser_name")
_SATURDAY: Final = 6
_A_DAY: Final = 86_400
_AN_HOUR: Final = 3_600
#: How far apart the server may put a session's start and the first time that its user was seen.
_AT_ONCE: Final = pl.duration(minutes=1)


def features(
    source: Source,
    *,
    known: Known | None = None,
    label: Label | None = None,
    rules: Rules | None = None,
    time_zone: str = "UTC",
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Return one row per session for machine learning: numbers and categories. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The details: one row for each session that has them.
    known : {"start", "end"} or None
        Which features to compute: those known when the session's first page was requested, so the label cannot leak into them;
        or all that are known when it has ended. Default: ``"start"`` with a label, ``"end"`` without.
    label : {"satisfaction_rating", "session_length_ms", "page_view_count", "user_is_anonymous"} or None
        What to predict, as one more column. Sessions without a value are left out, and so are those that are still active, as it
        may change.
    rules : mapping or sequence of pairs, or None
        Your own rules for ``page_template()``.
    time_zone : str
        Time zone for hours and weekdays.
    date_from, date_to, design
        As for ``page_speed()``.

    Returns
    -------
    polars.DataFrame
        In order of ``session_id``, which is not a feature. Known at the start: ``hour`` (0 to 23), ``weekday`` (1 is Monday),
        ``is_weekend``; ``country``, ``platform_name``, ``os_name``, ``browser_name`` (categories), ``browser_major`` (the major
        version); ``is_first_session`` and ``days_since_first_seen``, from ``user_first_seen``; ``sessions_before`` and
        ``hours_since_last``, from the user's earlier sessions; ``landing`` (category), the first page's template. Also at the end:
        ``is_anonymous``, ``session_length_ms``, ``page_view_count``, ``page_templates`` (distinct), ``first_loading_ms``,
        ``mean_loading_ms``, ``median_loading_ms``, ``max_loading_ms``, ``viewing_ms`` (the sum), ``error_count``, ``error_groups``.
        Then the label, if there is one, and last ``weight``, the number of sessions that it represents, not a feature either: null
        if the details were not sampled at random.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, such as a label that is itself a feature at the end, or a sample's population has no ``user_id``.
    LakeError
        If there is no lake.

    Notes
    -----
    A session is rated by what happened in it, such as slow pages: features at the end explain ``satisfaction_rating``, they do not
    predict it.

    The server reports a session's last known state. Whether the user is anonymous changes when they log in, so it is known only at
    the end. The user can change with it; then ``is_first_session`` to ``hours_since_last`` are those of the user who logged in.
    ``user_last_seen`` is not used, because it changes after the start. If ``user_first_seen`` is more than a minute after the
    start, the server has overwritten it, and it counts as unknown.

    ``sessions_before`` counts as far back as the source goes: all of a lake, whatever the window; the population of a ``Sample``;
    only the given sessions of ``SessionFrames``.

    Examples
    --------
    >>> training = pf.features("lake", label="satisfaction_rating")
    >>> training.columns[-3:]
    ['landing', 'satisfaction_rating', 'weight']
    >>> everything = pf.features("lake")
    """
    known = _checked(known, label)
    source = open_source(source, date_from, date_to, design)
    sample = in_memory(sample_of(source, date_from, date_to, design))
    source = source.lake if isinstance(source, StoredDetails) else source
    details, template = sample.details, page_template("page", rules)
    landing = details.page_views.filter(view_index=0).select(
        "session_id", template.cast(pl.Categorical).alias("landing")
    )
    rows = (
        details.sessions.select("session_id", *_at_start(time_zone))
        .join(_history(details.sessions, _starts(source, sample)), on="session_id", how="left")
        .join(landing, on="session_id", how="left")
    )
    if known == "end":
        rows = rows.join(_at_end(details, template), on="session_id", how="left")
    if label is not None:
        over = details.sessions.filter(pl.col("status").ne_missing("active"))
        rows = rows.join(over.select("session_id", label).drop_nulls(), on="session_id")
    return rows.join(_weights(sample), on="session_id", how="left").sort("session_id")


def _checked(known: Known | None, label: Label | None) -> Known:
    """Return which features to compute; raise ``InvalidQuery`` if the label would be one of them."""
    if known is not None:
        check_choice("known", known, get_args(Known))
    if label is None:
        return known or "end"
    check_choice("label", label, get_args(Label))
    if known == "end" and label != "satisfaction_rating":
        raise InvalidQuery(
            f"label: {label} is a feature that is known at the end, so it would predict itself. Pass known='start'.",
            argument="label",
        )
    return known or "start"


def _at_start(time_zone: str) -> list[pl.Expr]:
    start, seen = local_start(time_zone), pl.col("user_first_seen")
    seen = pl.when(seen <= pl.col("session_start") + _AT_ONCE).then(seen)
    since = (pl.col("session_start") - seen).dt.total_seconds(fractional=True).clip(lower_bound=0)
    return [
        start.dt.hour().cast(pl.Int64).alias("hour"),
        start.dt.weekday().cast(pl.Int64).alias("weekday"),
        (start.dt.weekday() >= _SATURDAY).alias("is_weekend"),
        *(pl.col(name).cast(pl.Categorical) for name in _CATEGORIES),
        pl.col("browser_version").str.extract(r"^(\d+)").cast(pl.Int64, strict=False).alias("browser_major"),
        (seen >= pl.col("session_start") - _AT_ONCE).alias("is_first_session"),
        (since / _A_DAY).alias("days_since_first_seen"),
    ]


def _starts(source: Lake | Sample, sample: Sample) -> pl.DataFrame:
    """Return the starts of all sessions in the source of the users with details."""
    users = sample.details.sessions.select("user_id").drop_nulls().unique()
    if isinstance(source, Lake):
        sessions = source.sessions().select("user_id", "session_start")
        return sessions.join(users.lazy(), on="user_id", how="semi").collect()
    if "user_id" not in sample.population.columns:
        raise InvalidQuery(
            "source: the sample's population has no column user_id; read it with columns=['user_id'].",
            argument="source",
        )
    return sample.population.select("user_id", "session_start").join(users, on="user_id", how="semi")


def _history(sessions: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    """Return how many sessions each session's user started before, and how long ago the last one started."""
    earlier = starts.sort("session_start").select(
        "user_id",
        pl.col("session_start").alias("_last"),
        pl.int_range(1, pl.len() + 1).over("user_id").alias("sessions_before"),
    )
    since = (pl.col("session_start") - pl.col("_last")).dt.total_seconds(fractional=True)
    return (
        sessions.select("session_id", "user_id", "session_start")
        .drop_nulls("user_id")
        .sort("session_start")
        .join_asof(
            earlier,
            left_on="session_start",
            right_on="_last",
            by="user_id",
            allow_exact_matches=False,
            coalesce=False,
            check_sortedness=False,
        )
        .select("session_id", pl.col("sessions_before").fill_null(0), (since / _AN_HOUR).alias("hours_since_last"))
    )


def _at_end(details: SessionFrames, template: pl.Expr) -> pl.DataFrame:
    loading, viewing = pl.col("loading_time_ms"), pl.col("viewing_time_ms")
    views = details.page_views.group_by("session_id").agg(
        template.drop_nulls().n_unique().cast(pl.Int64).alias("page_templates"),
        loading.sort_by("view_index").first().alias("first_loading_ms"),
        loading.mean().alias("mean_loading_ms"),
        loading.median().alias("median_loading_ms"),
        loading.max().alias("max_loading_ms"),
        pl.when(viewing.count() > 0).then(viewing.sum()).alias("viewing_ms"),
    )
    errors = details.errors.group_by("session_id").agg(
        pl.len().cast(pl.Int64).alias("error_count"),
        pl.col("group_id").drop_nulls().n_unique().cast(pl.Int64).alias("error_groups"),
    )
    anonymous = pl.col("user_is_anonymous").alias("is_anonymous")
    return (
        details.sessions.select("session_id", anonymous, "session_length_ms", "page_view_count")
        .join(views, on="session_id", how="left")
        .join(errors, on="session_id", how="left")
        .with_columns(pl.col("error_count", "error_groups").fill_null(0))
    )


def _weights(sample: Sample) -> pl.DataFrame:
    """Return how many sessions each one represents."""
    if not sample.is_drawn or sample.is_census:
        weight = pl.lit(1.0 if sample.is_drawn else None, pl.Float64)
        return sample.details.sessions.select("session_id", weight.alias(WEIGHT))
    return weigh(sample.population, sample.members, pl.lit(1.0)).select("session_id", WEIGHT)

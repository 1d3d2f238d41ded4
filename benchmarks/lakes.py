"""Makes lakes of any size: a year of a shop's sessions, with the details of a sample or of all."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import polars as pl
from documents import KEPT

import pulseframes as pf
from pulseframes.fetch.draw import SampleDraw
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.lake_tables import LAKE_VERSION
from pulseframes.windows import LOOK_BACK, Window

BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
DAYS: Final = 365
YEAR: Final = Window(BEGIN, BEGIN + timedelta(days=DAYS))
LATER: Final = datetime(2026, 11, 20, tzinfo=UTC)
#: Of which sessions a lake has the details.
Details: TypeAlias = Literal["none", "sample", "all"]
#: What a hundred days of calls buy.
SAMPLE: Final = 4_500
#: A lake is written in parts, so that little is in memory at once.
_PART: Final = 400_000
_PART_WITH_DETAILS: Final = 60_000

_PAGES: Final = (
    *("/", "/c/garden-tools", "/c/pots", "/search?q=wool", "/cart", "/checkout/address", "/help/returns"),
    *("/p/{}-wool-can", "/p/{}-oak-bench", "/account/orders/{}", "/checkout/payment?order={}", "/journal/soil-{}"),
)
_TITLES: Final = ("Script error.", "TypeError: Failed to fetch", "RangeError: Invalid time value", "Error: Cart 409")


def lake(sessions: int, details: Details = "sample") -> str:
    """Return the folder of a lake that an earlier run made, or make it. It is not to be changed."""
    folder = KEPT / f"lake-{sessions}-{details}-{LAKE_VERSION}"
    if not folder.exists():
        begun = folder.with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        begun.parent.mkdir(parents=True, exist_ok=True)
        _make(str(begun), sessions, details)
        begun.rename(folder)
    return str(folder)


def _make(folder: str, count: int, details: Details) -> None:
    per_day, days, made = max(1, count // DAYS), min(DAYS, count), pf.Lake(folder)
    step = max(1, (_PART_WITH_DETAILS if details == "all" else _PART) // per_day)
    for day in range(0, days, step):
        part = sessions_of(day, min(step, days - day), per_day)
        made.write(details_of(part) if details == "all" else part, fetched_at=LATER)
    with made.locked() as state:
        state.coverage.add(YEAR, LATER, LOOK_BACK)
        made.save_state()
        if details == "sample":
            _draw(made)


def _draw(made: pf.Lake) -> None:
    """Draw a sample, and add its details."""
    drawn = SampleDraw(made, pf.Design("pageviews"), YEAR)
    ids = drawn.pending()[:SAMPLE]
    drawn.begin(ids)
    chosen = made.sessions().filter(pl.col("session_id").is_in(ids)).collect()
    made.write(details_of(chosen.select(SESSIONS.schema.names())), fetched_at=LATER)
    SampleDraw(made, pf.Design("pageviews"), YEAR).record()


def sessions_of(first_day: int, days: int, per_day: int) -> pl.DataFrame:
    """Make sessions: times over the days, texts that repeat as a shop's do, and addresses and links that do not."""
    numbers = pl.int_range(first_day * per_day, (first_day + days) * per_day, eager=True, dtype=pl.Int64)
    # Ids are of any order, as the server's are: a lookup cannot skip files by them, and links do not compress well.
    ids = (numbers.hash(seed=2) % (1 << 61)).cast(pl.Int64)
    draw = (numbers.hash(seed=1) % (1 << 31)).cast(pl.Int64)
    in_day = numbers % per_day * (86_400_000_000 // per_day) + draw % 1_000
    start = BEGIN + pl.duration(days=numbers // per_day, microseconds=in_day)
    person, length = pl.lit(draw % max(1, per_day * 60)).cast(pl.Int64), pl.lit(draw // 7 % 1_800_000).cast(pl.Int64)
    named, text = pl.lit(draw % 5 < 2), person.cast(pl.String)
    # Mostly one or two page views, sometimes dozens.
    views = 1 - 3.5 * ((pl.lit(ids) % 1_000_003 + 1).cast(pl.Float64) / 1_000_004).log()

    def one_of(*texts: str) -> pl.Expr:
        return pl.lit(pl.Series(texts)).gather(pl.lit(draw // 11 % len(texts)))

    values = {
        "session_id": pl.lit(ids),
        "session_start": start,
        "session_updated": start + pl.duration(milliseconds=length),
        "session_end": start + pl.duration(milliseconds=length),
        "user_id": person,
        "user_is_anonymous": ~named,
        "user_identifier": pl.when(named).then("jane.doe." + text + "@example.com").otherwise("visitor-" + text),
        "user_first_name": pl.when(named).then(one_of("Jane", "Aroha", "Wiremu", "Li", "Sofia")),
        "user_full_name": pl.when(named).then(
            one_of("Jane Doe", "Aroha Ngata", "Wiremu Kingi", "Li Wei", "Sofia Rossi")
        ),
        "user_email_address": pl.when(named).then("jane.doe." + text + "@example.com"),
        "user_first_seen": start - pl.duration(hours=person % 2_000),
        "user_last_seen": start + pl.duration(milliseconds=length),
        "user_web_url": "https://app.raygun.example/pulse/users/" + text,
        "browser_name": one_of("Chrome", "Safari", "Firefox", "Edge"),
        "browser_version": one_of("131.0.6778.86", "18.1.1", "132.0.2", "131.0.2903.70", "130.0.6723.117"),
        "platform_name": one_of("Desktop", "Mobile", "Tablet"),
        "os_name": one_of("Windows", "iOS", "Android", "Mac OS X"),
        "os_version": one_of("10", "18.1", "14", "10.15.7", "11"),
        "country": one_of("NZ", "AU", "US", "GB", "DE", "FR", "JP"),
        "ip_address": "203.0." + (person // 256 % 256).cast(pl.String) + "." + (person % 256).cast(pl.String),
        "session_length_ms": length,
        "status": pl.lit("ended"),
        "page_view_count": views.cast(pl.Int64),
        "api_url": "https://api.raygun.com/api/v1/pulse/session?id=" + pl.lit(ids).cast(pl.String),
        "web_url": "https://app.raygun.example/pulse/sessions/" + pl.lit(ids).cast(pl.String),
    }
    columns = [values.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in SESSIONS.schema.items()]
    return pl.select(pl.lit(numbers).alias("row")).select(columns)


def details_of(sessions: pl.DataFrame) -> pf.SessionFrames:
    """Make the details of sessions: a rating, as many page views as the summary says, and an error in each fiftieth."""
    rating = pl.lit(pl.Series(["Excellent", "Excellent", "Good", "Average", "Poor"]))
    rated = sessions.with_columns(satisfaction_rating=rating.gather(pl.col("session_id") % 5))
    views = sessions.select("session_id", "session_start", pl.int_ranges("page_view_count").alias("view_index"))
    views = views.explode("view_index", empty_as_null=False).sort("session_id", "view_index")
    draw = (pl.struct("session_id", "view_index").hash(seed=3) % (1 << 31)).cast(pl.Int64)
    number = (40_000 + draw // 16 % 5_000).cast(pl.String)
    page = pl.lit(pl.Series(_PAGES)).gather(draw % len(_PAGES)).str.replace("{}", number, literal=True)
    page_views = views.with_columns(
        page="https://shop.example" + page,
        loading_time_ms=300 + draw // 32 % 1_000 + (draw % 97) ** 2,
        viewing_time_ms=2_000 + draw // 64 % 60_000,
        viewed_on=pl.col("session_start") + pl.duration(minutes="view_index"),
    )
    kind = draw // 1024 % len(_TITLES)
    errors = views.filter(draw // 128 % 50 == 0).select(
        "session_id",
        pl.int_range(pl.len()).over("session_id").alias("error_index"),
        (9_000 + kind).alias("group_id"),
        draw.alias("instance_id"),
        pl.lit(pl.Series(_TITLES)).gather(kind).alias("title"),
        pl.lit("https://app.raygun.example/errors").alias("web_url"),
    )
    return pf.SessionFrames(rated, page_views.select(PAGE_VIEWS.schema.names()), errors.select(ERRORS.schema.names()))

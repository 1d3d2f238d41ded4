"""forget() and retain(): removed data is in no file afterwards, and everything else is unchanged."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from conftest import Clock, client_of
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.erasure.journal import ForgottenInJournal
from pulseframes.erasure.lake import ForgottenInLake
from pulseframes.simulator import Simulator
from pulseframes.tables import LAKE_TABLES, TABLES

DAY = timedelta(days=1)


@dataclass
class Kept:
    """A lake and a journal that were filled from a shop."""

    shop: Simulator
    client: pf.PulseClient
    lake: pf.Lake
    home: Path
    window: tuple[datetime, datetime]

    @property
    def settings(self) -> pf.Settings:
        return pf.Settings(home=str(self.home))

    def texts(self) -> str:
        """The contents of all files, decompressed."""
        files = [
            path for folder in (self.home, Path(self.lake.location)) for path in folder.rglob("*") if path.is_file()
        ]
        texts = [path.read_bytes().decode("latin-1") for path in files]
        texts += [
            pl.read_parquet(path, hive_partitioning=False).write_ndjson() for path in files if path.suffix == ".parquet"
        ]
        with closing(sqlite3.connect(self.home / "journal.sqlite")) as journal:
            for size, body, params in journal.execute("SELECT size, body, params FROM calls"):
                raw = pa.decompress(body, decompressed_size=size, codec="zstd", asbytes=True) if body else b""
                texts += [raw.decode(), str(params)]
        return "\n".join(texts)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def filled(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Path]]:
    """A shop, and a folder with the lake and the journal of a sync."""
    folder = tmp_path_factory.mktemp("filled")
    with Simulator(sessions=300, days=12, now=clock.now, daily_limit=None) as shop:
        with client_of(shop, changes={"home": str(folder / "home")}, clock=clock) as client:
            pf.sync(folder / "lake", shop.begin, clock.now - 2 * DAY, details=15, client=client)
        yield shop, folder


@pytest.fixture
def kept(filled: tuple[Simulator, Path], tmp_path: Path, clock: Clock) -> Iterator[Kept]:
    shop, folder = filled
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    home = tmp_path / "home"
    with client_of(shop, changes={"home": str(home)}, clock=clock) as client:
        yield Kept(shop, client, pf.Lake(tmp_path / "lake"), home, (shop.begin, clock.now - 2 * DAY))


def person_of(kept: Kept) -> dict[str, object]:
    """Somebody with several sessions, some detailed, whose name and address nobody else has."""
    rows = kept.lake.sessions().collect()
    named = rows.drop_nulls(["user_email_address", "user_full_name"])
    for row in named.sort("detail_fetched_at", nulls_last=True).iter_rows(named=True):
        same = rows.filter(user_id=row["user_id"])
        others = rows.filter(pl.col("user_id") != row["user_id"])
        shared = others.filter(
            (pl.col("user_full_name") == row["user_full_name"]) | (pl.col("ip_address") == row["ip_address"])
        )
        if len(same) > 1 and shared.is_empty() and same["detail_fetched_at"].is_not_null().any():
            return row
    raise AssertionError("the population has nobody like that")


@pytest.mark.parametrize("known_as", ["user_email_address", "user_identifier", "user_id"])
def test_a_forgotten_person_is_in_no_file_and_everybody_else_is_as_before(kept: Kept, known_as: str) -> None:
    person = person_of(kept)
    pf.search_sessions(*kept.window, user_identifier=str(person["user_identifier"]), client=kept.client)
    secrets = [str(person[name]) for name in ("user_email_address", "user_full_name", "ip_address", "user_identifier")]
    before = kept.texts()
    assert all(secret in before for secret in secrets)
    others = {name: _others(kept, name, person) for name in ("sessions", "page_views", "errors")}
    mine = kept.lake.sessions().filter(user_id=person["user_id"]).collect()
    kept.client.close()

    done = pf.forget(kept.lake, str(person[known_as]), settings=kept.settings)

    after = kept.texts()
    for secret in secrets:
        assert secret.lower() not in after.lower()
    assert kept.lake.sessions().filter(user_id=person["user_id"]).collect().is_empty()
    for name, frame in others.items():
        assert_frame_equal(_others(kept, name, person), frame)
    assert done.lake is not None
    assert done.lake.rows["sessions"] == len(mine)
    assert done.lake.days == set(mine["date"])
    assert done.journal is not None
    assert done.journal.sessions_removed == len(mine)
    assert done.journal.calls_redacted >= 1
    for text in (str(done), repr(done), str(done.as_dict())):
        assert not any(secret in text for secret in secrets)
    assert "Raygun may still have the user" in str(done)
    again = pf.forget(kept.lake, str(person[known_as]), settings=kept.settings)
    assert again.lake is not None
    assert sum(again.lake.rows.values()) == 0


def _others(kept: Kept, name: str, person: dict[str, object]) -> pl.DataFrame:
    mine = kept.lake.sessions().filter(user_id=person["user_id"]).select("session_id")
    table = {"sessions": kept.lake.sessions, "page_views": kept.lake.page_views, "errors": kept.lake.errors}[name]()
    return table.join(mine, on="session_id", how="anti").sort(LAKE_TABLES[name].key).collect()


def test_a_sync_after_a_forget_costs_nothing_and_does_not_bring_the_person_back(kept: Kept) -> None:
    person = person_of(kept)
    before = kept.shop.calls
    pf.forget(kept.lake, str(person["user_identifier"]), settings=kept.settings)
    report = pf.sync(kept.lake, *kept.window, client=kept.client)
    assert report.calls_spent == 0
    with pytest.warns(pf.IncompleteWarning, match="deleted from the journal"):
        rest = pf.search_sessions(*kept.window, client=kept.client)
    assert kept.client.calls_spent == kept.shop.calls - before
    assert person["user_id"] not in rest["user_id"].to_list()
    other = pf.Lake(Path(kept.lake.location).parent / "other")
    with pytest.warns(pf.IncompleteWarning, match="deleted from the journal"):
        assert pf.sync(other, *kept.window, client=kept.client).calls_spent == 0
    assert len(other.sessions().collect()) == len(rest)


def test_mentions_of_a_forgotten_person_in_other_peoples_pages_and_titles_are_redacted(kept: Kept) -> None:
    person = person_of(kept)
    email = str(person["user_email_address"])
    views = kept.lake.page_views().filter(pl.col("session_id") != person["session_id"]).collect().drop("date")
    sessions = kept.lake.sessions().filter(session_id=views["session_id"][0]).collect()
    page = f"https://shop.example/users/{email.replace('@', '%40')}?to={email.upper()}"
    changed = views.filter(session_id=views["session_id"][0]).with_columns(page=pl.lit(page))
    errors = pl.DataFrame(
        [{"session_id": views["session_id"][0], "error_index": 0, "title": f"No such user: {email}"}],
        schema=LAKE_TABLES["errors"].schema,
    )
    kept.lake.write(pf.SessionFrames(sessions.select(TABLES["sessions"].schema.names()), changed, errors))
    done = pf.forget(kept.lake, email, settings=kept.settings)
    assert done.lake is not None
    assert done.lake.mentions == len(changed) + 1
    left = kept.lake.page_views().filter(session_id=views["session_id"][0]).collect()["page"].unique().to_list()
    assert left == ["https://shop.example/users/[forgotten]?to=[forgotten]"]
    assert "No such user: [forgotten]" in kept.lake.errors().collect()["title"].to_list()


def test_a_person_is_found_in_a_lake_of_pseudonyms_by_the_name_that_the_site_gave(kept: Kept) -> None:
    person = person_of(kept)
    rules = {"personal": "pseudonymise", "user_id": "pseudonymise"}
    policy = pf.PrivacyPolicy(rules, key="a key that nobody knows")
    lake = pf.Lake(Path(kept.lake.location).parent / "other", privacy=policy)
    pf.sync(lake, *kept.window, client=kept.client)
    count = len(kept.lake.sessions().filter(user_id=person["user_id"]).collect())
    before = len(lake.sessions().collect())
    kept.client.close()
    done = pf.forget(lake, str(person["user_identifier"]), settings=kept.settings)
    assert done.lake is not None
    assert done.lake.rows["sessions"] == count == before - len(lake.sessions().collect())
    with pytest.raises(pf.LakeError, match="PULSEFRAMES_PSEUDONYM_KEY"):
        pf.forget(pf.Lake(lake.location), "anybody", settings=kept.settings)


SPELLINGS = ("Jane.Doe@Example.com", "jane.doe@example.com", "JANE.DOE@EXAMPLE.COM")


@pytest.mark.parametrize("column", ["user_identifier", "user_email_address"])
@pytest.mark.parametrize("rules", [{}, {"personal": "pseudonymise"}], ids=["plain", "pseudonyms"])
def test_a_person_is_found_in_any_letter_case_without_a_journal(
    tmp_path: Path, column: str, rules: dict[str, str]
) -> None:
    home = pf.Settings(home=str(tmp_path))
    lake = pf.Lake(tmp_path / "lake", privacy=pf.PrivacyPolicy(rules, key="a key that nobody knows"))
    for spelling in SPELLINGS:
        rows = [{"session_id": number, column: name} for number, name in enumerate([*SPELLINGS, "joe@example.com"])]
        start = {"session_start": datetime(2026, 11, 1, tzinfo=UTC)}
        lake.write(pl.DataFrame([row | start for row in rows], schema=TABLES["sessions"].schema))
        removed = pf.forget(pf.Lake(tmp_path / "lake", privacy=lake.policy()), spelling, settings=home).lake
        assert removed is not None
        assert removed.rows["sessions"] == 3  # the one with the id 0 too
        assert lake.sessions().collect()["session_id"].to_list() == [3]


@pytest.mark.parametrize("version", [1, 2, 3, None])
@pytest.mark.parametrize("column", ["user_identifier", "user_email_address"])
def test_a_person_is_found_in_a_lake_with_composed_and_decomposed_accents(
    tmp_path: Path, column: str, version: int | None
) -> None:
    """In older pseudonyms too, if the name is given as the site spells it; only those of version 1 depend on the letter case."""
    sent = ["Zoë.Straße@X.Example", "Zoe\u0308.Straße@X.Example", "ZOË.STRASSE@X.EXAMPLE", "zoe@x.example"]
    policy = pf.PrivacyPolicy({} if version is None else {"personal": "pseudonymise"}, key="a key that nobody knows")
    object.__setattr__(policy, "_version", version or 3)
    lake = pf.Lake(tmp_path / "lake", privacy=policy)
    start = {"session_start": datetime(2026, 11, 1, tzinfo=UTC)}
    rows = [start | {"session_id": number, column: name} for number, name in enumerate(sent)]
    lake.write(pl.DataFrame(rows, schema=TABLES["sessions"].schema))
    spelled = sent[0] if version in {1, 2} else "zoe\u0308.strasse@x.example"
    pf.forget(pf.Lake(tmp_path / "lake", privacy=policy), spelled, settings=pf.Settings(home=str(tmp_path)))
    assert lake.sessions().collect()["session_id"].to_list() == ([2, 3] if version == 1 else [3])


def test_an_unknown_user_removes_nothing(kept: Kept) -> None:
    before = kept.lake.sessions().collect()
    done = pf.forget(kept.lake, "nobody@example.com", settings=kept.settings)
    assert done.lake is not None
    assert (sum(done.lake.rows.values()), done.lake.days, done.found) == (0, set(), False)
    assert str(done) == "No matching user found. Nothing was removed."
    assert_frame_equal(kept.lake.sessions().collect(), before)


@pytest.mark.parametrize(
    "function",
    [lambda lake, home: pf.forget(lake, "x", settings=home), lambda lake, home: pf.retain(lake, 3, settings=home)],
)
def test_a_missing_lake_is_an_error_and_is_not_created(kept: Kept, tmp_path: Path, function: object) -> None:
    with pytest.raises(pf.LakeError, match="No lake at"):
        function(tmp_path / "typo", kept.settings)  # type: ignore[operator]  # as parametrized
    assert not (tmp_path / "typo").exists()


def test_wrong_arguments_remove_nothing(kept: Kept) -> None:
    with pytest.raises(pf.InvalidQuery, match="user is empty"):
        pf.forget(kept.lake, " ", settings=kept.settings)
    with pytest.raises(pf.InvalidQuery, match="user must be .*, not float"):
        pf.forget(kept.lake, 1.5, settings=kept.settings)  # type: ignore[arg-type]  # wrong on purpose
    assert pf.forget(kept.lake, 7, settings=kept.settings).found is False
    for days in (0, -1, True, 10**9):
        with pytest.raises(pf.InvalidQuery, match="days must be"):
            pf.retain(kept.lake, days, settings=kept.settings)


def test_without_a_journal_and_a_lake_nothing_is_removed(tmp_path: Path) -> None:
    done = pf.forget(None, "anna", settings=pf.Settings(home=str(tmp_path)))
    assert done.as_dict() == {"removed": False, "kept_from": None, "lake": None, "journal": None, "key_files": 0}
    assert str(done) == "No matching user found. Nothing was removed."


# What is too old


def test_retain_deletes_old_days_from_both_and_no_sync_downloads_them_again(kept: Kept, clock: Clock) -> None:
    cutoff = (clock.now - 3 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    sessions = kept.lake.sessions().sort("session_id").collect()
    young = sessions.filter(pl.col("session_start") >= cutoff)
    old = sessions.filter(pl.col("session_start") < cutoff)
    kept.client.close()
    done = pf.retain(kept.lake, 3, settings=kept.settings, clock=clock)
    assert_frame_equal(kept.lake.sessions().sort("session_id").collect(), young)
    assert kept.lake.page_views().filter(pl.col("date") < cutoff.date()).collect().is_empty()
    assert done.lake is not None
    assert done.lake.rows["sessions"] == len(old) > 0
    assert min(window.start for window in kept.lake.coverage()) == cutoff
    texts = kept.texts()
    gone_for_good = set(old["user_identifier"].drop_nulls()) - set(young["user_identifier"].drop_nulls())
    assert gone_for_good
    assert not [name for name in gone_for_good if name in texts]
    assert f"Removed what was older than {cutoff:%Y-%m-%d} UTC." in str(done)
    report = pf.sync(kept.lake, *kept.window, client=kept.client, details="all")
    assert report.asked == []
    refreshed = pf.sync(kept.lake, *kept.window, client=kept.client, refresh=True)
    assert [window.start for window in refreshed.asked] == [cutoff]
    assert f"before {cutoff:%Y-%m-%d} UTC was deleted by `retain`" in str(report)
    assert kept.lake.sessions().filter(pl.col("session_start") < cutoff).collect().is_empty()
    assert pf.plan(kept.lake, *kept.window, client=kept.client).calls == 0


def test_emptied_calls_still_count_towards_the_quota(kept: Kept, clock: Clock) -> None:
    used = kept.client.quota().used
    kept.client.close()
    pf.retain(None, 1, settings=kept.settings, clock=clock)
    assert kept.client.quota().used == used


def test_the_counts_are_printed_and_stored_as_json() -> None:
    lake = ForgottenInLake({"sessions": 3, "page_views": 1_200}, 1, {date(2026, 11, 2), date(2026, 11, 1)})
    removed = pf.Forgotten(lake, ForgottenInJournal(3, 2, 1, 1, 0), 1)
    assert json.dumps(removed.as_dict()) == (
        '{"removed": true, "kept_from": null, "lake": {"rows": {"sessions": 3, "page_views": 1200}, "mentions": 1, "days": '
        '["2026-11-01", "2026-11-02"]}, "journal": {"sessions_removed": 3, "responses_rewritten": 2, "responses_removed": 1, '
        '"calls_redacted": 1, "calls_removed": 0}, "key_files": 1}'
    )
    assert str(removed).splitlines() == [
        "Lake: 3 sessions removed, 1,200 page views removed, 1 mention redacted, 2 days rewritten.",
        "Journal: 3 sessions removed, 1 response removed, 2 responses rewritten, 1 call redacted.",
        "Session keys: 1 file removed.",
        "Raygun may still have the user. Delete them there as well, or a later search downloads them again.",
    ]
    retained = pf.Forgotten(kept_from=datetime(2026, 11, 11, tzinfo=UTC))
    assert retained.as_dict()["kept_from"] == "2026-11-11T00:00:00+00:00"
    assert str(retained) == "Nothing was older than 2026-11-11 UTC. Nothing was removed."
    drawn = pf.Forgotten(ForgottenInLake({"sessions": 0, "design": 1}), kept_from=retained.kept_from)
    assert str(drawn).splitlines() == [
        "Removed what was older than 2026-11-11 UTC.",
        "Lake: 1 sampled session removed.",
    ]

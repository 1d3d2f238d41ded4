"""Validation: every reason why a row is invalid, at once."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
import pytest
from conftest import NOW
from pandera.errors import SchemaErrors

from pulseframes import InvalidQuery, frame_schema
from pulseframes.simulator import Simulator
from pulseframes.tables import TABLES, Column, Table
from pulseframes.tables.validation import check, new_values

TRUTH = Simulator(sessions=200, now=NOW).truth()
COLUMNS = [(table, column) for table in TABLES.values() for column in table.columns]


def changed(table: str, column: str, value: object) -> dict[str, pl.DataFrame]:
    """Return the simulated frames with one value changed, in the first row of a table."""
    frame = TRUTH[table].with_columns(
        pl.when(pl.int_range(pl.len()) == 0)
        .then(pl.lit(value, dtype=TABLES[table][column].dtype))
        .otherwise(column)
        .alias(column)
    )
    return {**TRUTH, table: frame}


def test_simulated_rows_are_valid() -> None:
    valid, invalid = check(TRUTH)
    assert all(valid[name].equals(TRUTH[name]) for name in TABLES)
    assert all(frame.is_empty() for frame in invalid.values())


def test_empty_frames_are_valid() -> None:
    valid, invalid = check({name: table.empty() for name, table in TABLES.items()})
    assert {name: frame.schema for name, frame in valid.items()} == {
        name: table.schema for name, table in TABLES.items()
    }
    assert all(frame.is_empty() for frame in invalid.values())


@pytest.mark.parametrize(("table", "column"), [case for case in COLUMNS if case[1].required])
def test_a_missing_required_value_is_named(table: Table, column: Column) -> None:
    _, invalid = check(changed(table.name, column.name, None))
    assert f"{column.name}: required but missing" in invalid[table.name]["reason"][0]


@pytest.mark.parametrize(("table", "column"), [case for case in COLUMNS if not case[1].required])
def test_any_other_value_may_be_null(table: Table, column: Column) -> None:
    valid, invalid = check(changed(table.name, column.name, None))
    assert invalid[table.name].is_empty()
    assert len(valid[table.name]) == len(TRUTH[table.name])


@pytest.mark.parametrize(("table", "column"), [case for case in COLUMNS if case[1].minimum is not None])
def test_a_value_below_the_minimum_is_invalid_and_the_minimum_itself_valid(table: Table, column: Column) -> None:
    assert column.minimum is not None
    _, invalid = check(changed(table.name, column.name, column.minimum - 1))
    assert f"{column.name}: -1 is less than 0" in invalid[table.name]["reason"][0]
    changed_ok, _ = check(changed(table.name, column.name, column.minimum))
    assert len(changed_ok[table.name]) >= len(TRUTH[table.name]) - 1


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_rows_are_invalid_exactly_where_the_schema_fails(table: Table) -> None:
    schema = frame_schema(table.name)
    values = [
        (column.name, value)
        for column in table.columns
        for value in (None, -1)
        if not value or column.dtype == pl.Int64
    ]
    for name, value in values:
        frames = changed(table.name, name, value)
        try:
            schema.validate(frames[table.name], lazy=True)
        except SchemaErrors:
            assert not check(frames)[1][table.name].is_empty(), (name, value)
        else:
            assert f"{name}: " not in str(check(frames)[1][table.name]["reason"].to_list()), (name, value)


def test_the_reason_lists_everything_that_is_wrong_with_a_row() -> None:
    frames = changed("sessions", "session_length_ms", -1)
    frames = {**frames, "sessions": frames["sessions"].with_columns(session_start=None).cast(TABLES["sessions"].schema)}
    _, invalid = check(frames)
    assert invalid["sessions"]["reason"][0] == (
        "session_length_ms: -1 is less than 0; session_start: required but missing"
    )


def test_both_rows_with_a_duplicate_key_are_invalid() -> None:
    twice = pl.concat([TRUTH["errors"], TRUTH["errors"].head(1)])
    _, invalid = check({**TRUTH, "errors": twice})
    assert invalid["errors"]["reason"].to_list() == ["session_id, error_index: duplicate key"] * 2


def test_rows_without_a_key_are_not_duplicates() -> None:
    frames = {name: table.empty() for name, table in TABLES.items()}
    nameless = TRUTH["sessions"].head(2).with_columns(session_id=pl.lit(None, pl.Int64))
    _, invalid = check({**frames, "sessions": nameless})
    assert invalid["sessions"]["reason"].to_list() == ["session_id: required but missing"] * 2


def test_page_views_and_errors_without_a_valid_session_are_invalid() -> None:
    missing = TRUTH["page_views"]["session_id"][0]
    frames = {**TRUTH, "sessions": TRUTH["sessions"].filter(pl.col("session_id") != missing)}
    valid, invalid = check(frames)
    assert set(invalid["page_views"]["session_id"]) == {missing}
    assert set(invalid["page_views"]["reason"]) == {"its session is missing or invalid"}
    assert missing not in valid["errors"]["session_id"].to_list()


def test_a_frame_with_a_column_of_another_type_raises() -> None:
    with pytest.raises(ValueError, match="not a sessions frame: dtype"):
        check({**TRUTH, "sessions": TRUTH["sessions"].cast({"session_length_ms": pl.Float64})})


def test_undocumented_values_are_described_but_null_is_not() -> None:
    frames = changed("sessions", "status", "paused")
    assert new_values(frames) == ["sessions.status = 'paused'"]
    assert new_values(changed("sessions", "satisfaction_rating", None)) == []


def test_frame_schema_validates_any_frame_and_may_be_changed() -> None:
    schema = frame_schema("sessions")
    assert isinstance(schema, pa.DataFrameSchema)
    assert schema.validate(TRUTH["sessions"]).equals(TRUTH["sessions"])
    with pytest.raises(SchemaErrors):
        schema.validate(changed("sessions", "session_length_ms", -1)["sessions"], lazy=True)
    assert schema.columns["ip_address"].metadata == {"unit": "", "privacy": "personal"}
    schema.columns["session_length_ms"].nullable = False  # it is the caller's own
    assert frame_schema("sessions").columns["session_length_ms"].nullable
    with pytest.raises(InvalidQuery, match="name must be one of sessions, page_views, errors"):
        frame_schema("visits")

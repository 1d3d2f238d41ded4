"""The two formats as places to publish to, read back by readers that are not pulseframes: DuckDB, polars and pyiceberg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from pyiceberg.catalog import Catalog, load_catalog

import pulseframes as pf
from pulseframes.tables import LAKE_TABLES, partitioned

FORMATS = ("delta", "iceberg")


class Place:
    """A destination in a folder."""

    def __init__(self, folder: Path, table_format: str) -> None:
        self.folder = folder
        self.format = table_format
        folder.mkdir(parents=True, exist_ok=True)
        is_delta = table_format == "delta"
        catalog = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
        self.arguments: dict[str, Any] = {
            "destination": str(folder / "tables") if is_delta else "pulse",
            "format": table_format,
            **({} if is_delta else {"catalog": catalog}),
        }

    def publish(self, lake: pf.Lake) -> pf.PublishReport:
        return pf.publish(lake, **self.arguments)

    def catalog(self) -> Catalog:
        return load_catalog(**{"name": "default", **self.arguments["catalog"]})

    def location(self, table: str) -> Path:
        """Return the folder of a table's files."""
        return self.folder / ("tables" if self.format == "delta" else "warehouse/pulse") / table

    def has(self, table: str) -> bool:
        if self.format == "iceberg":
            return self.catalog().table_exists(f"pulse.{table}")
        return DeltaTable.is_deltatable(str(self.location(table)))

    def rows(self, table: str) -> pl.DataFrame:
        """Return a table's rows as DuckDB reads its live files."""
        if self.format == "iceberg":
            found = self.catalog().load_table(f"pulse.{table}").scan().to_arrow()
            return by_duckdb("from rows", rows=found)
        files = DeltaTable(self.location(table)).file_uris()
        rows = pl.scan_delta(str(self.location(table))).collect()
        assert_frame_equal(rows, scanned(files, table), check_row_order=False, check_column_order=False)
        return rows

    def check(self, lake: pf.Lake) -> None:
        """Assert that each table equals the lake's, in rows, columns and types."""
        for table in LAKE_TABLES:
            assert_frame_equal(self.rows(table), rows_of(lake, table), check_row_order=False)


def scanned(files: list[str], table: str) -> pl.DataFrame:
    if not files:
        return as_stored(pl.DataFrame(schema=partitioned(LAKE_TABLES[table])))
    return by_duckdb(f"from read_parquet({files}, hive_partitioning = true)")


def by_duckdb(query: str, **tables: Any) -> pl.DataFrame:
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        rows = pl.DataFrame(connection.sql(query).to_arrow_table())
    # DuckDB calls the zone by the machine's name for it.
    times = [
        name for name, kind in rows.schema.items() if kind in {pl.Datetime("us", "UTC"), pl.Datetime("us", "Etc/UTC")}
    ]
    return rows.with_columns(pl.col(times).dt.convert_time_zone("UTC"))


def rows_of(lake: pf.Lake, table: str) -> pl.DataFrame:
    """Return a lake's rows with the types that the formats have."""
    rows: pl.DataFrame = getattr(lake, table)().collect()
    return as_stored(rows)


def as_stored(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.Enum).cast(pl.String))

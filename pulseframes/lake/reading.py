"""A lake's tables as polars and pyarrow read them: the files that are there now, with the present columns."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from pulseframes.lake.files import days_of, decode, unreadable
from pulseframes.lake.storage import Store
from pulseframes.tables import DATE, LAKE_TABLES, partitioned


def files_of(store: Store, table: str) -> list[str]:
    """Give the paths of a table's files, by day."""
    return [path for paths in days_of(store, table).values() for path in paths]


def scan(store: Store, table: str) -> pl.LazyFrame:
    """Scan a table; columns that an older version did not have are null."""
    schema = partitioned(LAKE_TABLES[table])
    paths = files_of(store, table)
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        [f"{store.location}/{path}" for path in paths],
        glob=False,  # a folder's name may hold brackets or a star
        schema=schema,
        hive_partitioning=True,
        hive_schema={DATE: pl.Date()},
        missing_columns="insert",
        extra_columns="ignore",
        storage_options=store.storage_options,
    )


def arrow_dataset(store: Store, table: str) -> object:
    """Give a table as a dataset or, where there is no file, as an empty table: what DuckDB needs no access to files for."""
    from pyarrow.dataset import dataset, partitioning

    schema: pa.Schema = pl.DataFrame(schema=partitioned(LAKE_TABLES[table])).to_arrow().schema
    paths = files_of(store, table)
    if not paths:
        return schema.empty_table()
    filesystem, root = store.filesystem()
    inside = f"{root}/" if root else ""
    return dataset(
        [inside + path for path in paths],
        schema=schema,
        filesystem=filesystem,
        format="parquet",
        partitioning=partitioning(pa.schema([(DATE, pa.date32())]), flavor="hive"),
        partition_base_dir=inside + table,
    )


def collected(store: Store, query: pl.LazyFrame) -> pl.DataFrame:
    """Collect a query over a lake's scans.

    Raises
    ------
    LakeError
        If a file is damaged; it is named.
    """
    try:
        return query.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as problem:
        check_files(store)
        raise unreadable(store.location, problem) from None


def check_files(store: Store) -> None:
    """Read all files of a lake.

    Raises
    ------
    LakeError
        If one is damaged.
    """
    for table in LAKE_TABLES:
        for path in files_of(store, table):
            data = store.read(path)
            if data is not None:  # polars and DuckDB do not always say which file it was
                decode(table, data, f"{store.location}/{path}")

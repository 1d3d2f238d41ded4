"""Writes merged Spark frames as a new lake: each task writes the files of its days, and one commit puts all of them in place."""

from __future__ import annotations

import os
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame

from pulseframes.lake import Lake, fill, stage_day
from pulseframes.spark.answers import SparkFrames
from pulseframes.spark.schemas import from_batch
from pulseframes.tables import DATE, LAKE_TABLES


def write_lake(frames: SparkFrames, lake: str | os.PathLike[str]) -> dict[str, int]:
    """Write merged frames as a new lake, which every tool of pulseframes reads.

    The executors write to the lake's storage, so each must reach it: a bucket, with its credentials in the environment, or a folder that all
    machines share. A job that is killed leaves no lake, and is run again. The rows of a day must fit into an executor's memory.

    Parameters
    ----------
    frames : SparkFrames
        What ``merge()`` returns.
    lake : str or path
        A folder, or an address such as ``s3://bucket/lake``.

    Returns
    -------
    dict of str to int
        The rows of each table.

    Raises
    ------
    LakeError
        If the lake has rows already, or cannot be written.
    """
    place = Lake(lake)
    rows: dict[str, int] = {}

    def stage(folder: str) -> dict[str, list[date]]:
        days = {}
        for name, frame in frames.tables().items():
            written = _staged(frame, name, place.location, folder)
            days[name] = list(written)
            rows[name] = sum(written.values())
        return days

    frames.sessions.persist()  # page views and errors are joined with them
    try:
        fill(place, stage)
    finally:
        frames.sessions.unpersist()
    return rows


def _staged(frame: DataFrame, table: str, location: str, folder: str) -> dict[date, int]:
    """Write the files of a table, each in the task of its day, and return the rows of each day."""
    columns = [*LAKE_TABLES[table].schema.names(), DATE]

    def write(rows: pa.Table) -> pa.Table:  # Spark accepts no partial function here
        return _write_day(rows, table=table, location=location, folder=folder)

    days = frame.select(columns).groupBy(DATE).applyInArrow(write, f"{DATE} date, rows long")
    return {row[DATE]: row["rows"] for row in days.collect()}


def _write_day(rows: pa.Table, table: str, location: str, folder: str) -> pa.Table:
    frame = from_batch(rows)
    day = frame[DATE][0]
    stage_day(location, folder, table, day, frame.drop(DATE))
    return pa.table({DATE: pa.array([day], pa.date32()), "rows": pa.array([len(frame)], pa.int64())})

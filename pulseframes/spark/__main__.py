"""From raw answers to a lake, for ``spark-submit`` and ``python -m pulseframes.spark RAW LAKE``."""

from __future__ import annotations

import argparse
import sys

from pyspark.sql import SparkSession

from pulseframes.errors import PulseError
from pulseframes.spark import flatten, merge, write_lake


def main(arguments: list[str] | None = None) -> int:
    """Run the job, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m pulseframes.spark", description=__doc__)
    parser.add_argument(
        "raw",
        help="what `pulseframes export-raw` wrote: a folder, or an address that Spark reads, such as s3a://bucket/raw",
    )
    parser.add_argument(
        "lake", help="the new lake: a folder that all executors reach, or an address such as s3://bucket/lake"
    )
    given = parser.parse_args(arguments)
    spark = SparkSession.builder.appName("pulseframes").getOrCreate()
    try:
        rows = write_lake(merge(flatten(spark.read.parquet(given.raw))), given.lake)
    except PulseError as problem:
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201  a command
        return 1
    finally:
        spark.stop()
    print(f"{given.lake}: {', '.join(f'{count:,} {name}' for name, count in rows.items())}.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

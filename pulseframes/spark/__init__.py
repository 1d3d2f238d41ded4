"""Raw answers to tables on a Spark cluster, and a lake as a data source of Spark; with the ``spark`` extra.

Each batch of answers is flattened, checked and merged by the functions that do it on one machine, so the tables are the same. The
cluster needs no credentials of Raygun and no journal: it reads what ``export_raw()`` wrote.
"""

try:
    import pyspark as _pyspark  # noqa: F401  only to say what is missing
except ImportError:
    raise ImportError("pulseframes.spark needs pyspark: pip install 'pulseframes[spark]'") from None

from pulseframes.spark.answers import SparkFrames, flatten
from pulseframes.spark.lakes import write_lake
from pulseframes.spark.merging import merge
from pulseframes.spark.source import register

__all__ = ["SparkFrames", "flatten", "merge", "register", "write_lake"]

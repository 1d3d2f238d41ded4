"""Apache Iceberg, by pyiceberg."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any, Final

import polars as pl

from pulseframes._arguments import check_type
from pulseframes.errors import InvalidQuery, LakeError, PulseError
from pulseframes.publishing.publish import arrow_ready, in_days
from pulseframes.tables import DATE, LAKE_TABLES, partitioned

try:
    from pyiceberg.catalog import Catalog, load_catalog
    from pyiceberg.exceptions import (
        CommitFailedException,
        NoSuchTableError,
        NotInstalledError,
        TableAlreadyExistsError,
        ValidationException,
    )
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import (
        BooleanType,
        DateType,
        DoubleType,
        LongType,
        NestedField,
        PrimitiveType,
        StringType,
        TimestamptzType,
    )
except ImportError:
    raise ImportError("Publishing to Apache Iceberg needs pyiceberg: pip install 'pulseframes[iceberg]'") from None

_TYPES: Final[dict[Any, PrimitiveType]] = {
    pl.Int64: LongType(),
    pl.Float64: DoubleType(),
    pl.Boolean: BooleanType(),
    pl.String: StringType(),
    pl.Date: DateType(),
    pl.Datetime("us", "UTC"): TimestamptzType(),
}
#: The properties whose values are marks.
_LAKE: Final = "pulseframes.lake"
_DAY: Final = "pulseframes.date="
_PROPERTIES: Final = {
    # No minima and maxima of columns in manifests: they would be users' data, in files that outlive the rows.
    "write.metadata.metrics.default": "none",
    "write.metadata.delete-after-commit.enabled": "true",
}
#: The catalog that pyiceberg takes if none is named.
_DEFAULT: Final = "default"


def open_catalog(catalog: str | Mapping[str, str] | None) -> Catalog:
    """Return a catalog by its name in pyiceberg's configuration, or by its properties.

    Raises
    ------
    InvalidQuery
        If it is neither.
    LakeError
        If it cannot be opened.
    """
    check_type("catalog", catalog, (str, Mapping, type(None)), "a name, such as 'default', or a mapping of properties")
    if catalog in ("", {}):
        raise InvalidQuery(
            "catalog must be a name, such as 'default', or a mapping of properties, not empty.", argument="catalog"
        )
    with _explained("The catalog"):
        if isinstance(catalog, Mapping):
            return load_catalog(**{"name": _DEFAULT, **catalog})
        try:
            return load_catalog(catalog)
        except ValueError:
            raise InvalidQuery(
                f"catalog: pyiceberg's configuration has no usable catalog {catalog or _DEFAULT!r}. Declare it in "
                ".pyiceberg.yaml or in the environment, such as PYICEBERG_CATALOG__DEFAULT__URI.",
                argument="catalog",
            ) from None


class IcebergTarget:
    """An Iceberg table; created if there is none.

    Raises
    ------
    LakeError
        If it cannot be read, or was not published from this lake.
    """

    def __init__(self, catalog: Catalog, namespace: str, name: str, lake: str) -> None:
        self._identifier = f"{namespace}.{name}"
        with _explained(self._identifier):
            self._table = _opened(catalog, namespace, name, lake)
        if self._table.properties.get(_LAKE) != lake:
            raise LakeError(
                f"{self._identifier} is an Iceberg table that was not published from this lake, unless the lake was moved. Name "
                "another namespace, or drop the table to publish all of it again."
            )

    def published(self) -> dict[date, str]:
        """Return the mark of each day that the table has."""
        properties = self._table.properties.items()
        return {date.fromisoformat(key.removeprefix(_DAY)): mark for key, mark in properties if key.startswith(_DAY)}

    def replace(self, rows: pl.DataFrame, marks: Mapping[date, str | None]) -> None:
        """Replace some days by rows, and record their marks, in one commit."""
        present = {f"{_DAY}{day}": mark for day, mark in marks.items() if mark is not None}
        absent = [key for day in marks if (key := f"{_DAY}{day}") not in present and key in self._table.properties]
        data = arrow_ready(rows).to_arrow()
        with _explained(self._identifier), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Delete operation did not match any records")
            with self._table.transaction() as transaction:
                if {*data.column_names} - {*self._table.schema().column_names}:  # of an older version
                    with transaction.update_schema() as schema:
                        schema.union_by_name(data.schema)
                transaction.overwrite(data, in_days(marks))
                transaction.set_properties(present)
                transaction.remove_properties(*absent)


def _opened(catalog: Catalog, namespace: str, name: str, lake: str) -> Table:
    identifier = f"{namespace}.{name}"
    try:
        return catalog.load_table(identifier)
    except NoSuchTableError:
        catalog.create_namespace_if_not_exists(namespace)
    schema = _schema_of(name)
    by_date = PartitionField(schema.find_field(DATE).field_id, 1000, IdentityTransform(), DATE)
    try:
        return catalog.create_table(
            identifier, schema, partition_spec=PartitionSpec(by_date), properties=_PROPERTIES | {_LAKE: lake}
        )
    except TableAlreadyExistsError:  # another publish has just created it
        return catalog.load_table(identifier)


def _schema_of(name: str) -> Schema:
    columns = arrow_ready(pl.DataFrame(schema=partitioned(LAKE_TABLES[name]))).schema
    fields = [
        NestedField(number, column, _TYPES[kind], required=False)
        for number, (column, kind) in enumerate(columns.items(), 1)
    ]
    return Schema(*fields)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except PulseError:
        raise
    except (CommitFailedException, ValidationException):
        raise LakeError(
            f"{what}: another process changed the table at the same time. Publish again: it resumes."
        ) from None
    except NotInstalledError as problem:
        raise ImportError(f"pyiceberg lacks a library for this catalog: {problem}") from None
    except Exception as problem:  # what a catalog and its storage raise has no common class
        raise LakeError(
            f"{what} cannot be read or written ({type(problem).__name__}). Check the catalog's properties, and publish again: it resumes."
        ) from problem

"""Details to analyse: a sample in memory, or all that a lake has, which are read in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import polars as pl

from pulseframes.analysis.sample import Sample, no_sample, window_to_read
from pulseframes.analysis.stored import Columns, Result, StoredDetails
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.prediction import PREDICTORS
from pulseframes.tables.frames import SessionFrames

#: A sample in memory, or the details that a lake has.
Details: TypeAlias = Sample | StoredDetails


def sample_or_details(
    lake: Lake, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None
) -> Details:
    """Return a lake's sample, with what load times are predicted from, or, if no design has drawn one, its details as they are."""
    if design is None and not any(state.rate_windows or state.pending for state in lake.state().designs):
        return StoredDetails.of_window(lake, window_to_read(lake, None, date_from, date_to))
    return sample_or_census(lake, date_from, date_to, design, PREDICTORS)


def sample_or_census(
    lake: Lake,
    date_from: DateLike | None,
    date_to: DateLike | None,
    design: Design | str | None,
    columns: Iterable[str],
) -> Details:
    """Return a lake's sample as ``Sample.of_lake()`` does or, if no design has drawn one, the details of all sessions."""
    if lake.state().find_design(design) is not None:
        return Sample.of_lake(lake, date_from, date_to, design=design, columns=columns)
    details = StoredDetails.of_window(lake, window_to_read(lake, None, date_from, date_to))
    if not details.is_drawn:
        raise no_sample(lake)
    return details


def summaries_of(
    lake: Lake, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None
) -> StoredDetails:
    """Return the summaries of all sessions of a lake, as ``Sample.of_everybody()`` does."""
    window = window_to_read(lake, lake.state().find_design(design), date_from, date_to)
    return StoredDetails.of_window(lake, window, is_summary=True)


def map_parts(sample: Details, function: Callable[[SessionFrames], Result], wanted: Columns) -> Iterator[Result]:
    """Apply a function to a sample's details, which are one part in memory; or to each part of a lake's, with the wanted columns."""
    if isinstance(sample, StoredDetails):
        yield from sample.map_parts(function, wanted)
    else:
        yield function(sample.details)


def is_census(sample: Details) -> bool:
    """Return whether figures need no weights, as there are the details of all sessions that they describe."""
    return isinstance(sample, StoredDetails) or sample.is_census


def in_memory(sample: Details) -> Sample:
    """Return a sample, read as a whole if a lake has it."""
    if isinstance(sample, StoredDetails):
        return Sample.of_bought(sample.lake, *sample.window, columns=())
    return sample


def without_others(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy a few rows of a part, whose strings would keep those of all others in memory."""
    return pl.DataFrame(rows.rows(), schema=rows.schema, orient="row")


class Sizes(NamedTuple):
    """The number of sessions that details represent, of those selected, and of those of them that have details."""

    population: int
    selected: int
    answered: int


def sizes_of(sample: Details) -> Sizes:
    """Count the sessions of a sample."""
    if isinstance(sample, StoredDetails):
        return Sizes(len(sample), len(sample), len(sample))
    return Sizes(len(sample.population), len(sample.members), len(sample.details.sessions))

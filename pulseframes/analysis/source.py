"""What an analysis is of: a lake's sample, a sample of frames, or the details that happen to be there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from pulseframes.analysis.page_template import Rules, page_template
from pulseframes.analysis.sample import Sample
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.tables.frames import SessionFrames

Source: TypeAlias = Lake | Sample | SessionFrames | str | os.PathLike[str]


def sample_of(
    source: Source,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    *,
    columns: Iterable[str] = (),
) -> Sample:
    """Give the sample that a source has; where no design drew one, its details as they are.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are.
    date_from, date_to, design
        Of a lake: as for ``Sample.of_lake()``.
    columns : iterable of str
        Columns of the summary that are needed of sessions without details, too.

    Raises
    ------
    InvalidQuery
        If frames or a sample are given with a window or a design.
    LakeError
        If there is no lake.
    """
    if isinstance(source, Lake | str | os.PathLike):
        lake = as_lake(source)
        if design is not None or lake.state().designs:
            return Sample.of_lake(lake, date_from, date_to, design=design, columns=columns)
        return Sample.of_bought(lake, date_from, date_to, columns=columns)
    if (date_from, date_to, design) != (None, None, None):
        raise InvalidQuery(
            f"source: a {type(source).__name__} has its own window and design; give a lake to choose.",
            argument="source",
        )
    if isinstance(source, Sample):
        return source
    if isinstance(source, SessionFrames):
        return Sample.of_details(source)
    raise InvalidQuery(
        f"source: {type(source).__name__} is none of Lake, Sample, SessionFrames, or a lake's path.", argument="source"
    )


def with_templates(sample: Sample, rules: Rules | None) -> Sample:
    """Give a sample whose page views have their ``page_template``."""
    views = sample.details.page_views.with_columns(page_template("page", rules).alias("page_template"))
    return replace(sample, details=replace(sample.details, page_views=views))

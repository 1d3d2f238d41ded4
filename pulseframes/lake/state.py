"""What a lake knows of itself: its version, its privacy rules, whose sessions it has and of which times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake.storage import OWN_FOLDER
from pulseframes.sampling.design import Design
from pulseframes.sampling.rates import DesignState, names_of, same_design
from pulseframes.tables import LAKE_VERSION
from pulseframes.windows import Coverage, Window, instant

STATE_FILE: Final = f"{OWN_FOLDER}/lake.json"


class Refreshing(NamedTuple):
    """A window that is read again, but for the answers that came since that was begun."""

    start: datetime
    end: datetime
    since: datetime


@dataclass
class LakeState:
    """The state.

    Attributes
    ----------
    version : int
        Of the tables' columns.
    application : str or None
        The journal's name for the application that is synced here; None before the first sync.
    privacy : mapping
        The rules by which personal data is altered, without their key.
    coverage : Coverage
        Which windows have been read, and when.
    reading : list of Window
        Settled windows that were begun and not read to the end: gone on with as they are, since their pages are kept.
    incomplete : list of Window
        What was read and, by the server's count, lacks sessions; until it is read again and lacks none.
    active_asked_at : datetime or None
        When sessions that went on were last asked for again.
    refreshing : Refreshing or None
        A refresh that was begun and not finished.
    kept_from : datetime or None
        What started before was dropped by ``retain``, and is not asked for again.
    designs : list of DesignState
        How details were drawn, the design that was used last at the end.
    """

    version: int = LAKE_VERSION
    application: str | None = None
    privacy: Mapping[str, Any] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    reading: list[Window] = field(default_factory=list)
    incomplete: list[Window] = field(default_factory=list)
    active_asked_at: datetime | None = None
    refreshing: Refreshing | None = None
    kept_from: datetime | None = None
    designs: list[DesignState] = field(default_factory=list)

    def find_design(self, design: Design | str | None = None) -> DesignState | None:
        """Return the state of a design that has drawn sessions.

        Parameters
        ----------
        design : Design or str or None
            The design, or its name, of which the last is meant; None for the lake's last design.

        Returns
        -------
        DesignState or None
            None if no design is named, and none has drawn anything.

        Raises
        ------
        InvalidQuery
            If the lake has no sample of the design.
        """
        designs = [state for state in self.designs if state.rate_windows]
        if isinstance(design, Design):
            state = same_design(designs, design)
        else:
            named = [state for state in designs if design in (None, state.design.name)]
            state = named[-1] if named else None
        if state is None and design is not None:
            name = design if isinstance(design, str) else f"{design.name} (seed {design.seed})"
            raise InvalidQuery(
                f"design: the lake has no sample {name}; it has {names_of(designs) or 'none'}.", argument="design"
            )
        return state

    def as_json(self) -> bytes:
        """Give the state as a file's content."""
        told = {
            "about": "A pulseframes lake: its tables are the folders beside this one, and any reader of Parquet reads them.",
            "version": self.version,
            "application": self.application,
            "privacy": dict(self.privacy),
            "covered": self.coverage.as_lists(),
            "reading": [[moment.isoformat() for moment in window] for window in self.reading],
            "incomplete": [[moment.isoformat() for moment in window] for window in self.incomplete],
            "active_asked_at": self.active_asked_at and self.active_asked_at.isoformat(),
            "refreshing": self.refreshing and [moment.isoformat() for moment in self.refreshing],
            "kept_from": None if self.kept_from is None else self.kept_from.isoformat(),
            "designs": [drawn.as_dict() for drawn in self.designs],
        }
        return json.dumps(told, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, location: str) -> LakeState:
        """Read the state.

        Raises
        ------
        LakeError
            If it is damaged, or of a newer version.
        """
        try:
            told = json.loads(data)
            version = int(told["version"])
            if version <= LAKE_VERSION:
                return cls(
                    version=version,
                    application=told["application"],
                    privacy=dict(told["privacy"]),
                    coverage=Coverage.from_lists(told["covered"]),
                    reading=[Window(instant(start), instant(end)) for start, end in told["reading"]],
                    incomplete=[Window(instant(start), instant(end)) for start, end in told["incomplete"]],
                    active_asked_at=told["active_asked_at"] and instant(told["active_asked_at"]),
                    refreshing=told["refreshing"] and Refreshing(*map(instant, told["refreshing"])),
                    kept_from=None if told["kept_from"] is None else instant(told["kept_from"]),
                    designs=[DesignState.from_dict(drawn) for drawn in told.get("designs", [])],
                )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise LakeError(
                f"The lake {location} has a damaged {STATE_FILE}, which holds its privacy rules and what it covers. Restore that "
                "file, or begin another lake with the same rules: what the journal has costs nothing. The Parquet files can be read "
                "as they are."
            ) from None
        raise LakeError(
            f"The lake {location} was written by a newer version of pulseframes (its version is {version}, this one "
            f"knows {LAKE_VERSION}); update pulseframes. Its Parquet files can be read as they are."
        )

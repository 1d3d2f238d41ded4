"""What a lake records of itself (version, privacy rules, application, coverage), and how it is locked and changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from pulseframes._arguments import check_type
from pulseframes._process import check_process
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake.commit import Commit, recover
from pulseframes.lake.lease import LOCK_SECONDS, OWN_FOLDER
from pulseframes.lake.partitions import Partitions, files_of
from pulseframes.lake.storage import Store
from pulseframes.sampling.design import Design
from pulseframes.sampling.rates import DesignState, names_of, same_design
from pulseframes.tables import LAKE_TABLES, LAKE_VERSION
from pulseframes.tables.privacy import PrivacyPolicy
from pulseframes.windows import Coverage, Instant, Window

STATE_FILE: Final = f"{OWN_FOLDER}/lake.json"

#: The first version whose state is stored as ``LakeState`` is declared.
_DECLARED: Final = 3
#: The first version whose designs draw bots apart.
_BOTS_APART: Final = 4
_RESTORE: Final = (
    f"{STATE_FILE}, which holds its privacy rules and the windows it covers. Restore that file, or create another lake with the "
    "same rules: responses in the journal cost no calls. Its Parquet files can still be read directly."
)


class Refresh(NamedTuple):
    """A window that is read again, except for the responses that arrived since that began."""

    window: Window
    since: Instant


@dataclass
class LakeState:
    """The state.

    Attributes
    ----------
    about : str
        For a reader of the file.
    version : int
        The version of the tables' columns and of this state.
    application : str or None
        The journal's name for the application that is synced; None before the first sync.
    privacy : mapping
        The privacy rules, without their key.
    coverage : Coverage
        The windows that were read, and when.
    reading : list of Window
        Settled windows whose reading began and did not finish. They resume unchanged, since their pages are cached.
    incomplete : list of Window
        Windows that lack sessions, by the server's count or since ``forget()`` deleted some, until they are read again and lack
        none.
    active_asked_at : datetime or None
        When active sessions were last fetched again.
    refreshing : Refresh or None
        A refresh that began and did not finish.
    kept_from : datetime or None
        Sessions that started before were deleted by ``retain()``, and are not fetched again.
    designs : list of DesignState
        The designs that sampled details, the last one used at the end.
    """

    about: str = "A pulseframes lake. Its tables are the folders beside this one; any Parquet reader can open them."
    version: int = LAKE_VERSION
    application: str | None = None
    privacy: Mapping[str, Any] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    reading: list[Window] = field(default_factory=list)
    incomplete: list[Window] = field(default_factory=list)
    active_asked_at: Instant | None = None
    refreshing: Refresh | None = None
    kept_from: Instant | None = None
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
        if design is not None:
            check_type("design", design, (Design, str), "a Design or its name, such as 'pageviews'")
        designs = [state for state in self.designs if state.rate_windows]
        if isinstance(design, Design):
            state = same_design(designs, design)
        else:
            named = [state for state in designs if design in (None, state.design.name)]
            state = named[-1] if named else None
        if state is None and design is not None:
            name = design if isinstance(design, str) else DesignState(design).label
            raise InvalidQuery(
                f"design: the lake has no sample {name}; it has {names_of(designs) or 'none'}.", argument="design"
            )
        return state

    def encode(self) -> bytes:
        """Return the state as the content of its file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def decode(cls, data: bytes, location: str) -> LakeState:
        """Read the state.

        Raises
        ------
        LakeError
            If it is damaged, or of a newer version.
        """
        try:
            stored = msgspec.json.decode(data, type=dict[str, Any])
            version = msgspec.convert(stored["version"], int)
            if version <= LAKE_VERSION:
                stored = stored if version >= _DECLARED else _declared(stored)
                return msgspec.convert(stored if version >= _BOTS_APART else _with_bots(stored), cls, str_keys=True)
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError):
            raise LakeError(f"The lake {location} has a damaged {_RESTORE}") from None
        raise LakeError(
            f"A newer version of pulseframes wrote the lake {location} (version {version}; this one reads up to {LAKE_VERSION}). "
            "Update pulseframes. The lake's Parquet files can still be read directly."
        )


def _declared(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a version before 3, which had windows and designs in flat lists, in its present form."""
    refresh = stored["refreshing"]
    return stored | {
        "coverage": {"reads": [((start, end), read_at) for start, end, read_at in stored["covered"]]},
        "refreshing": refresh and ((refresh[0], refresh[1]), refresh[2]),
        "designs": [
            {
                "design": {name: design[name] for name in ("kind", "seed", "strata", "allocation")},
                "rate_windows": [((start, end), rates) for start, end, rates in design["cohorts"]],
                "pending": dict(design["buying"]),
            }
            for design in stored.get("designs", [])
        ],
    }


def _with_bots(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a version before 4, whose designs draw bots like other sessions."""
    designs = [state | {"design": state["design"] | {"bot_share": None}} for state in stored.get("designs", [])]
    return stored | {"designs": designs}


class LakeFiles:
    """A lake's files: its state, its lock, and changes that are made as a whole or not at all.

    Parameters
    ----------
    store : Store
        The lake's storage.
    privacy : PrivacyPolicy or None
        The privacy rules, if the user gives any.
    """

    def __init__(self, store: Store, privacy: PrivacyPolicy | None) -> None:
        self.store = store
        self._privacy = privacy
        self._turn = threading.RLock()
        self._held: LakeState | None = None  # while this lake holds its lock

    @property
    def location(self) -> str:
        """The folder or address."""
        return self.store.location

    def is_there(self) -> bool:
        """Return whether there is a lake.

        Raises
        ------
        LakeError
            If there is something else: a lake's files must not mix with others, and tables that have lost their state must
            not be continued under other privacy rules.
        """
        if self._stored() is not None:
            return True
        if set(self.store.names()) - {OWN_FOLDER}:
            raise LakeError(
                f"{self.location} is not a lake, and not empty. Name a new folder, so that a lake's files do not mix with others."
            )
        return False

    def state(self) -> LakeState:
        """Return what the lake records of itself.

        Raises
        ------
        LakeError
            If there is no lake, its state is lost or damaged, or a newer version wrote it.
        """
        state = self._held or self._stored()
        if state is None:
            raise LakeError(
                f"No lake at {self.location}.",
                python="Create one with sync() or Lake.write().",
                cli=f"Create one with `pulseframes sync {self.location} --from …`.",
            )
        return state

    def _stored(self) -> LakeState | None:
        """Return the state that is stored; None if there is no lake. Tables without a state are a lake that lost it."""
        check_process()
        data = self.store.read(STATE_FILE)
        if data is not None:
            return LakeState.decode(data, self.location)
        if any(files_of(self.store, table) for table in LAKE_TABLES):
            raise LakeError(f"The lake {self.location} has lost its {_RESTORE}")
        return None

    def save_state(self) -> None:
        """Write the state; only while the lake is locked."""
        self.store.write(STATE_FILE, self.state().encode())

    def policy(self) -> PrivacyPolicy:
        """Return the rules by which personal data is altered.

        Raises
        ------
        LakeError
            If they need a key that is not set, or differ from those the lake was created with.
        """
        stored = self.state().privacy
        if self._privacy is None:
            return PrivacyPolicy.from_description(stored)
        policy = self._privacy.of_lake(stored)
        if policy is None:
            raise LakeError(
                f"The lake {self.location} was created with other privacy rules ({stored.get('rules')}), or with another key. "
                "Omit the rules to use the lake's own, or create another lake: responses in the journal cost no calls."
            )
        return policy

    @contextmanager
    def locked(self) -> Iterator[LakeState]:
        """Keep other writers out, and return the state; what a killed writer began is finished first.

        Raises
        ------
        LakeError
            If another writer takes too long, or the folder holds something else.
        """
        if not self._turn.acquire(timeout=LOCK_SECONDS):
            raise LakeError(f"Another thread is writing to the lake {self.location}. Try again later.")
        try:
            if self._held is not None:
                yield self._held
                return
            self.is_there()
            with self.store.locked():
                recover(self.store)
                self._held = self._opened()
                try:
                    yield self._held
                finally:
                    self._held = None
        finally:
            self._turn.release()

    @contextmanager
    def rewrite(self, *, save_state: bool = False) -> Iterator[Partitions]:
        """Change partitions, and the state if wanted, in one commit: a killed writer leaves all of the change, or none."""
        with self.locked() as state:
            commit = Commit(self.store)
            yield Partitions(self.store, commit)
            if save_state:
                commit.put(STATE_FILE, state.encode())
            commit.done()

    def _opened(self) -> LakeState:
        """Return the state for the holder of the lock: created if there is none, or upgraded."""
        state = self._stored()
        if state is None:
            state = LakeState(privacy=(self._privacy or PrivacyPolicy()).describe())
            self.store.write(STATE_FILE, state.encode())
            return state
        if state.version < LAKE_VERSION:
            commit = Commit(self.store)
            Partitions(self.store, commit).upgrade()
            state.version = LAKE_VERSION
            commit.put(STATE_FILE, state.encode())
            commit.done()
        return state

"""The beginning of a turn to write: the place is looked at, and the state made, read or upgraded."""

from __future__ import annotations

from pulseframes.errors import LakeError
from pulseframes.lake.commit import Commit
from pulseframes.lake.files import decode, encode, has_present_columns
from pulseframes.lake.reading import files_of
from pulseframes.lake.state import STATE_FILE, LakeState
from pulseframes.lake.storage import OWN_FOLDER, Store
from pulseframes.tables import LAKE_TABLES, LAKE_VERSION
from pulseframes.tables.privacy import PrivacyPolicy


def check_place(store: Store) -> None:
    """Check that there is a lake, or nothing.

    Raises
    ------
    LakeError
        If there is something else: a lake's files are not to mix with others, and tables that have lost their state are not
        to be gone on with, by other privacy rules.
    """
    if store.read(STATE_FILE) is not None:
        return
    names = set(store.names()) - {OWN_FOLDER}
    if names and names <= set(LAKE_TABLES):
        raise LakeError(
            f"The lake {store.location} has lost its {STATE_FILE}, which holds its privacy rules and what it covers. Restore that "
            "file, or begin another lake with the same rules: what the journal has costs nothing."
        )
    if names:
        raise LakeError(
            f"{store.location} is no lake, and not empty; name a folder that is new, so that a lake's files do not mix with others."
        )


def opened(store: Store, privacy: PrivacyPolicy) -> LakeState:
    """Give the state for the holder of the lock: made, with these privacy rules, where there is none, or upgraded.

    Raises
    ------
    LakeError
        If it is damaged, or of a newer version.
    """
    data = store.read(STATE_FILE)
    if data is None:
        state = LakeState(privacy=privacy.describe())
        store.write(STATE_FILE, state.as_json())
        return state
    state = LakeState.from_json(data, store.location)
    if state.version < LAKE_VERSION:
        _upgrade(store, state)
    return state


def _upgrade(store: Store, state: LakeState) -> None:
    """Rewrite the files that lack present columns, in one commit."""
    commit = Commit(store)
    for table in LAKE_TABLES:
        for path in files_of(store, table):
            data = store.read(path)
            if data is not None and not has_present_columns(table, data, path):
                commit.put(path, encode(table, decode(table, data, path)))
    state.version = LAKE_VERSION
    commit.put(STATE_FILE, state.as_json())
    commit.done()

"""What is wrong with a lake's files, for ``pulseframes doctor``. Nothing is changed, and no row is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from pulseframes._text import listed, plural
from pulseframes.errors import LakeError
from pulseframes.lake.commit import COMMIT_FILE, leftovers
from pulseframes.lake.lease import LOCK_FILE, OWN_FOLDER
from pulseframes.lake.partitions import check_footers, own_files
from pulseframes.lake.state import STATE_FILE, LakeFiles
from pulseframes.tables import LAKE_TABLES


def inspect_lake(lake: LakeFiles) -> list[LakeError]:
    """Return what is wrong, each with what to do: a lost state, folders that cannot be read, damage, links, copies, leftovers."""
    return [*_raised(lake.state), *_in_tables(lake), *_raised(lambda: _check_own_folder(lake))]


def _in_tables(lake: LakeFiles) -> Iterator[LakeError]:
    store = lake.store
    copies = []
    for table in LAKE_TABLES:
        try:
            names = store.list(table)
        except LakeError as problem:
            yield problem
            continue
        own = own_files(names)
        copies += [name for name in names if name not in own and "/." not in name]
        checks = [*(partial(store.check_own, name) for name in own), partial(check_footers, store, table)]
        yield from chain.from_iterable(map(_raised, checks))
    yield from _uncounted(lake, copies)


def _check_own_folder(lake: LakeFiles) -> None:
    names = [name for name in lake.store.list(OWN_FOLDER) if name not in {STATE_FILE, LOCK_FILE}]
    left = [name for name in names if name == COMMIT_FILE or name in leftovers(names)]
    if left:
        raise LakeError(
            f"{lake.location} has {plural(len(left), 'file')} that a killed writer left, unless one is writing now. The next write, such as a "
            "sync, finishes its changes or removes them."
        )
    for problem in _uncounted(lake, [name for name in names if "/." not in name]):
        raise problem


def _uncounted(lake: LakeFiles, names: list[str]) -> Iterator[LakeError]:
    if names:
        yield LakeError(
            f"{lake.location} has {plural(len(names), 'file')} that the lake does not read, such as copies: {listed(names, 3)}. Move them out "
            "of the lake."
        )


def _raised(check: Callable[[], object]) -> list[LakeError]:
    try:
        check()
    except LakeError as problem:
        return [problem]
    return []

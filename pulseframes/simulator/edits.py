"""Changes to a decoded JSON document, written down as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

#: A decoded document: it may be anything.
Json = Any


def edit_document(edits: object) -> Callable[[Json], None]:
    """Make a function that changes a document in place.

    Parameters
    ----------
    edits
        A list of ``{"set": path, "value": value}`` and ``{"remove": path}``. What a path does not lead to is left
        alone, but the last key of a ``set`` may be new.

    Raises
    ------
    ValueError
        If an edit is of neither kind.
    """
    if not isinstance(edits, list):
        raise ValueError(f"edits must be a list, not {edits!r}")
    changes = [_change(edit) for edit in edits]

    def apply(document: Json) -> None:
        for change in changes:
            change(document)

    return apply


def _change(edit: object) -> Callable[[Json], None]:
    if isinstance(edit, dict) and set(edit) == {"set", "value"} and isinstance(edit["set"], str):
        path, value = edit["set"].split("."), edit["value"]

        def put(document: Json) -> None:
            for container, key in _targets(document, path):
                container[key] = value

        return put
    if isinstance(edit, dict) and set(edit) == {"remove"} and isinstance(edit["remove"], str):
        removed = edit["remove"].split(".")

        def remove(document: Json) -> None:
            # From the end, as taking an item out of a list moves those after it.
            for container, key in reversed(list(_targets(document, removed))):
                if isinstance(container, list) or key in container:
                    del container[key]

        return remove
    raise ValueError(f'an edit is {{"set": path, "value": value}} or {{"remove": path}}, not {edit!r}')


def _targets(document: Json, path: list[str]) -> Iterator[tuple[Any, Any]]:
    """Find the places that a path leads to, each as what holds it and the key in that."""
    for key in _keys(document, path[0]):
        if len(path) == 1:
            yield document, key
        elif isinstance(document, list) or key in document:
            yield from _targets(document[key], path[1:])


def _keys(document: Json, step: str) -> list[Any]:
    if isinstance(document, dict):
        return [step]
    if not isinstance(document, list):
        return []
    if step == "*":
        return list(range(len(document)))
    return [int(step)] if step.isdecimal() and int(step) < len(document) else []

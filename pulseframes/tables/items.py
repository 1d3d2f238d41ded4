"""The tables whose rows are the items of a list in a session: page views and errors."""

from __future__ import annotations

from typing import Final

from pulseframes.endpoints import DETAIL
from pulseframes.tables.columns import NO_PATH, Column, Privacy, Table, instant, integer, text


def _item_table(name: str, description: str, list_key: str, index: str, *columns: Column) -> Table:
    session_id = integer("session_id", NO_PATH, "ID of the session.", required=True, privacy=Privacy.IDENTIFIER)
    position = integer(index, NO_PATH, "Position in the API's list, from 0.", required=True, minimum=0)
    return Table(
        name=name,
        description=description,
        key=(session_id.name, index),
        columns=(session_id, position, *columns),
        endpoints=(DETAIL,),
        list_key=list_key,
        index=index,
    )


PAGE_VIEWS: Final = _item_table(
    "page_views",
    "One row per page viewed in a session.",
    "pageViews",
    "view_index",
    text("page", "page", "Address of the page.", privacy=Privacy.CONTENT),
    integer("loading_time_ms", "loadingTime", "Time the page took to load.", unit="ms", minimum=0),
    integer("viewing_time_ms", "viewingTime", "Time the user viewed the page.", unit="ms", minimum=0),
    instant("viewed_on", "viewedOn", "When the page was viewed."),
)

ERRORS: Final = _item_table(
    "errors",
    "One row per error that occurred in a session.",
    "errors",
    "error_index",
    integer("group_id", "groupId", "ID of the group of similar errors."),
    integer("instance_id", "instanceId", "ID of this occurrence."),
    text("title", "title", "Title of the group.", privacy=Privacy.CONTENT),
    text("web_url", "links.web", "The error's page in Raygun.", privacy=Privacy.IDENTIFIER),
)

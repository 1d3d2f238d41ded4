"""Writes the column tables of the README anew, from the declarations; ``make format`` runs it."""

from __future__ import annotations

import re
from pathlib import Path

from pulseframes.tables import TABLES
from pulseframes.tables.dictionary import as_markdown

README = Path(__file__).parent.parent / "README.md"

_PLACE = re.compile(r"<!-- schema: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def with_tables(readme: str) -> str:
    """Give a README's text with its column tables as they should be."""
    return _PLACE.sub(
        lambda place: f"<!-- schema: {place[1]} -->\n{as_markdown(TABLES[place[1]])}\n<!-- end -->", readme
    )


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")

"""What ``report()`` returns, with a form for notebooks: a file as a link, a page as a page."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    ConcretePath = Path
else:
    ConcretePath = type(Path())  # before Python 3.12, Path itself cannot be subclassed


class ReportFile(ConcretePath):
    """A path, which a notebook shows as a link."""

    def _repr_html_(self) -> str:
        try:  # notebook servers open files by their path from the notebook, and no others
            address = quote(Path(os.path.relpath(self)).as_posix())
        except ValueError:  # another drive
            address = self.absolute().as_uri()
        return f'<a href="{escape(address)}" target="_blank">{escape(str(self))}</a>'


class ReportPage(str):
    """A page, which a notebook shows in a frame without scripts, and not as HTML source."""

    __slots__ = ()

    def _repr_mimebundle_(self, **_wanted: object) -> dict[str, str]:
        frame = f'<iframe srcdoc="{escape(self)}" sandbox width="100%" height="600" title="Report"></iframe>'
        return {"text/plain": f"A report: {len(self):,} characters of HTML", "text/html": frame}

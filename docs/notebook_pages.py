"""Executes the notebooks and makes pages of them.

The committed notebooks have their outputs, so that they can be read without running them. Run this file (``make notebooks``) to execute
all of them and to store what they show. A test executes them too, and fails if they show something else.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

FOLDER: Final = Path(__file__).parent.parent / "notebooks"
NAMES: Final = ("quickstart", "slow_pages", "sampling", "sessions_to_model", "lake_tools")
_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_PORT: Final = re.compile(r"127\.0\.0\.1:\d+")
#: What is stored of an output, the best for a reader first.
_TYPES: Final = ("image/svg+xml", "text/html", "text/plain")


def read(name: str) -> dict[str, Any]:
    """Return a committed notebook."""
    notebook: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return notebook


def executed(name: str) -> dict[str, Any]:
    """Return a notebook with the outputs of a new kernel, without anything that differs from run to run."""
    from nbclient import NotebookClient  # these imports are for the tests; the site needs none of them
    from nbformat import read as read_notebook
    from traitlets.config import Config

    notebook = read_notebook(FOLDER / f"{name}.ipynb", as_version=4)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"TMPDIR": folder}):
        files = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        NotebookClient(notebook, config=files, timeout=120, record_timing=False).execute()
        return normalised(notebook, folder)


def normalised(notebook: dict[str, Any], folder: str = "") -> dict[str, Any]:
    """Return a notebook as it is committed: with outputs, but without the names of temporary folders and the numbers of ports."""
    temporary = re.compile(rf"{re.escape(folder)}/\w+/") if folder else re.compile("(?!)")

    def tidied(text: str | list[str]) -> list[str]:
        return _PORT.sub("127.0.0.1", temporary.sub("", "".join(text))).splitlines(keepends=True)

    cells = []
    for number, cell in enumerate(notebook["cells"]):
        metadata = {key: value for key, value in cell["metadata"].items() if key == "alt"}
        kept = {"cell_type": cell["cell_type"], "id": str(number), "metadata": metadata}
        if cell["cell_type"] == "code":
            # A progress bar that was shown and removed leaves an empty output.
            outputs = [
                _output(output, tidied)
                for output in cell["outputs"]
                if "data" not in output or any(output["data"].values())
            ]
            kept |= {"execution_count": cell["execution_count"], "outputs": outputs}
        cells.append(kept | {"source": "".join(cell["source"]).splitlines(keepends=True)})
    return {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}


def _output(output: dict[str, Any], tidied: Any) -> dict[str, Any]:
    if output["output_type"] == "stream":
        return {"name": output["name"], "output_type": "stream", "text": tidied(output["text"])}
    data = {kind: tidied(output["data"][kind]) for kind in sorted(_TYPES) if kind in output["data"]}
    kept = {"data": data, "metadata": {}, "output_type": output["output_type"]}
    return kept | ({"execution_count": output["execution_count"]} if "execution_count" in output else {})


def page(name: str) -> str:
    """Return a notebook as Markdown, with its tables and charts as HTML."""
    return "\n\n".join(part for cell in read(name)["cells"] for part in _parts(cell))


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", source)
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield f"```text\n{''.join(output['text'])}```"
            continue
        kind = next(kind for kind in _TYPES if kind in output["data"])
        shown = "".join(output["data"][kind])
        if kind == "text/plain":
            yield f"```text\n{shown}\n```"
        else:
            shown = (
                shown.replace("<svg ", f'<svg role="img" aria-label="{cell["metadata"]["alt"]}" ', 1)
                if kind == _TYPES[0]
                else shown
            )
            yield f'````{{raw}} html\n<div class="output">{shown}</div>\n````'


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NAMES:
        text = json.dumps(executed(chosen), indent=1, ensure_ascii=False)
        (FOLDER / f"{chosen}.ipynb").write_text(text + "\n", encoding="utf-8")
        print(chosen)  # noqa: T201  what it is for

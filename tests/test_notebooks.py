"""The notebooks run, and show what they showed when they were committed."""

from __future__ import annotations

import json
import re
from typing import Any

import notebook_pages
import pytest

#: The simulator's visitors: domains that are reserved for documentation.
_MAIL = re.compile(r"[\w.+-]+@[\w.-]+…?")


def shown(notebook: dict[str, Any]) -> list[Any]:
    """Return what each cell shows; of charts only that there is one, as fonts differ."""
    outputs = [
        [output.get("data", output.get("text")) for output in cell.get("outputs", [])] for cell in notebook["cells"]
    ]
    return [[{"image/svg+xml": ""} if "image/svg+xml" in data else data for data in cell] for cell in outputs]


@pytest.mark.parametrize("name", ["sampling", *(name for name in notebook_pages.NAMES if name != "sampling")])
def test_a_notebook_runs_and_shows_what_is_committed(name: str) -> None:
    committed = notebook_pages.read(name)
    assert shown(notebook_pages.executed(name)) == shown(committed), "run `make notebooks`"


def test_each_notebook_has_a_page() -> None:
    assert {path.stem for path in notebook_pages.FOLDER.glob("*.ipynb")} == set(notebook_pages.NAMES)


@pytest.mark.parametrize("name", notebook_pages.NAMES)
def test_a_committed_notebook_is_small_and_holds_nothing_of_the_machine_it_ran_on(name: str) -> None:
    notebook = notebook_pages.read(name)
    assert notebook_pages.normalised(notebook) == notebook
    text = json.dumps(notebook, ensure_ascii=False)
    assert len(text) < 300_000
    assert not re.search(r"(?:/tmp|/home|/root|/Users|/var)/|127\.0\.0\.1:\d", text)
    assert all(address.endswith((".example", "example.com", "…")) for address in _MAIL.findall(text))


@pytest.mark.parametrize("name", notebook_pages.NAMES)
def test_a_notebook_shows_no_warning_and_each_chart_has_an_alternative_text(name: str) -> None:
    cells = [cell for cell in notebook_pages.read(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.get("name") != "stderr" for output in cell["outputs"])
        is_chart = any("image/svg+xml" in output.get("data", {}) for output in cell["outputs"])
        assert bool(cell["metadata"].get("alt")) == is_chart


@pytest.mark.parametrize("name", notebook_pages.NAMES)
def test_the_page_of_a_notebook_has_its_code_its_outputs_and_links_to_other_pages(name: str) -> None:
    page = notebook_pages.page(name)
    assert page.startswith("# ")
    assert ".ipynb" not in page
    cells = notebook_pages.read(name)["cells"]
    assert page.count("\n```python\n") == sum(cell["cell_type"] == "code" for cell in cells)
    assert page.count('<div class="output">') + page.count("\n```text\n") == sum(
        len(cell.get("outputs", [])) for cell in cells
    )

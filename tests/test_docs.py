"""What the README, the docstrings and the Makefile say is true."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from conftest import COMMANDS, NOW, check_command_line
from update_readme import README, with_tables

import pulseframes as pf
from pulseframes import errors
from pulseframes.cli.entry import EXIT_CODES
from pulseframes.simulator import Simulator

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_column_tables_of_the_readme_are_those_of_the_declarations() -> None:
    assert with_tables(TEXT) == TEXT, "run `make format`"
    assert TEXT.count("<!-- schema: ") == 3


def test_each_python_block_of_the_readme_runs_after_the_ones_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dots = {"api_key": "...", "client_id": "...", "client_secret": "..."}  # as the README writes them
    with Simulator(now=NOW, daily_limit=None, **dots) as simulator:
        monkeypatch.setenv("PULSEFRAMES_BASE_URL", simulator.url)
        for name, value in dots.items():
            monkeypatch.setenv(f"PULSEFRAMES_{name.upper()}", value)
        names: dict[str, object] = {}
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    assert len(blocks("python")) == 8
    out = capsys.readouterr().out
    for printed in ("to come, from", "sessions for", "lake: sessions ", "The server failed at sessions (500)"):
        assert printed in out
    assert (tmp_path / "week" / "page_views.parquet").exists()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_python_block_of_a_page_runs_and_each_command_exists(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {}
    code, commands = blocks("python", text), blocks("sh", text)
    assert code
    assert commands
    for block in code:
        exec(compile(block, page.name, "exec"), names)
    for line in "".join(commands).splitlines():
        if line.startswith("pulseframes "):
            check_command_line(line)
    for link in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link


def test_each_command_of_the_readme_exists_and_each_command_is_in_the_readme() -> None:
    commands = set(COMMANDS)
    named = {name for name in re.findall(r"pulseframes (\w+)", "".join(blocks("sh")) + TEXT) if name in commands}
    assert named == commands
    for line in "".join(blocks("sh")).splitlines():
        if line.startswith("pulseframes "):
            check_command_line(line)


def test_the_exit_codes_of_the_readme_are_those_of_the_commands() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", TEXT.partition("| exit code | |")[2].partition("## ")[0], re.MULTILINE)
    assert {int(code): what for code, what in rows} == EXIT_CODES


def test_each_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", "".join(blocks("sh")), re.MULTILINE)
    assert len(targets) >= 5
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_each_link_within_the_readme_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]*)\)", TEXT)
    assert links
    assert set(links) <= anchors


def test_each_extra_is_in_the_readme_and_in_all() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    for name in extras.keys() - {"all"}:
        assert f"`{name}`" in TEXT
        assert name in everything


def test_each_environment_variable_is_in_the_readme() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pulseframes").rglob("*.py"))
    variables = set(re.findall(r"\"(PULSEFRAMES_[A-Z_]+)\"", source))
    assert len(variables) >= 4
    for variable in variables:
        assert variable in TEXT


@pytest.mark.parametrize("name", [name for name in pf.__all__ if name != "__version__"])
def test_each_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    public = getattr(pf, name)
    assert inspect.getdoc(public)
    assert name in dir(pf)


@pytest.mark.parametrize("function", [pf.search_sessions, pf.session_details, pf.sync])
def test_each_question_documents_every_argument_what_it_raises_and_what_it_costs(function: object) -> None:
    told = inspect.getdoc(function) or ""
    for section in ("Parameters", "Returns", "Raises", "Warns"):
        assert f"\n{section}\n---" in told
    parameters = told.partition("Parameters\n")[2].partition("Returns\n")[0]
    for name in inspect.signature(function).parameters:  # type: ignore[arg-type]  # a function
        assert re.search(rf"^[\w, ]*\b{name}\b[\w, ]* : ", parameters, re.MULTILINE), name
    assert "Costs " in told
    assert "Source: ``GET /session" in told


def test_the_tree_of_errors_holds_each_error_and_warning() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Warning | Exception)
    }
    classes -= {"Any"}
    assert len(classes) == 17
    for name in classes:
        assert name in (errors.__doc__ or "")
        assert name in pf.__all__


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serch_sessions'"):
        _ = pf.serch_sessions  # type: ignore[attr-defined]  # misspelt on purpose


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {pf.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

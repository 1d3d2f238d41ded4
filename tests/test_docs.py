"""What the README, the site, the docstrings and the Makefile say is true."""

from __future__ import annotations

import configparser
import dataclasses
import inspect
import io
import re
import shlex
import sys
import tomllib
import warnings
from itertools import takewhile
from pathlib import Path

import pytest
from conftest import COMMANDS, NOW, Run, check_command_line
from generate import GENERATED, expanded
from update_readme import README, with_tables

import pulseframes as pf
from pulseframes import errors
from pulseframes.cli.app import EXIT_CODES
from pulseframes.simulator import Simulator

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))
#: Programs that the pages' shell blocks name besides pulseframes.
OTHERS = {"python", "make", "export", "systemctl", "."}

FUNCTIONS = [name for name in pf.__all__ if inspect.isfunction(getattr(pf, name))]
CLASSES = [name for name in pf.__all__ if inspect.isclass(getattr(pf, name))]


def blocks(language: str, text: str = TEXT) -> list[str]:
    return [code for found, code in all_blocks(text) if found == language]


def all_blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


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
        # A made-up visitor may have looked at 500 pages, whose list is cut.
        warnings.simplefilter("ignore", pf.IncompleteWarning)
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    assert len(blocks("python")) == 9
    out = capsys.readouterr().out
    for printed in ("to come, from", "sessions for", "lake: sessions ", "The server failed at sessions (500)"):
        assert printed in out
    assert (tmp_path / "week" / "page_views.parquet").exists()


class _Yes(io.StringIO):
    """A terminal at which somebody agrees."""

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return "y\n"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run_in_their_order_and_print_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULSEFRAMES_PSEUDONYM_KEY", "a key of the tests")
    monkeypatch.setattr(sys, "stdin", _Yes())
    if page.stem == "tutorial":  # it says how many calls a day leaves
        monkeypatch.delenv("PULSEFRAMES_DAILY_LIMIT")
    # A made-up visitor may have looked at 500 pages, whose list is cut.
    warnings.simplefilter("ignore", pf.IncompleteWarning)
    names: dict[str, object] = {}
    printed = None
    for language, code in all_blocks(page.read_text(encoding="utf-8")):
        if language == "text" and printed is not None:
            assert printed == code
        printed = None
        if language == "python":
            capfd.readouterr()
            exec(compile(code, page.name, "exec"), names)
            printed = capfd.readouterr().out
        elif language == "sh":
            for line in code.splitlines():
                run_line(line, run)
        elif language == "ini":
            check_unit(code)
        else:
            assert language == "text", f"{page.name}: nothing tries a block of {language!r}"
            check_lines(code)


def run_line(line: str, run: Run) -> None:
    """Run a command, unless it never ends or needs a bucket; of those, only the options are read."""
    program, *words = takewhile(lambda word: word not in {"|", ">"}, shlex.split(line, comments=True))
    if program != "pulseframes":
        assert program in OTHERS, line
    elif words[0] in {"simulate", "demo"} or any("://" in word for word in words):
        check_command_line(line)
    else:
        code, _, err = run(*words)
        assert code == 0, f"{line}\n{err}"


def check_unit(text: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd reads it, with capital letters
    unit.read_string(text)
    check_lines(unit.get("Service", "ExecStart", fallback=""))


def check_lines(text: str) -> None:
    for line in text.splitlines():
        found = re.search(r"\bpulseframes ([a-z]+ .*?)(?: >>.*)?$", line)
        if found:
            check_command_line(found[0].partition(" >>")[0])


def test_each_link_within_the_readme_and_the_pages_leads_to_a_file_and_a_heading() -> None:
    links = [
        (page, path, anchor)
        for page in [README, *PAGES]
        for path, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 50
    assert [link for link in links if not leads_somewhere(*link)] == []


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = (page.parent / path) if path else page
    return target.exists() and (not anchor or anchor in anchors(expanded(target.read_text(encoding="utf-8"))))


def test_each_generated_part_is_on_a_page() -> None:
    marks = re.findall(
        r"^<!-- generated: (\w+)", "".join(page.read_text(encoding="utf-8") for page in PAGES), re.MULTILINE
    )
    assert set(marks) == set(GENERATED)
    assert all("<!-- generated" not in expanded(page.read_text(encoding="utf-8")) for page in PAGES)


def test_the_command_line_page_has_each_command_with_all_its_options_and_examples() -> None:
    page = expanded((ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8"))
    for name, command in COMMANDS.items():
        section = page.partition(f"### `pulseframes {name}`\n")[2].partition("\n### ")[0]
        assert command.help.splitlines()[0] in section
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else []:
                assert option == "--help" or option in section, f"{name} {option}"
        assert blocks("sh", section)[0].splitlines() == re.findall(r"^- `(.*)`$", command.epilog, re.MULTILINE)
    assert all(f"| {code} | {what} |" in page for code, what in EXIT_CODES.items())


def test_each_environment_variable_is_in_the_readme_and_on_the_page_of_settings() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pulseframes").rglob("*.py"))
    variables = set(re.findall(r"\"(PULSEFRAMES_[A-Z_]+)\"", source))
    assert len(variables) >= 4
    page = expanded((ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8"))
    for variable in variables:
        assert variable in TEXT
        assert f"`{variable}`" in page


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


def test_each_extra_is_in_the_readme_and_in_all() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    for name in extras.keys() - {"all"}:
        assert f"`{name}`" in TEXT
        assert name in everything


@pytest.mark.parametrize("name", [name for name in pf.__all__ if name != "__version__"])
def test_each_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    public = getattr(pf, name)
    assert inspect.getdoc(public)
    assert name in dir(pf)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_public_function_documents_every_argument_what_it_gives_and_raises_and_what_it_costs(name: str) -> None:
    told = inspect.getdoc(getattr(pf, name)) or ""
    for section in ("Parameters", "Returns", "Raises"):
        assert f"\n{section}\n---" in told
    parameters = told.partition("Parameters\n")[2].partition("Returns\n")[0]
    for argument in inspect.signature(getattr(pf, name)).parameters:
        assert re.search(rf"^[\w, ]*\b{argument}\b[\w, ]*( : |$)", parameters, re.MULTILINE), argument
        if argument in {"client", "lake", "source"}:
            assert re.search(r"\bcosts\b", told, re.IGNORECASE)


@pytest.mark.parametrize("function", [pf.search_sessions, pf.session_details, pf.sync])
def test_each_question_says_where_its_answer_comes_from_and_what_it_warns_of(function: object) -> None:
    told = inspect.getdoc(function) or ""
    assert "Source: ``GET /session" in told
    assert "\nWarns\n---" in told


@pytest.mark.parametrize("name", CLASSES)
def test_each_public_class_documents_its_fields(name: str) -> None:
    public = getattr(pf, name)
    told = inspect.getdoc(public) or ""
    fields = [field.name for field in dataclasses.fields(public)] if dataclasses.is_dataclass(public) else []
    if issubclass(public, errors.PulseError) and "__init__" in vars(public):
        inherited = {"self", "message", "retryable"}  # PulseError says what the last is
        fields = [field for field in inspect.signature(public.__init__).parameters if field not in inherited]
    for field in fields:
        assert re.search(rf"^[\w, ]*\b{field}\b[\w, ]* : ", told, re.MULTILINE), field


def test_the_tree_of_errors_holds_each_error_and_warning() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Warning | Exception)
    }
    classes -= {"Any"}
    assert len(classes) == 17
    page = expanded((ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8"))
    for name in classes:
        assert name in (errors.__doc__ or "")
        assert name in pf.__all__
        assert name in blocks("text", page)[0]


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serch_sessions'"):
        _ = pf.serch_sessions  # type: ignore[attr-defined]  # misspelt on purpose


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {pf.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

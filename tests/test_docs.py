"""README, site, contributor pages and docstrings agree with the code: their blocks run, and their names and links exist."""

from __future__ import annotations

import configparser
import dataclasses
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from unittest.mock import MagicMock

import pictures
import pytest
import yaml
from conftest import COMMANDS, Run, check_command_line, set_environment
from generate import GENERATED, expanded, link_names, updated

import pulseframes as pf
from pulseframes import errors
from pulseframes.cli.app import EXIT_CODES
from pulseframes.simulator import Simulator
from pulseframes.tables import LAKE_TABLES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))
#: All Markdown that a reader may see.
TEXTS = [*ROOT.glob("*.md"), *PAGES]
#: Programs other than pulseframes that the pages' shell blocks name.
OTHERS = {"python", "make", "export", "systemctl", ".", "set", "bq", "psql", "spark-submit"}

FUNCTIONS = [name for name in pf.__all__ if inspect.isfunction(getattr(pf, name))]
CLASSES = [name for name in pf.__all__ if inspect.isclass(getattr(pf, name))]


def blocks(language: str, text: str = TEXT) -> list[str]:
    return [code for name, code in all_blocks(text) if name == language]


def all_blocks(text: str) -> list[tuple[str, str]]:
    text = re.sub(r"^```{.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # a directive is no block
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_committed_parts_of_a_page_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert updated(text) == text, "run `make format`"


def test_the_readmes_first_block_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # A simulated visitor may have viewed 500 pages, which looks like a truncated list.
    warnings.simplefilter("ignore", pf.IncompleteWarning)
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out == blocks("text")[0]
    assert f"The week has {len(pf.Lake('lake').sessions().collect()):,} sessions" in TEXT
    assert f"details of {len(pf.Lake('lake').design().collect())}, one call each" in TEXT


def test_the_readmes_other_blocks_run_with_the_variables_of_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore", pf.IncompleteWarning)
    with Simulator(
        sessions=2_000, daily_limit=None
    ) as simulator:  # at present: the blocks name days by how long they are ago
        set_environment(monkeypatch, simulator)
        monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "1000")
        for block in blocks("python")[1:]:
            exec(compile(block, "README.md", "exec"), {})
        assert "Details: 45 to download" in capfd.readouterr().out
        for line in "".join(blocks("sh")).splitlines():
            run_line(line, run)
    assert (tmp_path / "report.html").exists()


class _Yes(io.StringIO):
    """A terminal at which the user answers yes."""

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return "y\n"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run_in_order_and_print_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULSEFRAMES_PSEUDONYM_KEY", "a key of the tests")
    monkeypatch.setattr(sys, "stdin", _Yes())
    monkeypatch.setattr("smtplib.SMTP", MagicMock())  # a mail that a page sends
    if page.stem == "tutorial":  # it shows how many calls are left
        monkeypatch.delenv("PULSEFRAMES_DAILY_LIMIT")
    # A simulated visitor may have viewed 500 pages, which looks like a truncated list.
    warnings.simplefilter("ignore", pf.IncompleteWarning)
    names: dict[str, object] = {}
    printed = None
    for language, code in all_blocks(page.read_text(encoding="utf-8")):
        if language == "text" and printed is not None:
            assert printed == code
        printed = None
        if language == "python" and code.startswith("# Not run by the tests"):
            compile(code, page.name, "exec")
        elif language == "python":
            capfd.readouterr()
            exec(compile(code, page.name, "exec"), names)
            printed = capfd.readouterr().out
        elif language == "sh":
            for line in code.splitlines():
                run_line(line, run)
        elif language == "ini":
            check_unit(code)
        elif language == "yaml":
            check_lines("\n".join(texts_of(yaml.safe_load(code))))
        else:
            assert language == "text", f"{page.name}: no test runs a block of {language!r}"
            check_lines(code)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["sample", "several-applications"])
def test_each_block_of_a_page_runs_alone_in_an_empty_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    warnings.simplefilter("ignore", pf.IncompleteWarning)
    for number, (language, code) in enumerate(all_blocks((ROOT / "docs" / "how-to" / f"{name}.md").read_text("utf-8"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        if language == "python":
            exec(compile(code, name, "exec"), {})
        else:
            for line in code.splitlines():
                run_line(line, run)


def run_line(line: str, run: Run) -> None:
    """Run a command; only parse the options of one that never ends, asks for secrets or needs a bucket."""
    program, *words = takewhile(lambda word: word not in {"|", "||", ">", ">>"}, shlex.split(line, comments=True))
    if program != "pulseframes":
        assert program in OTHERS, line
    elif words[0] in {"simulate", "demo", "login"} or any("://" in word for word in words):
        check_command_line(line)
    else:
        code, _, err = run(*words)
        assert code == 0, f"{line}\n{err}"


def test_shell_cron_and_systemd_read_one_file_of_variables(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "every-night.md").read_text("utf-8")
    weekly = (ROOT / "docs" / "how-to" / "weekly-report.md").read_text("utf-8")
    variables, *jobs = (block for block in blocks("text", page + weekly) if "PULSEFRAMES_" in block or "* * " in block)
    variables = variables.replace("...", "'a $ecret; of +-./:=_ and `id` #1'")
    (tmp_path / ".pulseframes.env").write_text(variables)
    reader = configparser.ConfigParser(interpolation=None)  # as systemd, which knows no export
    reader.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd reads it, with capital letters
    reader.read_string(f"[file]\n{variables}")
    wanted = {name: value.strip("'") for name, value in reader["file"].items()}
    assert len(wanted) == 3
    (unit,) = re.findall("^EnvironmentFile=%h/(.*)$", page, re.MULTILINE)
    assert unit == ".pulseframes.env"
    program = tmp_path / "pulseframes"
    program.write_text("#!/bin/sh\nenv > $HOME/seen\nexit 3\n")
    program.chmod(0o755)
    assert len(jobs) == 2
    for job in jobs:
        line = job.split(maxsplit=5)[5]
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", line], env={"HOME": str(tmp_path), "PATH": path}, check=False)
        assert done.returncode == (0 if "sync" in line else 3)  # a sync's 3 is no failure
        seen = dict(entry.split("=", 1) for entry in (tmp_path / "seen").read_text().splitlines())
        assert {name: seen[name] for name in wanted} == wanted


def texts_of(value: object) -> Iterator[str]:
    """Yield all texts in a parsed YAML document."""
    if isinstance(value, str):
        yield value
    for part in [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from texts_of(part)


def check_unit(text: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd reads it, with capital letters
    unit.read_string(text)
    check_lines(unit.get("Service", "ExecStart", fallback=""))


def check_lines(text: str) -> None:
    for line in text.splitlines():
        command = re.search(r"\bpulseframes ([a-z]+ .*?)(?: >>.*)?$", line)
        if command:
            check_command_line(command[0])


def test_internal_links_lead_to_a_file_and_a_heading() -> None:
    links = [
        (page, path, anchor)
        for page in TEXTS
        for path, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 50
    assert [link for link in links if not leads_somewhere(*link)] == []


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = (page.parent / path) if path else page
    return target.exists() and (not anchor or anchor in anchors(expanded(target.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    names = re.findall(
        r"`((?:pulseframes|tests|docs|benchmarks|cassettes|notebooks)/[\w./-]*)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    queue = [ROOT / "docs" / "index.md"]
    while queue:
        page = queue.pop()
        seen.add(page)
        for tree in re.findall(
            r"^```{toctree}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            queue += [page.parent / f"{entry}.md" for entry in entries]
    assert seen == set(PAGES)


def test_the_architecture_page_has_each_package_and_the_files_of_its_walk() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Packages and layers")[2].partition("\n## ")[0]
    packages = {path.parent.name for path in (ROOT / "pulseframes").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"^\| \d \| `(\w+)` \|", table, re.MULTILINE))
    walk = text.partition("## From a call to DataFrames")[2].partition("\n## ")[0]
    files = re.findall(r"`(\w+/\w+\.py)`", walk)
    assert len(files) > 5
    assert [name for name in files if not (ROOT / "pulseframes" / name).exists()] == []


def test_each_decision_has_status_context_decision_and_consequences() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert len(records) >= 5
    for number, record in enumerate(records, start=1):
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Status", "Context", "Decision", "Consequences"]


def test_public_names_in_docstrings_are_links_but_columns_of_the_same_name_are_not() -> None:
    lines = ["``estimate`` is a column, ``estimate()`` a function, ``Lake`` a class"]
    link_names(None, "function", "pulseframes.compare", None, None, lines)  # type: ignore[arg-type]  # it reads only the place
    assert lines == [
        "``estimate`` is a column, :py:obj:`estimate() <pulseframes.estimate>` a function, :py:obj:`Lake <pulseframes.Lake>` a class"
    ]


def test_each_generated_part_is_on_a_page() -> None:
    marks = re.findall(
        r"^<!-- (?:generated|committed): (\w+)",
        "".join(page.read_text(encoding="utf-8") for page in PAGES),
        re.MULTILINE,
    )
    assert set(marks) == set(GENERATED)
    assert all("<!-- generated" not in expanded(page.read_text(encoding="utf-8")) for page in PAGES)


def test_each_chart_has_a_place_for_its_picture_and_an_alternative_text() -> None:
    page = expanded((ROOT / "docs" / "reference" / "report.md").read_text(encoding="utf-8"))
    marks = re.findall(r"^<!-- picture: (\w+) -->$", page, re.MULTILINE)
    assert sorted(marks) == sorted(pf.charts.__all__)
    assert all(len(pictures.DESCRIPTIONS[name]) > 30 for name in marks)


def test_the_command_line_page_has_each_command_with_its_options_and_examples() -> None:
    page = expanded((ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8"))
    for name, command in COMMANDS.items():
        section = page.partition(f"### `pulseframes {name}`\n")[2].partition("\n### ")[0]
        assert command.help.splitlines()[0] in section
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else []:
                assert option == "--help" or option in section, f"{name} {option}"
        assert blocks("sh", section)[0].splitlines() == re.findall(r"^- `(.*)`$", command.epilog, re.MULTILINE)
    assert all(f"| {code} | {what} |" in page for code, what in EXIT_CODES.items())


def test_each_environment_variable_is_on_the_page_of_settings() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pulseframes").rglob("*.py"))
    variables = set(re.findall(r"\"(PULSEFRAMES_[A-Z_]+)\"", source))
    assert len(variables) >= 4
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [variable for variable in variables if f"`{variable}`" not in page] == []


def test_the_page_of_tables_has_each_column() -> None:
    page = (ROOT / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
    for name, table in LAKE_TABLES.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert [column.name for column in table.columns if f"`{column.name}`" not in section] == []


def test_commands_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`pulseframes (\w+)", TEXT))
    assert named
    assert named <= set(COMMANDS)


def test_make_targets_that_pages_name_exist_and_contributing_has_all_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        page: set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in TEXTS
    }
    assert [(page, names - targets) for page, names in named.items() if names - targets] == []
    assert named[CONTRIBUTING] == targets


def test_each_extra_is_in_the_readme_and_in_all() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    for name in extras.keys() - {"all"}:
        assert f"`{name}`" in TEXT
        assert (name in everything) == (name != "spark")  # which needs Java, and limits others' versions


@pytest.mark.parametrize("name", [name for name in pf.__all__ if name != "__version__"])
def test_each_public_name_can_be_imported_and_has_a_docstring(name: str) -> None:
    public = getattr(pf, name)
    assert inspect.getdoc(public)
    assert name in dir(pf)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_public_function_documents_arguments_result_errors_and_cost(name: str) -> None:
    text = inspect.getdoc(getattr(pf, name)) or ""
    for section in ("Parameters", "Returns", "Raises"):
        assert f"\n{section}\n---" in text
    parameters = text.partition("Parameters\n")[2].partition("Returns\n")[0]
    for argument in inspect.signature(getattr(pf, name)).parameters:
        assert re.search(rf"^[\w, ]*\b{argument}\b[\w, ]*( : |$)", parameters, re.MULTILINE), argument
        if argument in {"client", "lake", "source"}:
            assert re.search(r"\bcosts\b", text, re.IGNORECASE)


@pytest.mark.parametrize("function", [pf.search_sessions, pf.session_details, pf.sync])
def test_each_function_that_spends_calls_documents_its_endpoint_and_warnings(function: object) -> None:
    text = inspect.getdoc(function) or ""
    assert "Source: ``GET /session" in text
    assert "\nWarns\n---" in text


@pytest.mark.parametrize("name", CLASSES)
def test_each_public_class_documents_its_fields(name: str) -> None:
    public = getattr(pf, name)
    text = inspect.getdoc(public) or ""
    fields = [field.name for field in dataclasses.fields(public)] if dataclasses.is_dataclass(public) else []
    if issubclass(public, errors.PulseError) and "__init__" in vars(public):
        inherited = {"self", "message", "retryable"}  # PulseError documents the last
        fields = [field for field in inspect.signature(public.__init__).parameters if field not in inherited]
    for field in fields:
        assert re.search(rf"^[\w, ]*\b{field}\b[\w, ]* : ", text, re.MULTILINE), field


def test_the_tree_of_errors_holds_each_error_and_warning() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Warning | Exception) and not name.startswith("_")
    }
    classes -= {"Any"}
    assert len(classes) == 17
    page = expanded((ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8"))
    for name in classes:
        assert name in (errors.__doc__ or "")
        assert name in pf.__all__
        assert name in blocks("text", page)[0]


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute .*serch_sessions"):
        _ = pf.serch_sessions  # type: ignore[attr-defined]  # misspelt on purpose


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {pf.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

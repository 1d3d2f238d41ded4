# Each target does all its own set-up; `make demo` and `make test` work as the first command typed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet
# What is installed is compiled when it is first imported, or by all cores at once.
# Modules are compiled once, and not by each process anew, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(PIP) install --no-compile --no-deps

# The tests that take seconds: all rooms but those whose tests wait for servers, kills and browsers.
FAST := $(addprefix tests/,test_query.py test_windows.py test_random.py contracts tables flatten sampling charts)
# Other Pythons that the package supports and that run here: a version manager may have a command that does not.
PYTHONS := $(foreach version,3.12 3.13,$(if $(shell python$(version) -c "print(1)" 2>/dev/null),$(version)))

.PHONY: demo test lint types docs wheel dist lowest pythons tests browser format contracts notebooks picture cassettes soak postgres spark bench bench-check bench-sampling bench-spark lock clean

demo: $(VENV)/.demo
	mkdir -p build
	$(BIN)/pulseframes demo --report build/report.html

# Installs and checks run two at a time, and the site is built with what the tests need too, so that there is one install. The tests use
# all cores by themselves, and close with the test runner's own line.
test:
	$(MAKE) --no-print-directory --jobs=2 lint types docs wheel lowest pythons FOR_DOCS=$(VENV)/.dev
	$(MAKE) --no-print-directory tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

# The site, into build/docs: a warning, a broken link within or a public name without a page fails it.
FOR_DOCS := $(VENV)/.docs
docs: $(FOR_DOCS)
	$(BIN)/sphinx-build -W --keep-going -n -E -q docs build/docs

# The built wheel, with the base dependencies alone (no pandas, no DuckDB), runs the demo.
wheel: $(VENV)/.dev
	rm -rf build/wheel
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python $(INSTALL) --require-hashes -r requirements/runtime.txt
	build/wheel/venv/bin/python $(INSTALL) build/wheel/*.whl
	cd build/wheel && venv/bin/pulseframes demo > demo.txt && tail -n 3 demo.txt

# The files of a release, into dist/: built twice, the second time from the sdist, so that a difference fails it.
dist: $(VENV)/.runtime
	rm -rf dist build/again
	$(BIN)/hatchling build --directory dist
	mkdir -p build/again && tar -xzf dist/*.tar.gz -C build/again --strip-components=1
	cd build/again && $(CURDIR)/$(BIN)/hatchling build --directory dist
	cd dist && sha256sum * | (cd ../build/again/dist && sha256sum --check --quiet) && sha256sum *

# The fast tests with the lowest versions that pyproject.toml allows.
lowest: $(VENV)-lowest/.installed
	$(VENV)-lowest/bin/pytest -n auto --dist worksteal $(FAST)

# The fast tests with each other Python that is installed.
pythons: $(foreach version,$(PYTHONS),$(VENV)-$(version)/.installed)
	for version in $(PYTHONS); do $(VENV)-$$version/bin/pytest -n auto --dist worksteal $(FAST) || exit 1; done

tests: $(VENV)/.dev browser
	$(BIN)/pytest -n auto --dist worksteal

# The browser that the report is tried in: $CHROMIUM, one that is there or, where that is allowed, Debian's package.
browser: $(VENV)/.dev
	$(BIN)/python tests/browser/chromium.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate.py

# Takes down the public interface and the stored schemas, so that later changes are held against them.
contracts: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m contracts.public_api
	PYTHONPATH=tests $(BIN)/python -m contracts.stored_schemas

# Executes the notebooks again and stores their outputs.
notebooks: $(VENV)/.dev
	$(BIN)/python docs/notebook_pages.py

# Takes the README's picture of a report anew.
picture: $(VENV)/.dev browser
	PYTHONPATH=tests $(BIN)/python -m browser.picture

# Records cassettes/ anew, against the simulator.
cassettes: $(VENV)/.dev
	$(BIN)/python tests/record_cassettes.py

# 200 kills of a search and its details, 40 of syncs; ten minutes of mutated answers; 20,000 lists that change while they are read.
soak: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m soak.killed_searches
	PYTHONPATH=tests $(BIN)/python -m soak.killed_syncs
	PYTHONPATH=tests $(BIN)/python -m soak.fuzz_answers
	PYTHONPATH=tests $(BIN)/python -m soak.changing_lists

# The ledger that machines share, in a PostgreSQL server that the tests start; Debian's package postgresql has it.
postgres: $(VENV)/.dev
	$(BIN)/pytest tests/postgres

# Spark on this machine, which needs Java 17: the tests that `make tests` leaves out. `make bench-spark` compares 200,000 sessions with the
# single-machine path, cell by cell and in time.
spark: $(VENV)-spark/.installed
	$(VENV)-spark/bin/pytest tests/spark

bench-spark: $(VENV)-spark/.installed
	$(VENV)-spark/bin/python benchmarks/spark.py $(BENCH)

# Speed and memory beside other tools, each workload in a process of its own; about 25 minutes. `make bench BENCH="--only details"` runs one,
# BENCH=--quick all of them at small sizes.
bench: $(VENV)-bench/.installed
	$(VENV)-bench/bin/python benchmarks/run.py $(BENCH)

# Fails if a ratio of speeds has become worse than in benchmarks/results.json.
bench-check: $(VENV)-bench/.installed
	$(VENV)-bench/bin/python benchmarks/check.py $(BENCH)

# Coverage, bias and width of estimates, for docs/explanation/sampling.md; about 25 minutes. `make bench-sampling BENCH="--only shop"` runs one kind.
bench-sampling: $(VENV)/.installed
	$(BIN)/python benchmarks/sampling.py $(BENCH)

# Pins what the targets install. The lock files name no host.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --quiet install "uv>=0.13"
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in $(LOCK_OPTIONS) --output-file requirements/runtime.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in --extra report --no-emit-package pulseframes $(LOCK_OPTIONS) --output-file requirements/demo.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in --extra all --group dev --group docs --no-emit-package pulseframes $(LOCK_OPTIONS) --output-file requirements/dev.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in --constraint requirements/dev.txt --extra report --group docs --no-emit-package pulseframes $(LOCK_OPTIONS) --output-file requirements/docs.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in --constraint requirements/dev.txt --extra duckdb --extra pandas --extra report --group bench --no-emit-package pulseframes $(LOCK_OPTIONS) --output-file requirements/bench.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in $(foreach extra,duckdb pandas cloud excel report scan,--extra $(extra)) --group test --no-emit-package pulseframes --resolution lowest-direct $(filter-out --universal,$(LOCK_OPTIONS)) --output-file requirements/lowest.txt

LOCK_OPTIONS := --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

clean:
	rm -rf $(VENV) $(VENV)-* build dist

$(VENV)/.runtime: pyproject.toml requirements/runtime.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --require-hashes -r requirements/runtime.txt
	$(BIN)/python $(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.demo: $(VENV)/.runtime requirements/demo.txt
	$(BIN)/python $(INSTALL) --require-hashes -r requirements/demo.txt
	touch $@

$(VENV)/.docs: $(VENV)/.runtime requirements/docs.txt
	$(BIN)/python $(INSTALL) --require-hashes -r requirements/docs.txt
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/python $(INSTALL) --require-hashes -r requirements/dev.txt
	$(BIN)/python -W ignore -m compileall -q -j 0 $(VENV)/lib
	touch $@

$(VENV)-lowest/.installed: pyproject.toml requirements/lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python $(INSTALL) --require-hashes -r requirements/lowest.txt
	$(VENV)-lowest/bin/python $(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)-bench/.installed: pyproject.toml requirements/bench.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python $(INSTALL) --require-hashes -r requirements/bench.txt
	$(VENV)-bench/bin/python $(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)-spark/.installed: pyproject.toml requirements/spark.txt
	$(PYTHON) -m venv $(VENV)-spark
	$(VENV)-spark/bin/python $(INSTALL) --require-hashes -r requirements/spark.txt
	$(VENV)-spark/bin/python $(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)-3.%/.installed: pyproject.toml requirements/dev.txt
	python3.$* -m venv $(VENV)-3.$*
	$(VENV)-3.$*/bin/python $(INSTALL) --require-hashes -r requirements/dev.txt
	$(VENV)-3.$*/bin/python $(INSTALL) --no-build-isolation --editable .
	touch $@

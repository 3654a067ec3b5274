# Each target makes the virtual environment it needs; nothing but Python 3.11, pip, make and gcc is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
WHEELS := build/wheels
# Where wheels alone are installed: nothing of this folder can be imported there.
CLEAN := build/clean

.PHONY: demo test test-plugins lint unit unit-stores unit-others benchmarks clean

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

# Core and plugins as their users get them: wheels in a clean environment, then the tests of each plugin.
test-plugins:
	rm -rf build $(addsuffix /build,$(PLUGINS))  # what an earlier build left would go into the wheels
	$(PYTHON) -m venv $(CLEAN)
	$(CLEAN)/bin/pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(CLEAN)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(CLEAN)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(WHEELS) . $(addprefix ./,$(PLUGINS))
	$(CLEAN)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt pytest hypothesis $(WHEELS)/*.whl
	for plugin in $(PLUGINS); do (cd build && clean/bin/python -m pytest -q -p no:cacheprovider ../$$plugin) || exit 1; done

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
	rm -rf $(VENV) demo build plugins/*/build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# `make` alone prints this help. Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# With it, CI says what is missing instead of skipping it.
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help setup compare test check prove mutants soak notebooks lab clean

help:  ## this text
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready  ## a virtual environment with everything that is needed

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minique needs Python 3.11 or later; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[development]'
	@touch $@

compare: setup  ## the main job: the naive daemon and minique on the same load (about a minute)
	$(BIN)/python -m simulate compare

check: setup  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## everything that must hold, on real servers (a few minutes)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

prove: setup mutants  ## longer proofs: every fault of the catalogue is found; the same machines with many more examples
	$(BIN)/python -m pytest -n 2 -m prove

mutants: setup  ## faults put into the code on purpose: each must be found (half a minute)
	$(BIN)/python -m simulate explore --mutants

soak: setup  ## longest: a million random commands, and more
	$(BIN)/python -m pytest -m soak

notebooks: setup  ## run all lessons anew and store what they say and draw; then the map (two minutes)
	$(BIN)/python -m notebooks.build

lab: setup  ## open the lessons in JupyterLab
	@test -x $(BIN)/jupyter-lab || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lab]'
	PYTHONPATH=$(CURDIR) $(BIN)/jupyter lab notebooks/README.md

clean:  ## remove what these commands made
	rm -rf $(VENV) results .pytest_cache .hypothesis .mypy_cache .ruff_cache *.egg-info build

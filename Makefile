# Every target makes the environment it needs: a venv in .venv with the versions of constraints.txt.
#   make demo     the page, on the checkpoint that ships here; ARGS="--port 8000" adds options
#   make test     all tests              make quick    those that take seconds
#   make check    style, types, imports  make readme   rewrites the generated tables of README.md and docs
#   make mutants  changes 150 places of the code, one at a time, and counts those that the quick tests notice
#   make chaos    500 requests on a Ray cluster whose replicas and machines fail; some minutes
#   make fuzz     reads 100,000 hostile inputs; ARGS="--seed 7 --only png" repeats some
#   make bench    side by side with diffusers; ARGS="load_test" for many clients, ARGS="--help" lists all
#   make fullsize  the published sizes with random weights: time, memory; ARGS="--help" says more
#   make train    trains a cocktail, or goes on where it stopped; on a GPU ARGS="--minutes 25"
#   make requirements  rewrites requirements.txt from pyproject.toml
#   make constraints  rewrites constraints.txt from .venv
#   make clean    removes .venv and every cache

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python of at least 3.11; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
PY := .venv/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

# Named by what the files say, so that a changed requirement installs anew and a fresh checkout's dates do not.
key = $(shell cat $(1) | cksum | cut -d' ' -f1)
READY := .venv/.ready-$(call key,pyproject.toml constraints.txt)
DEV := .venv/.dev-$(call key,pyproject.toml constraints.txt)

# One torch thread for each of two test processes: two cores are never asked for more than two.
TESTS := OMP_NUM_THREADS=1 GRADIO_ANALYTICS_ENABLED=False $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test quick check mutants chaos fuzz readme requirements constraints bench fullsize train clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(READY)
	$(PY) app.py $(ARGS)

test: $(DEV)
	$(TESTS) $(ARGS)

quick: $(DEV)
	$(TESTS) -m "not slow" $(ARGS)

check: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_imports.py

mutants: $(DEV)
	$(PY) -m tools.mutants $(ARGS)

chaos: $(DEV)
	$(PY) -m tests.fleet.chaos $(ARGS)

fuzz: $(READY)
	$(PY) -m tools.fuzz $(ARGS)

readme: $(READY)
	$(PY) -m tools.doc_tables

requirements: $(READY)
	$(PY) -m tools.requirements

constraints: $(DEV)
	$(PY) -m tools.constraints

bench: $(READY)
	$(PY) -m wuerst_demo bench $(ARGS)

fullsize: $(READY)
	$(PY) -m wuerst_demo bench full_size $(ARGS)

train: $(READY)
	$(PY) -m wuerst_demo train $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it, or say make PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

$(READY): | $(PY)
	$(PIP) -e .
	@rm -f .venv/.ready-*
	@touch $@

$(DEV): | $(PY)
	$(PIP) -e ".[dev]"
	@rm -f .venv/.dev-*
	@touch $@

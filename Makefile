# Everything here works on a machine that has Python >= 3.11 and make. `make` alone lists the targets.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

INSTALLED := $(VENV)/.installed
FOR_TESTS := $(VENV)/.installed-test

# One thread per process: what is computed does not depend on the machine's width, and pytest fills the cores.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo install install-test test lint format types contracts smoke fidelity wheel-test clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(INSTALLED)  ## install, then train for real: the quickstart scenario
	$(BIN)/fedsim run quickstart

install: $(INSTALLED)  ## make .venv with fedsim in it

install-test: $(FOR_TESTS)  ## the same, with what the tests and checks need

test: $(FOR_TESTS)  ## the whole test suite; PYTEST_ARGS="-k link" for a part of it
	$(ONE_THREAD) $(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

lint: $(FOR_TESTS) contracts  ## style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(FOR_TESTS)  ## put the format right, and what else ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(FOR_TESTS)  ## mypy --strict
	$(BIN)/mypy

contracts: $(FOR_TESTS)  ## who may import whom
	$(BIN)/lint-imports

smoke: $(INSTALLED)  ## run every scenario of scenarios/smoke, from nothing, into a folder that is removed
	@set -e; \
	set -- scenarios/smoke/*.toml; \
	if [ ! -e "$$1" ]; then echo "no scenarios in scenarios/smoke"; exit 0; fi; \
	out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	$(ONE_THREAD) FEDSIM_CACHE="$$out/cache" $(BIN)/fedsim run "$$@" --out "$$out/results"

fidelity: $(FOR_TESTS)  ## how far the profiles are off measured times: docs/results/fidelity.md and its picture
	$(BIN)/python figures/fidelity.py -o docs/results

# torch is not fetched again: the fresh environment borrows the libraries of .venv, but not its fedsim.
wheel-test: $(FOR_TESTS)  ## build the wheel, install it elsewhere, run the quickstart from an empty folder
	@set -e; \
	tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(BIN)/python -m build --wheel --no-isolation --outdir "$$tmp" .; \
	$(BIN)/python -m venv "$$tmp/venv"; \
	"$$tmp/venv/bin/python" -m pip install --no-deps --no-index "$$tmp"/*.whl; \
	libraries=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	fresh=$$("$$tmp/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "$$libraries" > "$$fresh/borrowed.pth"; \
	mkdir "$$tmp/empty"; cd "$$tmp/empty"; \
	"$$tmp/venv/bin/python" -c 'import fedsim, sys; sys.exit(None if fedsim.__file__.startswith(sys.prefix) else fedsim.__file__)'; \
	$(ONE_THREAD) FEDSIM_CACHE="$$tmp/cache" "$$tmp/venv/bin/fedsim" run quickstart

clean:  ## remove .venv, caches and builds, not results
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("fedsim needs Python >= 3.11, this is " + sys.version.split()[0] + "; say make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# A stamp newer than pyproject.toml says that nothing is left to install.
$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e .
	@touch $@

$(FOR_TESTS): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[test]'
	@touch $(INSTALLED) $@

# byheart: `make` lists what a developer can do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The peers of the benchmarks bring packages that break other tests: they get an environment of their own.
BENCH := .venv-bench
# The pip of the environment that the target lies in.
PIP = $(@D)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
JOBS ?= auto
FAULTS ?= 100
EXAMPLES ?= 10000

.PHONY: help study test faults fuzz lint format types docs bench bench-audit growth clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

study: $(VENV)/.byheart ## Set up this machine and judge every claim on digits: out/quick/report.html
	$(BIN)/byheart study --preset quick --out out/quick

test: $(VENV)/.test ## Set up and run the tests (browser tests need a Chromium)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

faults: $(VENV)/.test ## Kill processes, fill disks, hang workers (long; FAULTS=n of each kind)
	BYHEART_FAULTS=$(FAULTS) $(BIN)/python -m pytest -m faults --numprocesses $(JOBS) --dist worksteal

fuzz: $(VENV)/.test ## Feed damaged files to every reader (long; EXAMPLES=n for each)
	BYHEART_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/hostile --numprocesses $(JOBS)

lint: $(VENV)/.lint ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.lint ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.lint ## Check types (mypy --strict)
	$(BIN)/mypy

docs: $(VENV)/.docs ## Build the documentation into site/ (warnings are errors)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'site/index.html'

bench: $(BENCH)/.bench ## Time byheart and its peers in turn: out/bench.json
	$(BENCH)/bin/python -m benchmarks

bench-audit: $(BENCH)/.bench ## Compare the audit with its peers and with true labels; resumes: out/bench-audit
	$(BENCH)/bin/python -m benchmarks.audit

growth: $(VENV)/.byheart ## Time how cost grows with replicas, examples, width and steps: out/growth.json
	$(BIN)/python -m benchmarks.growth

clean: ## Remove all that make created, except the results under out/
	rm -rf $(VENV) $(BENCH) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file marks an installed group. It is made again when the files that it depends on change.
$(VENV)/.pip $(BENCH)/.pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: byheart needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(@D)
	@# --group, below, needs pip 25.1.
	$(PIP) 'pip>=25.1'
	@touch $@

# torch goes first and pinned. Otherwise pip may choose a build of several gigabytes for GPUs.
$(VENV)/.byheart $(BENCH)/.byheart: %/.byheart: %/.pip pyproject.toml
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(BENCH)/.bench: $(BENCH)/.byheart
	$(PIP) --editable '.[bench]'
	@# torchattacks asks for torchvision and an old version of requests. The rows need neither.
	$(PIP) --no-deps torchattacks
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.byheart
	$(PIP) --group $*
	@touch $@

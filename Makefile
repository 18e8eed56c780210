# byheart: `make` lists what a developer can do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
JOBS ?= auto
FAULTS ?= 100
EXAMPLES ?= 10000

.PHONY: help study test faults fuzz lint format types docs bench bench-audit growth clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

study: $(VENV)/.byheart ## Set up this machine and judge every claim on digits: out/quick/report.html
	$(BIN)/byheart study --preset quick --out out/quick

test: $(VENV)/.test ## Set up and run the tests, browser tests included where a Chromium is found
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

faults: $(VENV)/.test ## Test what kills, fills disks and hangs: long; FAULTS=n of each kind at most
	BYHEART_FAULTS=$(FAULTS) $(BIN)/python -m pytest -m faults --numprocesses $(JOBS) --dist worksteal

fuzz: $(VENV)/.test ## Feed damaged files to every reader: long; EXAMPLES=n inputs for each
	BYHEART_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/hostile --numprocesses $(JOBS)

lint: $(VENV)/.lint ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.lint ## Mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.lint ## Check types (mypy --strict)
	$(BIN)/mypy

docs: $(VENV)/.docs ## Build the documentation into site/, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'site/index.html'

bench: $(VENV)/.bench ## Time byheart beside its peers, in turn: out/bench.json
	$(BIN)/python -m benchmarks

bench-audit: $(VENV)/.bench ## Compare the audit with its peers, and with the truth; goes on where it was: out/bench-audit
	$(BIN)/python -m benchmarks.audit

growth: $(VENV)/.byheart ## Time how cost grows with replicas, examples, width, steps: out/growth.json
	$(BIN)/python -m benchmarks.growth

clean: ## Remove what was made; the results under out/ stay
	rm -rf $(VENV) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is an installed group: it is made again when what it installs from has changed.
$(VENV)/.pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: byheart needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@# --group, below, came with pip 25.1.
	$(PIP) 'pip>=25.1'
	@touch $@

# torch goes first and pinned: left to the resolver, it may bring gigabytes a CPU cannot use.
$(VENV)/.byheart: $(VENV)/.pip pyproject.toml
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.bench: $(VENV)/.byheart
	$(PIP) --editable '.[bench]'
	@# It asks for a requests of 2021 and for torchvision, and needs neither here.
	$(PIP) --no-deps torchattacks
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.byheart
	$(PIP) --group $*
	@touch $@

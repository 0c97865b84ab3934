# Everything a newcomer types. `make` alone lists it.

PYTHON ?= python3
ARGS ?=
VENV := .venv
STAMP := $(VENV)/.ready-$(notdir $(PYTHON))
PROGRAMS := tests/npm/node_modules/.ready
RUN := $(VENV)/bin
# A Python that was asked for replaces another in .venv; the default one leaves it alone.
ASKED := $(if $(filter default file,$(origin PYTHON)),,asked)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check proof soak bench lock clean

help: ## list these lines
	@echo 'usage: make GOAL [ARGS="…"] [PYTHON=python3.12]'
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-7s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make .venv from the lock and install what the system lacks
	@.ci/system-packages sandbox

$(STAMP): pyproject.toml requirements.lock .ci/python-environment
	@.ci/system-packages python $(PYTHON)
	@.ci/python-environment $(PYTHON) $(VENV) $(ASKED)
	@touch $@

demo: setup ## a local Slack and GitHub and the bot between them; ARGS="--no-browser" and others
	@$(RUN)/threadsmith demo $(ARGS)

test: setup programs ## run the tests; ARGS="-k words" for some of them
	@.ci/system-packages browser
	@$(RUN)/python -m pytest $(ARGS)

.PHONY: programs
programs: setup $(PROGRAMS)
	@cd tests/npm && ../../$(RUN)/threadsmith agents install opencode

$(PROGRAMS): tests/npm/package-lock.json .ci/node-programs
	@.ci/system-packages node
	@.ci/node-programs tests/npm
	@touch $@

check: setup ## lint, formatting, types and the rules of the house
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest -q tests/test_structure.py

proof: setup programs ## run what tries to break the promises and count it; ARGS="crash --json" and others
	@.ci/system-packages browser
	@$(RUN)/python tests/proof.py $(ARGS)

soak: setup ## talk to a demo while all of it is killed; ARGS="--minutes 60 --seed 7 --threads 12"
	@$(RUN)/python tests/soak $(ARGS)

bench: setup programs ## measure, each thing against its baseline, in one table
	@$(RUN)/python tests/benchmarks $(ARGS)

lock: ## write requirements.lock anew from pyproject.toml
	@.ci/lock $(PYTHON)

clean: ## remove .venv, caches and the demo's data
	rm -rf $(VENV) .demo build tests/npm/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find bot plugins storage tests -name __pycache__ -type d -prune -exec rm -rf {} +

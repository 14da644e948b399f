# `make run` and `make test` install what they need by themselves: Python packages into .venv, Azurite into local/.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
RUNTIME := azure-functions-runtime==1.3.0
ONCE ?=

.DEFAULT_GOAL := help
.PHONY: help run wine test check docs pythons soak bench infra-check audit sbom deploy destroy clean

help: ## show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.installed-run ## start everything here, send two signed events, show what became of them (ONCE=1: then end)
	@$(RUN) -m local.run $(if $(ONCE),--once)

wine: $(VENV)/.installed-run .venv-mlflow/.installed ## take a real model from a real MLflow server to production, stop two worse ones
	@$(RUN) -m examples.wine.run

test: $(VENV)/.installed-test .venv-mlflow/.installed ## run the tests
	@$(RUN) -m pytest --numprocesses 3

check: $(VENV)/.installed-test ## check style (ruff) and types (mypy --strict)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

pythons: ## run the tests with Python 3.11, 3.12 and 3.13, as far as this machine has them
	@for version in 3.11 3.12 3.13; do \
	  python=$$(command -v python$$version); \
	  "$$python" --version >/dev/null 2>&1 || python=$$(ls -d "$$(pyenv root 2>/dev/null)"/versions/$$version.*/bin/python 2>/dev/null | tail -1); \
	  if [ -z "$$python" ]; then echo "no Python $$version here"; continue; fi; \
	  echo "Python $$version"; $(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version || exit 1; \
	done

soak: $(VENV)/.installed-run ## kill and freeze workers at named moments for some minutes, count what came of it
	@$(RUN) -m soak.crash --events 400 --seed 1

bench: $(VENV)/.installed-run ## measure what importing the app costs a cold start
	@$(RUN) -m bench.import_time

clean: ## remove all that was installed
	rm -rf .venv .venv-* local/node_modules tests/browser/node_modules

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "Python 3.11, 3.12 or 3.13 is needed"'
	$(PYTHON) -m venv $(VENV)

# The runtime is declared for Python 3.13 alone, but works from 3.11 on: hence apart, and without its declarations.
$(VENV)/.installed-run: requirements.txt requirements-local.txt local/package-lock.json | $(VENV)/bin/python
	$(PIP) -r requirements-local.txt
	$(PIP) --no-deps --ignore-requires-python $(RUNTIME)
	$(RUN) -m local.azurite install
	@touch $@

$(VENV)/.installed-test: requirements-dev.txt tests/browser/package-lock.json $(VENV)/.installed-run
	$(PIP) -r requirements-dev.txt
	@touch $@

.venv-mlflow/.installed: requirements-mlflow.txt
	$(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-mlflow.txt
	@touch $@
	$(RUN) -m tests.browser.chromium

# `make run` and `make test` install what they need by themselves: Python packages into .venv, Azurite into local/.
SHELL := /bin/bash
PYTHON ?= python3
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check
RUN := .venv/bin/python
RUNTIME := azure-functions-runtime==1.3.0
ONCE ?=

.DEFAULT_GOAL := help
.PHONY: help run test check clean

help: ## show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.installed-run ## start everything here, send two signed events, show what became of them (ONCE=1: then end)
	@$(RUN) -m local.run $(if $(ONCE),--once)

test: .venv/.installed-test .venv-mlflow/.installed ## run the tests
	@$(RUN) -m pytest

check: .venv/.installed-test ## check style (ruff) and types (mypy --strict)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

clean: ## remove all that was installed
	rm -rf .venv .venv-mlflow local/node_modules

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The runtime is declared for Python 3.13 alone, but works from 3.11 on: hence apart, and without its declarations.
.venv/.installed-run: .venv/bin/python requirements.txt requirements-local.txt local/package-lock.json
	$(PIP) -r requirements-local.txt
	$(PIP) --no-deps --ignore-requires-python $(RUNTIME)
	$(RUN) -m local.azurite install
	@touch $@

.venv/.installed-test: .venv/.installed-run requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.venv-mlflow/.installed: requirements-mlflow.txt
	$(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-mlflow.txt
	@touch $@

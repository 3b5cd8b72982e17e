# Everything a developer or CI does. Each target first installs what it needs into .venv, once.
# ARGS is passed on: make test ARGS="-k dedupe", make run ARGS="-c my.yaml", make lock ARGS=--upgrade

.DEFAULT_GOAL := help
.PHONY: help run test test-all check lint types imports generated docs format bench against ledger hostile soak \
  lock release sbom wheel clean torture drill mutants

# Modules are compiled once, not at each start: River alone would then take four seconds to import, the tests start a
# hundred processes, and pytest rewrites each test module.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start csq: a simulated shop, or what ARGS="-c my.yaml" names
	@$(BIN)/csq run $(ARGS)

# A file's tests stay together and in order, so fixtures of a module are made once. ARGS="-x --pdb" runs in one
# process by itself, ARGS="-n 0" does for everything that needs the terminal (-s, a debugger).
test: $(INSTALLED) ## Run the tests, side by side; in one process with ARGS="-n 0", as --pdb does by itself
	@$(BIN)/pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# Coverage makes the program slower by half: CI, which has to keep time, leaves it out with COVERAGE= on the command line.
COVERAGE ?= --cov --cov-report=term
test-all: $(INSTALLED) ## Run the tests, the slow ones too, one after the other, and show the coverage
	@$(BIN)/pytest $(COVERAGE) $(ARGS)

check: lint types imports generated ## Lint, types, import rules, stale generated files

lint: $(INSTALLED)
	@echo "lint"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(INSTALLED)
	@echo "types"
	@$(BIN)/mypy

imports: $(INSTALLED)
	@echo "import rules"
	@$(BIN)/lint-imports --no-logo

generated: $(INSTALLED)
	@echo "generated files"
	@$(BIN)/python -m flows.settings --check
	@$(BIN)/python -m operators.metrics.catalogue --check docs/metrics.md
	@$(BIN)/csq rules check
	@$(BIN)/python -m grafana.build --check

docs: $(INSTALLED) ## Write the generated files
	@$(BIN)/python -m flows.settings --write
	@$(BIN)/python -m operators.metrics.catalogue --write docs/metrics.md
	@$(BIN)/csq rules build
	@$(BIN)/python -m grafana.build --write

format: $(INSTALLED) ## Format the code and correct what lint can correct
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: $(INSTALLED) ## Measure speed and memory; also written to bench/latest.json
	@$(BIN)/python -m bench $(ARGS)

against: $(INSTALLED) ## CPU per event against a revision, in pairs; ARGS="d84f96e --max-ratio 1.02"
	@$(BIN)/python -m bench.against $(ARGS)

ledger: $(INSTALLED) ## CPU per event by stage, beside a revision with ARGS=REV
	@$(BIN)/python -m bench.ledger $(ARGS)

hostile: $(INSTALLED) ## A million hostile inputs; ARGS="--inputs 200000 --seed 2"
	@$(BIN)/python -m bench.hostile $(ARGS)

soak: $(INSTALLED) ## 20 minutes under load with faults, from a real Kafka; ARGS="--minutes 3 --rate 2000"
	@$(BIN)/python -m bench.soak $(ARGS)

drill: $(INSTALLED) ## Inject faults and check the notifications, with real servers; ARGS="--only rush --keep logs"
	@$(BIN)/python -m tests.drills $(ARGS)

torture: $(INSTALLED) ## Kill -9 a hundred times at random moments, and compare; ARGS="--processes 2", --exact, --term
	@$(BIN)/python -m tests.torture --kills 100 $(ARGS)

COMPILE := $(BIN)/uv pip compile pyproject.toml --python $(BIN)/python --python-version 3.11 --universal \
  --fork-strategy fewest --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock" --quiet

mutants: $(INSTALLED) ## Mutate the domain in 300 places and list the mutants that no test kills; ARGS="--seed 2 --count 50"
	@$(BIN)/python -m tests.mutants $(ARGS)

lock: $(INSTALLED) ## Write both lock files from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(COMPILE) --extra import --group test --group lint --group build --group release --group grafana --group lock \
	  --output-file requirements.lock $(ARGS)
	@$(COMPILE) --constraint requirements.lock --output-file requirements-runtime.lock

DIST ?= dist
# The environment that an operator makes of the runtime lock and the wheel: the bill of materials lists what is in it.
RUNTIME ?= build/runtime
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The date of the commit stands for that of the build: the same commit gives the same bytes.
EPOCH = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 315532800)

release: sbom ## Write the files of a release to dist/: wheel, runtime lock, unit, bill of materials, checksums
	@cp requirements-runtime.lock deploy/csq.service $(DIST)
	@cd $(DIST) && sha256sum *.whl *.lock *.service *.cdx.json > SHA256SUMS
	@cat $(DIST)/SHA256SUMS

sbom: wheel ## Write the software bill of materials of the runtime environment (CycloneDX) to dist/
	@$(BIN)/python -m venv --clear --without-pip $(RUNTIME)
	@$(PIP) --python $(RUNTIME)/bin/python install --quiet --require-hashes --requirement requirements-runtime.lock
	@$(PIP) --python $(RUNTIME)/bin/python install --quiet --no-deps --no-index $(DIST)/csq-$(VERSION)-py3-none-any.whl
	@$(EPOCH) $(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file $(DIST)/csq-$(VERSION).cdx.json $(RUNTIME)/bin/python

wheel: $(INSTALLED) ## Build the wheel into dist/
	@mkdir -p $(DIST) && cd $(DIST) && rm -f *.whl *.lock *.service *.cdx.json SHA256SUMS
	@$(EPOCH) $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir $(DIST) .

clean: ## Remove .venv, caches and what was built or measured; recovery state stays
	@rm -rf $(VENV) build dist bench/latest.json .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	@find flows operators tests bench grafana -name __pycache__ -type d -prune -exec rm -rf {} +

# Python 3.11 or 3.12 that can make virtual environments (Debian packs that part apart, pyenv has shims that fail).
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))

$(INSTALLED): requirements.lock pyproject.toml
	@if ! $(BIN)/python -c '$(USABLE)' 2>/dev/null; then \
	  for python in $(PYTHON) python3.12 python3.11 python3 python ''; do \
	    if [ -n "$$python" ] && $$python -c '$(USABLE)' 2>/dev/null; then break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo 'csq needs Python 3.11 or 3.12 with venv: install it (Debian 12: apt install python3.11 python3.11-venv, Ubuntu 24.04: apt install python3.12 python3.12-venv, macOS: brew install python@3.12) and run make again.' >&2; \
	    exit 1; \
	  fi; \
	  $$python -m venv --clear $(VENV); \
	fi
	@echo "Installing into $(VENV) with $$($(BIN)/python -V), once; this takes a minute or two."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

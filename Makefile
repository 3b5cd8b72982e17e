# Everything a developer or CI does. Each target first installs what it needs into .venv, once.
# ARGS is passed on: make test ARGS="-k dedupe", make run ARGS="-c my.yaml", make lock ARGS=--upgrade

.DEFAULT_GOAL := help
.PHONY: help run test test-all check lint types imports generated docs format bench hostile soak lock clean torture drill mutants

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start csq: a simulated shop, or what ARGS="-c my.yaml" names
	@$(BIN)/csq run $(ARGS)

# A file's tests stay together and in order, so what a module has made once is made once. ARGS="-x --pdb" runs in one
# process by itself, ARGS="-n 0" does for whatever else wants the terminal (-s, a debugger).
test: $(INSTALLED) ## Run the tests, side by side; in one process with ARGS="-n 0", as --pdb does by itself
	@$(BIN)/pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: $(INSTALLED) ## Run the tests, the slow ones too, one after the other
	@$(BIN)/pytest $(ARGS)

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
	@$(BIN)/python -m flows.settings.model --check
	@$(BIN)/python -m operators.metrics.catalogue --check docs/metrics.md
	@$(BIN)/csq rules check
	@$(BIN)/python -m grafana.build --check

docs: $(INSTALLED) ## Write the generated files anew
	@$(BIN)/python -m flows.settings.model --write
	@$(BIN)/python -m operators.metrics.catalogue --write docs/metrics.md
	@$(BIN)/csq rules build
	@$(BIN)/python -m grafana.build --write

format: $(INSTALLED) ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: $(INSTALLED) ## Measure speed and memory; also written to bench/latest.json
	@$(BIN)/python -m bench $(ARGS)

hostile: $(INSTALLED) ## A million inputs that want to break it; ARGS="--inputs 200000 --seed 2"
	@$(BIN)/python -m bench.hostile $(ARGS)

soak: $(INSTALLED) ## 20 minutes under load with faults, from a real Kafka; ARGS="--minutes 3 --rate 2000"
	@$(BIN)/python -m bench.soak $(ARGS)

drill: $(INSTALLED) ## Break things, and see who is told, with real servers; ARGS="--only rush --keep logs"
	@$(BIN)/python -m tests.drills $(ARGS)

torture: $(INSTALLED) ## Kill -9 a hundred times at random moments, and compare; ARGS="--processes 2", --exact, --term
	@$(BIN)/python -m tests.torture --kills 100 $(ARGS)

mutants: $(INSTALLED) ## Change the domain in 300 places, and see which changes no test notices; ARGS="--seed 2 --count 50"
	@$(BIN)/python -m tests.mutants $(ARGS)

lock: $(INSTALLED) ## Write requirements.lock from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(BIN)/uv pip compile pyproject.toml --group test --group lint --group build --group grafana --group lock \
	  --python $(BIN)/python --python-version 3.11 --universal --fork-strategy fewest --generate-hashes \
	  --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --quiet --output-file requirements.lock $(ARGS)

clean: ## Remove .venv, caches and what was built or measured; recovery state stays
	@rm -rf $(VENV) build dist bench/latest.json .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
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
	@# pip compiles what it installs unless this is set; River alone would then take four seconds to import, each time
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

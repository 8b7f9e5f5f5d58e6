# Every command a newcomer needs. Python 3.11 or newer, make and a package index are enough: each target first sets up
# what it needs in .venv, and does that work only once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# Compile to bytecode on first import, even where the caller's environment says not to: later runs start faster.
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The mark of a finished set-up. It carries the checkout's path, because an environment that was moved or copied along
# with its checkout still points to the old place.
empty :=
space := $(empty) $(empty)
READY := $(VENV)/ready$(subst /,-,$(subst $(space),_,$(CURDIR)))

# Packages that hold code, for the tools that want to be told.
SOURCES := protocol merchant_server agent_client conformance tests
# Tests and helpers that are checked as strictly as the packages.
TYPED_TESTS := $(wildcard $(addprefix tests/,agent architecture benchmarks catalog crash docs e2e project))

.PHONY: help setup demo test check format conformance bench schemas soak lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r target text; do printf '  %-17s %s\n' "$$target" "$$text"; done

setup: $(READY) ## create .venv with everything that running, testing and benchmarking need

# PYTHON=... chooses the interpreter; otherwise the first of these that works and is new enough.
$(READY): requirements.lock pyproject.toml
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 2; fi; \
	rm -f $(VENV)/ready-*; \
	"$$found" tests/project/environment.py install $(VENV)
	@touch $@

demo: $(READY) ## one whole purchase by an agent, with a transcript
	@$(BIN)/acpref demo

test: $(READY) ## the whole test suite
	$(BIN)/python -m pytest

check: $(READY) ## format, lint, types, architecture rules, schemas are current
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/mypy $(TYPED_TESTS)
	$(BIN)/python -m pytest -q tests/architecture
	$(BIN)/python -m acpref_protocol.schema_build --check
	$(BIN)/python -m acpref_merchant.catalog.schema_build catalogs/schema --check

format: $(READY) ## rewrite the sources as the formatter wants them
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

conformance: ## the conformance suite against the sandbox (not part of this version yet)
	@echo "the conformance suite is not part of this version yet" >&2; exit 2

bench: $(READY) ## benchmarks, as ratios to bare FastAPI in the same run (BENCH=--quick: a tenth of it)
	@$(BIN)/python -m tests.benchmarks.bench $(BENCH)

schemas: $(READY) ## rebuild the JSON Schema documents
	$(BIN)/python -m acpref_protocol.schema_build
	$(BIN)/python -m acpref_merchant.catalog.schema_build catalogs/schema

soak: $(READY) ## the crash and race tests, long
	$(BIN)/python -m pytest -m soak

lock: $(READY) ## pin what pyproject.toml asks for (UPGRADE=--upgrade: the newest versions)
	$(BIN)/python tests/project/environment.py lock $(VENV) $(UPGRADE)

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis .sandbox
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

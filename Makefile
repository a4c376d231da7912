# Needs Python 3.11 or newer with pip, make and git; all else is installed into .venv by the first target that needs it.
# Another Python: PYTHON=python3.12 make test

PYTHON ?= python3
BIN := .venv/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Names the Python it was made with, so another PYTHON makes a new .venv. Inside .venv, so the two cannot disagree.
STAMP := .venv/.set-up-$(VERSION)

.PHONY: help setup demo test check docs bench bench-gpu lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | \
		while read -r name what; do printf '  make %-9s %s\n' "$$name" "$$what"; done

setup: $(STAMP) ## make .venv with the locked dependencies (the other targets do this by themselves)

demo: $(STAMP) ## the whole pipeline on built-in images, offline
	$(BIN)/fna demo

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest

check: $(STAMP) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## write the pages that are generated: docs/configuration.md
	$(BIN)/python -m fna.config_reference docs/configuration.md

bench: $(STAMP) ## time and memory beside references, on this CPU, about 20 minutes (quick look: BENCH_FLAGS=--quick)
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

bench-gpu: $(STAMP) ## the paper's recipes at their own shapes on a CUDA device, at most 8 minutes
	$(BIN)/python -m benchmarks paper --device cuda --minutes 8 --out runs/bench-gpu $(BENCH_FLAGS)

lock: $(STAMP) ## bring requirements.lock in line with pyproject.toml (newest of everything: LOCK_FLAGS=--upgrade)
	$(BIN)/uv pip compile pyproject.toml --extra export --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --quiet $(LOCK_FLAGS) --output-file requirements.lock

clean: ## remove .venv, caches and build output; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# Without a stamp .venv is new, unfinished or another Python's: start from nothing. The stamp goes first and comes back
# last, so a set-up that failed is done again. Some systems ship Python without ensurepip: then pip installs pip.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, but PYTHON=$(PYTHON) is '$(VERSION)': give another" >&2; exit 1; }
	@if test -e $@; then rm $@; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv --clear .venv; \
	else $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install pip; fi
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

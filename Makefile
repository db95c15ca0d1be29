# make demo   set up, embed a few sentences, draw demo/work.png
# make test   set up, lint, run the tests
# make lint   format, lint, types, floors
# make bench  the speed table
# make clean  remove the virtual environment and every cache

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE  := src tests $(wildcard benchmarks examples recipes)

# The first Python 3.11 to 3.13 that runs and can make virtual environments; or: make PYTHON=...
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: setup demo test lint format bench clean
.DEFAULT_GOAL := test

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "relmo needs Python 3.11, 3.12 or 3.13 with the venv module;" \
		"install one or say: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0 hatchling
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

# A process for each core, up to four; a file's tests stay together, as they share fixtures.
test: setup lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: setup
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache --no-logo

format: setup
	$(BIN)/ruff format --quiet $(CODE)
	$(BIN)/ruff check --quiet --fix $(CODE)

bench: setup
	$(BIN)/python -m benchmarks.bench

clean:
	rm -rf $(VENV) demo dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis \
		.import_linter_cache
	find src tests $(wildcard benchmarks examples) -name __pycache__ -type d -prune -exec rm -rf {} +

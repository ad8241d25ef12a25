# The front door. Each target is one line that calls the same command a person would.
# Needs Python 3.11 to 3.13, git and make; everything else is installed into .venv.
BIN := .venv/bin
WORKERS ?= 2
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help up test check long benchmark lock format

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

up: ## install, start everything and serve; ARGS="--port 8100 --empty" are passed on
	@.ci/install serve
	@exec $(BIN)/winward up $(ARGS)

test: ## install what tests need and run all of them; ARGS="-k money" are passed on
	@.ci/install test
	@exec $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow" $(ARGS)

check: ## lint, format, types and the rules of the house
	@.ci/install test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/house

long: ## the slow checks: load, crash points, whole pipelines
	@.ci/install test
	@exec $(BIN)/python -m pytest -q -m slow --timeout 3600 $(ARGS)

benchmark: ## print our speed against bare engines, as ratios
	@.ci/install test
	@exec $(BIN)/python -m benchmarks $(ARGS)

format: ## put the code into the house's form
	@.ci/install test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --upgrade --extra build
lock: ## choose the newest allowed versions and write the lock files (no index addresses)
	@.ci/install serve
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra test pyproject.toml -o requirements-test.lock
	echo uv | $(COMPILE:--extra build=) - -o requirements-bootstrap.lock

# Every target works from a clean clone with make, git and Python 3.11 or newer; `make help` lists them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
LOCKS := runtime local dev

.DEFAULT_GOAL := help
.PHONY: help run demo observe check test faults nightly bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Start the whole product with a demo store; Ctrl-C stops it and keeps the data
	@exec $(BIN)/closeloop up

demo: $(READY) ## Send lifelike traffic to the product that `make run` started
	@exec $(BIN)/closeloop demo

observe: $(READY) ## Prometheus and Alertmanager beside the product that `make run` started
	@exec $(BIN)/closeloop observe

check: $(READY) ## Lint, format, types, architecture, schemas, configuration: what CI runs before the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shared.events.schema --check
	$(BIN)/closeloop config check closeloop.yaml

test: $(READY) ## Every test, on a real Kafka and PostgreSQL; ARGS="..." goes to pytest
	@$(BIN)/python -m deploy.local.class_cache
	$(BIN)/python -m pytest -n auto --durations=10 $(ARGS)

nightly: test faults ## What a night has time for: every test, the long fault journey, the loss of two of three brokers

faults: $(READY) ## The long fault journey: kills and pauses everything while answers come in
	$(BIN)/python -m pytest tests/faults --long -s $(ARGS)

bench: $(READY) ## Benchmarks, side by side with their peers
	$(BIN)/python -m bench $(ARGS)

lock: $(READY) ## Renew requirements/*.txt from the *.in files
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	for name in $(LOCKS); do \
		$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --universal \
			--no-emit-index-url --python-version 3.11 requirements/$$name.in \
			--output-file requirements/$$name.txt || exit 1; \
	done

clean: ## Remove the environment and caches; the data in .closeloop stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Written last, so that an installation that was cut short is done again.
$(READY): requirements/dev.txt pyproject.toml
	@sh deploy/local/make_venv.sh $(VENV)
	@touch $@

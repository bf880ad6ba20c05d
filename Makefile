# Evermuse Ingest. `make help` lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/requirements
# Processes of `make test`. Each has its own servers. They spend much time waiting, so there are more than cores.
PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n > 1 ? 3 : 2)))
# The tests start hundreds of Python processes. Without stored bytecode, each of them would compile the project again.
STORING := env -u PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --require-hashes
# On all cores; pip would use one. A few packages contain templates of Python files that do not compile, which pip skips too.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run demo docs docs-settings test lint types bytecode faults matrix scale-out bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: $(VENV)/local.stamp ## Start the whole stack in the foreground: servers, web, workers, beat, Flower
	@$(BIN)/python -m deploy.docs || echo "The stack starts without new documentation." >&2
	@exec $(BIN)/python -m deploy.local

docs: $(VENV)/local.stamp ## Build the documentation, which the stack serves at /docs/; a broken link is an error
	@exec $(BIN)/python -m deploy.docs

demo: $(VENV)/local.stamp ## Beside a running stack: send sample data and watch it land
	@exec $(BIN)/python -m deploy.local.demo

docs-settings: $(VENV)/local.stamp ## Write the table of settings into the page on configuration
	@exec $(BIN)/python -m deploy.docs_settings

test: $(VENV)/dev.stamp ## Everything that CI runs: lint, types and the tests
	@$(MAKE) --no-print-directory -j 2 lint types bytecode
	$(STORING) $(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

lint: $(VENV)/dev.stamp ## Formatting, lint, import contract, missing migrations, links of the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/python -m deploy.docs

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy .

# Collecting compiles the project and the tests once, instead of once in each process of the tests. What fails here fails there.
bytecode: $(VENV)/dev.stamp
	@$(STORING) $(BIN)/python -m pytest --collect-only -qq -n 0 > /dev/null 2>&1 || true

faults: $(VENV)/dev.stamp ## Every fault against the real stack, and the table (ROUNDS=2 SEED=1 FAULT=parts of names BROKER= POOLER=)
	@exec $(BIN)/python -m tests.journeys

matrix: $(VENV)/dev.stamp ## Journeys and faults over PostgreSQL 16 and 17, Redis, RabbitMQ, PgBouncer, another S3 store (PARTS=names TESTS= FAULT= DEBIAN_ROOT=)
	@exec $(BIN)/python -m tests.matrix

scale-out: $(VENV)/dev.stamp ## Many machines as network namespaces, and a failover under load, and the table (MODES=synchronous,asynchronous MACHINES=few SEED=1 KEEP_LOGS=directory)
	@exec $(BIN)/python -m tests.journeys.scale_out

bench: $(VENV)/dev.stamp ## Benchmarks: ours beside each limit, in one run (ROW=name for one of them)
	@exec $(BIN)/python -m tests.benchmarks $(ROW)

clean: ## Remove the virtual environment (var/ stays)
	rm -rf $(VENV)

# A stamp contains the checksum of its lock. With an unchanged lock nothing is installed, and no network is needed.
$(VENV)/local.stamp: $(LOCKS)/local.txt | $(BIN)/python
	@sum=$$(cksum < $(LOCKS)/local.txt); \
	if [ -f $(VENV)/dev.stamp ] && [ "$$(cat $(VENV)/dev.local 2>/dev/null)" = "$$sum" ]; then echo "$$sum" > $@; exit 0; fi; \
	if [ "$$(cat $@ 2>/dev/null)" = "$$sum" ]; then touch $@; exit 0; fi; \
	$(INSTALL) -r $(LOCKS)/local.txt && { $(COMPILE); echo "$$sum" > $@; }

$(VENV)/dev.stamp: $(LOCKS)/dev.txt $(LOCKS)/local.txt $(LOCKS)/backup.txt | $(BIN)/python
	@sum=$$(cat $(LOCKS)/dev.txt $(LOCKS)/backup.txt | cksum); \
	if [ "$$(cat $@ 2>/dev/null)" = "$$sum" ]; then touch $@; exit 0; fi; \
	$(INSTALL) -r $(LOCKS)/dev.txt && $(INSTALL) --no-deps -r $(LOCKS)/backup.txt && { $(COMPILE); } && \
	cksum < $(LOCKS)/local.txt > $(VENV)/dev.local && echo "$$sum" > $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed: set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	{ rm -rf $(VENV); echo "python3 -m venv failed: install your system's venv package (Debian: python3-venv)" >&2; exit 1; }

# Python 3.11 or newer and make are all it needs. `make help` lists the commands.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/runtime.stamp
DEV := $(VENV)/dev.stamp
DEMO := $(VENV)/demo.stamp
# Beside ours, since other tools pin other versions of what both need.
PEERS := .venv-peers
SOURCES := apps dataplane manifold
CHECKED := $(SOURCES) tests benchmarks manage.py
ARGS ?=
N ?= 10000
# Many containers forbid it: then each process compiles what it imports, and each worker of pytest all the tests, anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo up test test-all lint format docs picture bench bench-peers load faults lock

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(DEMO) ## Start everything with the example pipelines and run them (ARGS=--exit stops when they are done)
	$(BIN)/python -m manifold demo $(ARGS)

up: $(RUNTIME) ## Start an empty instance (ARGS="--port 8500", …)
	$(BIN)/python -m manifold up $(ARGS)

test: $(DEV) $(DEMO) ## What every change must pass: at most 10 minutes on two cores
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not all" $(ARGS)

test-all: $(DEV) $(DEMO) ## What needs more than that: a browser, root, minutes (does not repeat `make test`)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m all --ignore tests/browser $(ARGS)
	$(BIN)/python -m pytest -m all tests/browser $(ARGS)

lint: $(DEV) ## ruff, mypy, import contracts, templates, Dockerfile, migrations, deployment checks
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(SOURCES) tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet $(SOURCES)
	$(BIN)/hadolint Dockerfile
	MANIFOLD_SECRET_KEY=only-for-this-check $(BIN)/python manage.py makemigrations --check --dry-run
	MANIFOLD_HTTPS=true MANIFOLD_SECRET_KEY=$(RANDOM_HEX) MANIFOLD_MASTER_KEY=$(RANDOM_KEY) \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(DEV) ## Rewrite the code the way `make lint` wants it
	$(BIN)/ruff check --fix-only $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

docs: $(DEV) ## Write docs/settings.md, docs/types.md, docs/connectors.md and the table of docs/command.md from the code
	$(BIN)/python -c 'from manifold.environment import as_markdown; print(as_markdown(), end="")' > docs/settings.md
	$(BIN)/python -m manifold.cli.reference docs/command.md
	$(BIN)/python -m tests.dataplane.connectors.round_trips > docs/types.md
	$(BIN)/python -c 'from dataplane.connectors.matrix import as_markdown; print(as_markdown(), end="")' > docs/connectors.md

picture: $(DEV) $(DEMO) ## Take the pictures in docs/images from the running demo (needs Chromium)
	$(BIN)/python -m tests.browser.picture

bench: $(DEV) $(DEMO) ## Measure, and write the results to benchmarks/
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(DEV) $(PEERS)/stamp ## Measure dlt beside the same work, and write benchmarks/peers.md (ARGS="--rounds 3")
	$(BIN)/python -m benchmarks.peers --python $(PEERS)/bin/python $(ARGS)

load: $(DEV) ## Measure pages and API at 100 pipelines, 10,000 runs, 100,000 steps, and write benchmarks/load.md
	$(BIN)/python -m benchmarks.pages $(ARGS)

faults: $(DEV) ## Kill workers N times during runs; may be interrupted and goes on where it was
	$(BIN)/python -m tests.faults --kills $(N) $(ARGS)

RANDOM_HEX = $$($(BIN)/python -c 'import secrets; print(secrets.token_hex(32))')
RANDOM_KEY = $$($(BIN)/python -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())')

lock: $(DEV) ## Renew requirements/*.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra embedded $(LOCK_OPTIONS) -o requirements/runtime.lock
	$(BIN)/uv pip compile pyproject.toml --extra embedded --group dev -c requirements/runtime.lock $(LOCK_OPTIONS) -o requirements/dev.lock

# A lock names no address of any registry, and holds for every platform.
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

# The locks are complete, so pip has nothing to resolve. Compiled on installation: without that imports take three times as long.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --compile -r

$(RUNTIME): requirements/runtime.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Manifold needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) requirements/runtime.lock
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/manifold.pth"
	@printf '#!/bin/sh\nexec "%s/python" -m manifold "$$@"\n' "$(CURDIR)/$(BIN)" > $(BIN)/manifold && chmod +x $(BIN)/manifold
	@$(BIN)/python -m compileall -q $(SOURCES)
	@touch $@

$(DEV): requirements/dev.lock $(RUNTIME)
	$(INSTALL) requirements/dev.lock
	@touch $@

$(DEMO): requirements/demo.txt $(RUNTIME)
	$(INSTALL) requirements/demo.txt --use-pep517
	@touch $@

$(PEERS)/stamp: requirements/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --quiet -r requirements/peers.txt
	@touch $@

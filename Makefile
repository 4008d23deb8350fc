# Needs GNU make, bash and a Python >= 3.11 with its venv module; everything else goes into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
PIP := PYTHONUNBUFFERED=1 $(BIN)/python -m pip --disable-pip-version-check --no-input
SPACE ?= medium
SCENARIO ?= openai-tier1

# The first Python that is new enough and can make environments (Debian keeps ensurepip in python3-venv).
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

.PHONY: run test check lab docs bench bench-peers refresh lock clean help

run: $(READY)  ## replay the medium space with today's settings, tune it, verify, write profiles/medium.env
	$(BIN)/tagspace-lab replay $(SPACE) --scenario $(SCENARIO) --profile default
	$(BIN)/tagspace-lab tune $(SPACE) --scenario $(SCENARIO) -o profiles/$(SPACE).env --force
	$(BIN)/tagspace-lab verify profiles/$(SPACE).env $(SPACE) --scenario $(SCENARIO)

test: check  ## everything that must pass: style, types, tests, notebooks
	$(BIN)/pytest --numprocesses auto --dist loadfile

check: $(READY)  ## style and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lab: $(READY)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

docs: $(READY)  ## build the documents into build/docs
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs build/docs
	@echo 'Built build/docs/index.html'

bench: $(READY)  ## measure speed and memory
	$(BIN)/python -m benchmarks

bench-peers: $(READY)  ## measure other clients beside ours over sockets; makes their environments, then 25 minutes
	$(BIN)/python -m benchmarks.peers

refresh: $(READY)  ## make anew what is committed: the outputs of the notebooks, of README and docs, the pictures
	$(BIN)/jupytext --quiet --to ipynb --update notebooks/*.py
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/python -m benchmarks.refresh

lock: $(READY)  ## pin the newest versions that pyproject.toml allows
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

clean:  ## remove the environments, builds and caches; studies and profiles stay
	rm -rf .venv .venv-peers build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

# An environment that a stopped run left half-made, or whose Python is gone, is made anew.
$(READY): pyproject.toml requirements.lock
	@python='$(PYTHON)'; \
	[[ $$python ]] || { echo 'make: no Python >= 3.11 with its venv module found. On Debian or Ubuntu:' \
		'apt install python3-venv; or name one: make PYTHON=/path/to/python3' >&2; exit 1; }; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Making .venv with $$python"; "$$python" -m venv --clear .venv; fi
	@printf 'Installing %s packages ' "$$(grep -c == requirements.lock)"
	@$(PIP) install --no-compile --requirement requirements.lock | \
		while read -r word _; do case $$word in Collecting) printf . ;; esac; done; echo
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

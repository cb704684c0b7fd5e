# make demo   its own environment, then the pocket experiment and its leaderboard; with ALLOW_WEAK=1 also where
#             programs cannot be isolated fully (assay doctor says why)
# make test   its own environment, then every test
# make check  lint, format, types
# make bench  performance against others, interleaved
# make hot    our own hot paths, beside the last time they were timed here
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.PHONY: help demo test check bench hot install

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# llama.cpp, built portably: its default build crashes on CPUs with AMX when it loads quantised models. Its
# "common" library and its vision part are never loaded from Python; leaving them out halves the build.
LLAMA_HOOK := $(CURDIR)/$(VENV)/llama.cmake
LLAMA_ARGS := -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(LLAMA_HOOK)
NINJA_STEPS := awk 'match($$0, /\[[0-9]+\/[0-9]+\]/) { printf "\r  building llama.cpp %s", substr($$0, RSTART, RLENGTH) \
	> "/dev/stderr"; seen = 1; next } /rror/ { print } END { if (seen) print "" > "/dev/stderr" }'

help:
	@sed -n 's/^# //p' Makefile | head -6

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Assay needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@echo 'set(LLAMA_BUILD_COMMON OFF)' > $(LLAMA_HOOK)
	@echo "[1/3] torch (hundreds of megabytes)"
	@$(PIP) install -q -c constraints.txt torch
	@echo "[2/3] llama.cpp, compiled here: two minutes on two cores, seconds when pip has it cached"
	@CMAKE_ARGS="$(LLAMA_ARGS)" $(PIP) install -v -c constraints.txt llama-cpp-python 2>&1 | $(NINJA_STEPS)
	@echo "[3/3] Assay and the rest"
	@$(PIP) install -q -c constraints.txt -e '.[all]'
	@touch $@

demo: install
	$(BIN)/assay run suites/labs/pocket.toml $(if $(ALLOW_WEAK),--allow-weak)

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m assay.harness.cli.reference --check

bench: install
	$(BIN)/python -m benchmarks.sandbox
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.packing
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.train_overhead
	$(BIN)/python -m benchmarks.ppo_execution
	$(BIN)/python -m benchmarks.report_size

# Saved by commit under .benchmarks/; the first run has nothing to be compared with.
hot: install
	$(BIN)/python -m pytest benchmarks/hot --benchmark-autosave \
		$(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

# make demo         its own environment, then the pocket experiment and its leaderboard; with ALLOW_WEAK=1 also where
#                   programs cannot be isolated fully (assay doctor says why)
# make test         its own environment, then every test that is quick
# make test-slow    the tests that are not: with make check and make test all that CI runs
# make conformance  whole replays and long sweeps, outside CI; their data lie in ../shared/data or they are skipped
# make test-pythons the light core and the attack corpus on other interpreters: python3.12, python3.13, ASSAY_PYTHONS
# make check        lint, format, types
# make bench        performance against others, interleaved
# make hot          our own hot paths, beside the last time they were timed here
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-pythons conformance check bench hot install

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# llama.cpp, built portably: its default build crashes on CPUs with AMX when it loads quantised models. Its
# "common" library and its vision part are never loaded from Python; leaving them out halves the build. What reads
# files and builds graphs (the library "llama") is compiled with -O1, which changes no speed that matters and saves a
# third of the rest; the kernels (the libraries "ggml") keep -O3. It is compiled while pip fetches everything else.
LLAMA_HOOK := $(CURDIR)/$(VENV)/llama.cmake
LLAMA_LOG := $(VENV)/llama.log
LLAMA_ARGS := -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(LLAMA_HOOK)
LLAMA_STEP = grep -o '\[[0-9]*/[0-9]*\]' $(LLAMA_LOG) | tail -n 1

help:
	@sed -n 's/^# //p;/^SHELL/q' Makefile

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Assay needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@printf '%s\n' 'set(LLAMA_BUILD_COMMON OFF)' \
		'cmake_language(DEFER CALL target_compile_options llama PRIVATE -O1)' > $(LLAMA_HOOK)
	@echo "[1/2] torch and the other packages (hundreds of megabytes), while llama.cpp is compiled"
	@CMAKE_ARGS="$(LLAMA_ARGS)" $(PIP) wheel -v --no-deps -c constraints.txt -w $(VENV)/wheels llama-cpp-python \
		> $(LLAMA_LOG) 2>&1 & llama=$$!; trap "kill $$llama 2> /dev/null || true" EXIT; \
	$(PIP) install -q -c constraints.txt torch; \
	$(PIP) install -q -c constraints.txt -e '.[train,gpu,serve,dev]'; \
	echo "[2/2] llama.cpp"; \
	while kill -0 $$llama 2> /dev/null; do \
		if [ -t 2 ]; then printf '\r  compiled %s ' "$$($(LLAMA_STEP))" >&2; fi; sleep 1; done; \
	if ! wait $$llama; then grep -i error $(LLAMA_LOG) || tail -n 20 $(LLAMA_LOG); exit 1; fi
	@$(PIP) install -q -c constraints.txt --find-links $(VENV)/wheels -e '.[all]'
	@touch $@

demo: install
	$(BIN)/assay run suites/labs/pocket.toml $(if $(ALLOW_WEAK),--allow-weak)

test: install
	$(BIN)/python -m pytest -m "not slow and not conformance"

test-slow: install
	$(BIN)/python -m pytest -m "slow and not conformance"

conformance: install
	$(BIN)/python -m pytest -m conformance

test-pythons: install
	$(BIN)/python -m tests.pythons

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m assay.harness.cli.reference --check

bench: install
	$(BIN)/python -m benchmarks.sandbox
	$(BIN)/python -m benchmarks.sandbox_prices
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.packing
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.train_overhead
	$(BIN)/python -m benchmarks.ppo_execution
	$(BIN)/python -m benchmarks.report_size
	$(BIN)/python -m benchmarks.board

# Saved by commit under .benchmarks/; the first run has nothing to be compared with.
hot: install
	$(BIN)/python -m pytest benchmarks/hot --benchmark-autosave \
		$(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

# make demo: set up, run the daemon on the example job, leave a video in outbox/.
# make test: set up, run the tests. make quick: those that start no process and load no model. make check: ruff, mypy, import contracts.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
STAMP := $(VENV)/.setup
DEV := $(VENV)/.setup-dev
TORCH := $(VENV)/.setup-torch

.PHONY: help setup dev demo demo-ui run test quick check bench docs lock clean install upgrade uninstall

help:
	@sed -n 's/^# //p' Makefile | head -2

setup: $(STAMP)
dev: $(DEV) $(TORCH)

# pip compiles all of ten thousand modules, Python only those that it imports, when it first does. Where it may not keep them, pip does it.
COMPILE = PIP_COMPILE=$(if $(PYTHONDONTWRITEBYTECODE),1,0)

$(STAMP): requirements.lock pyproject.toml tools/setup.sh
	@$(COMPILE) tools/setup.sh "$(PYTHON)" $(VENV) requirements.lock
	@touch $@

$(DEV): $(STAMP) requirements-dev.lock
	@$(COMPILE) $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# TORCH_BUILD=gpu: torch for GPUs, to develop on a machine that has one. See tools/extras.sh. The stamp names the build that is there,
# which stays until the other one is asked for.
THERE := $(or $(shell cat $(TORCH) 2>/dev/null),cpu)
TORCH_BUILD ?= $(THERE)
ifneq ($(TORCH_BUILD),$(THERE))
.PHONY: $(TORCH)
endif
EXTRAS := musetalk xtts generate languages japanese fonts transcribe whisper api mcp ray

$(TORCH): $(STAMP) $(foreach name,$(EXTRAS) torch torch-cpu torch-needs,requirements-$(name).lock) tools/extras.sh
	@$(COMPILE) tools/extras.sh $(VENV)/bin/pip $(TORCH_BUILD) $(EXTRAS)
	@echo $(TORCH_BUILD) >$@

demo: $(STAMP)
	@$(VENV)/bin/python tools/demo.py

# The same with the page: it stays until Ctrl-C.
demo-ui: $(STAMP)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-api.lock
	@$(VENV)/bin/python tools/demo_ui.py

run: $(STAMP)
	@$(VENV)/bin/avatar run

# Many tests wait for a daemon, so two more run than there are processors.
TEST_PROCESSES ?= $(shell echo $$(($$(nproc) + 2)))

# Some containers forbid Python to keep compiled modules. Here hundreds of processes start, and each would compile all again.
test quick: export PYTHONDONTWRITEBYTECODE =

# Tests have their folders in memory, where that has room (in KiB): on a disk they wait for it much of the time. CI, which repeats more
# (AVATAR_ENDURANCE), runs them on the disk. What a test leaves goes with it, unless it fails.
in_memory = $(shell test "$$(df -k --output=avail /dev/shm 2>&1 | tail -1)" -gt $(1) && echo /dev/shm)
quick: export PYTEST_DEBUG_TEMPROOT = $(call in_memory,1000000)
test: export PYTEST_DEBUG_TEMPROOT = $(if $(AVATAR_ENDURANCE),,$(call in_memory,4000000))

test: $(DEV) $(TORCH)
	@$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) -o tmp_path_retention_policy=failed

# The tests that start no process (no daemon, no ffmpeg) and load no model.
quick: $(DEV) $(TORCH)
	@$(VENV)/bin/python -m pytest -n $(shell nproc) -m quick -o tmp_path_retention_policy=failed

check: $(DEV) $(TORCH)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/python tools/docs.py --check
	@$(VENV)/bin/python tools/dashboards.py --check

bench: $(DEV)
	@$(VENV)/bin/python -m benchmarks.speed.pipeline

docs: $(DEV)
	@$(VENV)/bin/python tools/docs.py
	@$(VENV)/bin/python tools/dashboards.py

# As root, under systemd. OPTIONS=--cpu-only, OPTIONS=--purge: see tools/install.sh.
install upgrade uninstall:
	@tools/install.sh $@ $(OPTIONS)

# OPTIONS=--upgrade, OPTIONS="--upgrade-package NAME": newer versions, where pyproject.toml names none. See tools/lock.sh.
lock:
	@tools/lock.sh "$(PYTHON)" $(OPTIONS)

clean:
	rm -rf $(VENV)

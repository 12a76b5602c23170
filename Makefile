# Plain `make` prints help. The two that matter are `make run` and `make test`.
#
# Everything happens in one virtual environment: the active one, else .venv here, which is made when it is missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),$(CURDIR)/.venv)
BIN := $(VENV)/bin
# What stands for "installed there": by the environment's path, since it may be another one next time.
STAMPS := build/stamps$(VENV)
SOURCES := setup.py pyproject.toml $(shell find csrc schemas -name '*.[ch]' -o -name '*.py' -o -name '*.json')
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: help
help: ## show this
	@printf 'ocirt, an OCI container runtime. What make can do here:\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  make \1 ## \2/p' $(MAKEFILE_LIST) | \
		while IFS= read -r line; do printf '%-20s%s\n' "$${line%% ##*}" "$${line##*## }"; done
	@printf '\nIn the environment $(VENV)\n'

.PHONY: run
run: packages-busybox $(STAMPS)/ocirt ## install what is missing, and show in a few containers what ocirt does (as root)
	@$(BIN)/python demo/run.py $(BIN)/ocirt

.PHONY: test
test: packages-tests $(STAMPS)/tests ## run every test; as root, since most make containers. ARGS="-k word" for some
	@$(BIN)/pytest $(ARGS)

.PHONY: test-unit
test-unit: packages $(STAMPS)/tests ## run the tests that need no root
	@$(BIN)/pytest tests/unit tests/plan $(ARGS)

.PHONY: test-vm
test-vm: packages-tests $(VENV)/pyvenv.cfg ## run the tests that need systemd, cgroup v2 alone and AppArmor, in a guest (as root). ARGS as above
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	@tests/vm/test.sh $(BIN)/python $(ARGS)

.PHONY: test-engines
test-engines: packages-engines $(STAMPS)/tests ## install podman, buildah, containerd and docker, and run the tests below them (as root). ARGS as above
	@$(BIN)/pytest tests/engines $(ARGS)

.PHONY: lint
lint: packages $(STAMPS)/tests ## check style and types: ruff, mypy, clang-format, codespell, and what else the house tests say
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/unit/test_house_*.py

.PHONY: format
format: $(STAMPS)/tests ## bring Python and C into the form that lint wants
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@$(BIN)/clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: bench
bench: packages-busybox $(STAMPS)/ocirt ## measure ocirt beside the runc and crun that are installed (as root)
	@PATH="$(BIN):$$PATH" $(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: man
man: $(STAMPS)/ocirt ## write docs/man again from the tables behind --help
	@$(BIN)/python docs/man/generate.py

.PHONY: completions
completions: $(STAMPS)/ocirt ## write completions/share again from the same tables
	@$(BIN)/python completions/generate_completions.py

.PHONY: install
install: $(STAMPS)/ocirt ## install ocirt into the environment, from this tree

.PHONY: clean
clean: ## remove everything that was built here, and .venv
	rm -rf build dist .venv ocirt.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis ocirt/schemas
	rm -f ocirt/ocirt-init ocirt/ocirt-python ocirt/modules.archive ocirt/config/_validator.py ocirt/_shim.c ocirt/_seccomp.c ocirt/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: packages packages-busybox packages-tests packages-engines
packages:
	@packaging/debian.sh $(PYTHON)
packages-busybox:
	@packaging/debian.sh $(PYTHON) busybox
packages-tests:
	@packaging/debian.sh $(PYTHON) busybox tests
packages-engines:
	@packaging/debian.sh $(PYTHON) busybox tests engines

$(VENV)/pyvenv.cfg: | packages
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(STAMPS)/ocirt: $(SOURCES) $(VENV)/pyvenv.cfg
	@echo "Building ocirt, and installing it into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	@$(PIP) install --editable .
	@mkdir -p $(@D) && touch $@

$(STAMPS)/tests: $(STAMPS)/ocirt
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) install --editable '.[test,lint]'
	@mkdir -p $(@D) && touch $@

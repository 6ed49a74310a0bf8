# `make` lists the targets. Each one first builds its environment when that is missing or out of date.
PYTHON ?= python3
JOBS ?= 2
# Exact versions; empty: the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
# Another interpreter and other versions get environments of their own: .venv-3.13, .venv-newest, .venv-oldest
VERSION := $(if $(filter-out python3,$(PYTHON)),-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
VERSIONS := $(if $(CONSTRAINTS),$(patsubst constraints%.txt,%,$(CONSTRAINTS)),-newest)
VENV ?= .venv$(VERSION)$(VERSIONS)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS))
# One thread for each worker: two workers that both ask for every core wait for each other.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo lint test test-fast test-browser test-newest test-oldest lab notebooks train zoo figures site bench clean

help:  ## list all targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / {printf "  make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(INSTALLED)  ## build .venv: the package and everything its tests need (PYTHON=python3.12 picks an interpreter)

# torchvision goes into a folder that only the tests look into: beside a torch of another build it fails on import, and
# takes with it whatever imports it when it is there.
# The constraints make torch exact from the first step: an open range may fetch gigabytes that a CPU does not need.
$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) -e ".[test]"
	$(PIP) --no-deps --target $(VENV)/vision --upgrade torchvision torch-fidelity
	@touch $@

demo: env  ## a person in new poses and clothes, drawn by the shipped model into build/demo
	$(BIN)/nted-lite demo

lint: env  ## ruff, on modules and notebooks
	$(BIN)/ruff check .

test: lint  ## lint, then every test; those in a browser need chromium
	$(PYTEST)

test-fast: env  ## the tests that take seconds, in less than a minute: for every change
	$(PYTEST) -m "not slow and not browser"

test-browser: env  ## the tests that drive notebooks in a browser
	$(PYTEST) -m browser

test-newest:  ## test, with the newest versions that pyproject.toml allows, in an environment of its own (6 GB)
	$(MAKE) test CONSTRAINTS=

test-oldest:  ## test-fast, with the oldest versions that pyproject.toml allows, in an environment of its own (6 GB)
	$(MAKE) test-fast CONSTRAINTS=constraints-oldest.txt

lab: env  ## open the course in JupyterLab
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

# On one thread sums are taken in one order, so a machine with more cores draws the same pixels.
notebooks: env  ## execute every notebook again and normalise what is saved
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/make.py

train: env  ## train the small model into build/train (go on with: .venv/bin/nted-lite train --out build/train --resume)
	$(BIN)/nted-lite train --preset people-64 --out build/train

zoo: env  ## train everything that ships, most important first; resumes what was interrupted
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python checkpoints/train.py

figures: env  ## draw every picture of the README and the book
	$(BIN)/python figures/make.py

site: env  ## build the book and the page Play into build/site (needs npm)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python site/build.py

bench: env  ## speed against slow reference implementations, into benchmarks/ (the other files there are run by hand)
	@mkdir -p build
	@for run in people.py pose.py step.py; do \
		$(BIN)/python benchmarks/$$run || exit 1; echo; \
	done > build/results.txt
	@mv build/results.txt benchmarks/results.txt
	@cat benchmarks/results.txt
	$(BIN)/python benchmarks/attention.py

clean:  ## remove the environments, build with your trainings, and the caches
	rm -rf .venv .venv-* build .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

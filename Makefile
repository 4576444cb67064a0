# make demo    a running mail system in a throw-away directory, with two users and a first message
# make test    linters, type checker and all tests; gets the peers that the tests talk to from Debian packages
# make test-thunderbird   the tests with Thunderbird, which are no part of the others: its packages take 350 MB
# make venv    .venv with the suite and its commands in it
# make bench   this suite against Postfix, in one run

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.complete

.PHONY: venv demo test test-thunderbird lint peers bench clean

venv: $(STAMP)

$(STAMP): requirements.txt pyproject.toml .ci/venv
	PYTHON=$(PYTHON) sh .ci/venv $(VENV)
	touch $@

demo: venv
	$(VENV)/bin/pillarbox demo

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Needs nothing of the environment, so that both can be made at the same time.
peers:
	$(PYTHON) -m tests.peers install

# Environment and linters take one core, the peers another, until the tests need them.
# Files go to the processes in the order of tests/conftest.py: what takes long comes first.  More than half of it is
# waiting, for programs that start and for time-outs, so that each core can do two at a time.
# What fails beside other tests on a busy machine is run once more by itself; a fault of the code fails again.
test:
	$(MAKE) --jobs=2 --output-sync=target --no-print-directory lint peers
	$(VENV)/bin/pytest -n $$(($$(nproc) * 2)) --dist loadfile --no-loadscope-reorder --timeout 300 || $(VENV)/bin/pytest --last-failed --last-failed-no-failures none --timeout 300

test-thunderbird: venv
	$(VENV)/bin/python -m tests.peers install thunderbird
	PILLARBOX_THUNDERBIRD=1 $(VENV)/bin/pytest -n 0 --timeout 300 tests/clients/test_thunderbird.py

bench: venv peers
	$(VENV)/bin/python -m bench

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

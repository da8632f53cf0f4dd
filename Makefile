# make demo   translates, trains, evaluates and searches the generated world; leaves demo/
# make test   lint, types and tests, what the continuous integration runs
# make interop tests what needs a cluster or other libraries, and adds Ray, mteb and MCP to .venv
# All build .venv once and reuse it until pyproject.toml or constraints.txt changes.

PYTHON ?= python3
# Test processes; each computes on one thread (tests/conftest.py).
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed
APERTIUM := apertium apertium-eng-spa apertium-es-pt apertium-eng-cat

.PHONY: demo test lint types pytest interop system clean
# The summary of pytest stands last, also under make -j.
.NOTPARALLEL:

demo: $(STAMP)
	$(BIN)/dragoman demo --out demo

test: lint types pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

pytest: $(STAMP) system
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

interop: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ray,mteb,mcp]'
	DRAGOMAN_INTEROP=1 $(BIN)/python -m pytest tests/interop

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make test PYTHON=python3.12"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || \
	  { echo "Python could not make .venv; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

# The tests of the Apertium engine and of the web page need the real programs. Without root they are skipped,
# with this reason.
system:
	@if command -v chromium >/dev/null; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium || \
	    echo "Chromium could not be installed; the tests of the page will be skipped."; \
	else \
	  echo "Chromium is missing; the tests of the page will be skipped. Install it: sudo apt-get install chromium"; \
	fi
	@if test "$$(apertium -l 2>/dev/null | grep -cxE ' *(eng-spa|es-pt|eng-cat)')" = 3; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(APERTIUM) || \
	    echo "Apertium could not be installed; its tests will be skipped."; \
	else \
	  echo "Apertium is missing; its tests will be skipped. Install it: sudo apt-get install $(APERTIUM)"; \
	fi

clean:
	rm -rf .venv demo build dist src/*.egg-info

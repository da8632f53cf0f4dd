# make demo   translates, trains, evaluates and searches the generated world; leaves demo/
# make test   lint, types and tests, what the continuous integration runs
# Both build .venv once and reuse it until pyproject.toml or constraints.txt changes.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint types pytest system clean

demo: $(STAMP)
	$(BIN)/dragoman demo --out demo

test: lint types pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

pytest: $(STAMP) system
	$(BIN)/python -m pytest

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make test PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	touch $@

# The tests of the Apertium engine need the real program. Without root they are skipped, with this reason.
system:
	@if command -v apertium >/dev/null && test -d /usr/share/apertium/apertium-eng-cat; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq $(APERTIUM); \
	else \
	  echo "Apertium is missing; its tests will be skipped. Install it: sudo apt-get install $(APERTIUM)"; \
	fi

APERTIUM := apertium apertium-eng-spa apertium-es-pt apertium-eng-cat

clean:
	rm -rf .venv demo build dist src/*.egg-info

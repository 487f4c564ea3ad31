# Every target sets up what it needs in the project's own .venv; a second call is instant.
# Needs Python >= 3.11, git and make.

VENV := .venv
RUN := $(VENV)/bin
FILES ?=

# One BLAS thread: the arrays are small and the workers many.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs docs-pictures browser clean

help:
	@echo "make demo    run a real sweep (about a minute) and open the dashboard"
	@echo "make test    run every test (FILES=tests/test_record.py for one file)"
	@echo "make lint    check style, types and the direction of imports"
	@echo "make format  put the code into the project's style"
	@echo "make bench   time gradscope against torch, JAX and autograd (the first two where they are installed)"
	@echo "make docs    write the pages that come from the code, run the examples, check the links"
	@echo "make docs-pictures  draw the pictures of the pages of probes anew, in an installed Chromium"
	@echo "make clean   remove everything that make made, .venv included"

demo: $(VENV)/demo.stamp
	$(RUN)/gradscope demo

test: $(VENV)/test.stamp browser
	$(RUN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(FILES)

lint: $(VENV)/lint.stamp
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	@rm -rf build/layers
	@$(RUN)/python -W ignore -c "from setuptools import setup; setup()" -q build_py --build-lib build/layers
	cd build/layers && ../../$(RUN)/lint-imports --config ../../pyproject.toml --no-logo

format: $(VENV)/lint.stamp
	$(RUN)/ruff check --fix
	$(RUN)/ruff format

bench: $(VENV)/test.stamp
	$(RUN)/python -m benchmarks

docs: $(VENV)/test.stamp
	$(RUN)/python docs/write_pages.py
	$(RUN)/pytest tests/test_docs.py

docs-pictures: $(VENV)/test.stamp browser
	$(RUN)/python docs/draw_pictures.py

# Browser tests drive the system's Chromium; without it they are skipped, and say so.
browser:
	@sh tests/install_chromium.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/python.stamp:
	@set -e; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "gradscope needs Python >= 3.11, and none was found. Install one, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; \
	fi; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$($$python --version) has no venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@touch $@

# setuptools warns that a folder named like the package may be imported first: it is the same folder.
$(VENV)/demo.stamp: EXTRA := all
$(VENV)/test.stamp: EXTRA := test
$(VENV)/lint.stamp: EXTRA := lint
$(VENV)/%.stamp: $(VENV)/python.stamp pyproject.toml
	@echo "Installing gradscope[$(EXTRA)] into $(VENV) (a minute or two, once)"
	@PYTHONWARNINGS="ignore:Editable installation" $(RUN)/python -m pip install -q -e '.[$(EXTRA)]'
	@touch $@

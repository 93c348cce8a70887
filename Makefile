# make repro: reports in, adapter and metrics/final.json out. make help: the rest. Needs Python 3.11+, git and make.

VENV ?= .venv
# The first that is new enough; another: make PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
# Without a GPU, PyTorch's CPU builds are 20 times smaller to download: make TORCH_INDEX_URL=<address>, the address that
# PyTorch's install page shows after --index-url for pip, your system and CPU. It is asked beside the usual index, not instead.
TORCH_INDEX_URL ?=

BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed-$(shell cat constraints.txt pyproject.toml | git hash-object --stdin)
# Stages run `python -m stages...` in a shell of their own and find the environment by PATH.
RUN := PATH="$(BIN):$$PATH" PYTHONUNBUFFERED=1

.DEFAULT_GOAL := help
.PHONY: help env repro test lint types docs site

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1	/p' $(MAKEFILE_LIST)

repro: env  ## the whole pipeline: what is up to date is not run again; ends with the table of results
	$(RUN) dvc repro
	@$(RUN) raddistill results

test: env  ## the tests
	@$(RUN) .ci/test

lint: env  ## ruff over all Python of the repository: rules, and format (ruff format . mends the latter)
	$(RUN) ruff check .
	$(RUN) ruff format --check .

# Three checks of mypy are off for tests: a test that gets None or another type than it expects fails when it runs.
types: env  ## mypy: strict over src and stages, without three checks over tests and benchmarks
	$(RUN) mypy --strict src stages
	$(RUN) mypy --disable-error-code arg-type --disable-error-code operator --disable-error-code union-attr tests benchmarks

docs: env  ## docs/cli.md from the commands' --help, docs/results.md from metrics/
	$(RUN) typer raddistill.cli utils docs --name raddistill --title "Command line" --output docs/cli.md
	$(RUN) raddistill results --page > docs/results.md

site: env  ## the documents as a site in site/, which needs no network: open site/index.html
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict  # with --quiet it would not be strict

env: $(INSTALLED)  ## .venv with the versions of constraints.txt; made anew when these or pyproject.toml change

$(INSTALLED):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is `$(PYTHON) -V 2>&1`, Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Installing into $(VENV) with `$(PYTHON) -V`; once, some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet `grep '^pip==' constraints.txt`
	$(BIN)/python -m pip install --constraint constraints.txt --build-constraint constraints.txt \
		$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) --editable . --group dev
	@rm -f $(VENV)/.installed-*
	@touch $@

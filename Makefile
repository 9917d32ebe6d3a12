# Every target is one or two lines that call a script in ci/. `make help` lists the targets.
PYTHON_ENV := .venv/bin/python

.PHONY: help setup book check test reproduce status serve outputs colab address clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' Makefile

setup: ## create .venv with everything that is needed (a second call installs nothing)
	@sh ci/setup.sh

book: setup ## execute the chapters (profile quick) and build _build/html/index.html
	@$(PYTHON_ENV) ci/execute.py
	@$(PYTHON_ENV) ci/build.py

check: setup ## run the fast checks: format, lint, types, unit tests without chapters and browser
	@$(PYTHON_ENV) ci/check.py

test: setup ## run everything: the unit tests, the chapters, and the checks of the built book
	@$(PYTHON_ENV) ci/test.py

TABLE ?= all
SCALE ?= tiny
reproduce: setup ## run the missing runs of the paper's tables: make reproduce TABLE=position SCALE=tiny
	@$(PYTHON_ENV) -m astlib.cli reproduce $(TABLE) --scale $(SCALE)

status: setup ## write the tables of the status page and draw their figures into _build/figures
	@$(PYTHON_ENV) ci/status.py _build/figures

serve: ## show the built book at http://127.0.0.1:8000/
	@test -f _build/html/index.html || { echo "error: there is no built book yet; run make book" >&2; exit 1; }
	@$(PYTHON_ENV) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

outputs: setup ## store the outputs of the checked cells in notebooks/, strip everything else
	@$(PYTHON_ENV) ci/outputs.py

colab: setup ## run every chapter as in Colab: alone, astlib from a wheel (in an environment of its own)
	@$(PYTHON_ENV) ci/colab.py

address: setup ## set the repository's address in all files: make address REPO=owner/name TAG=v0.1.0
	@$(PYTHON_ENV) ci/address.py $(REPO) $(TAG)

clean: ## remove everything that was built (.venv stays)
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis

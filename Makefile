# `make demo` renders the sample, `make test` runs every check. Needs python3 >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo-ready
DEV := $(VENV)/.dev-ready
SONIC := .venv-sonic
SONIC_BIN := $(SONIC)/bin
SONIC_READY := $(SONIC)/.ready
BENCH := .venv-bench
BENCH_BIN := $(BENCH)/bin
BENCH_READY := $(BENCH)/.ready
REDIS := $(BENCH)/opt/redis
PROMETHEUS := $(VENV)/opt/prometheus
CHROMIUM := $(VENV)/opt/chromium
SBOM := .venv-sbom

.PHONY: help setup setup-dev setup-projection setup-sonic demo test test-long coverage test-page test-runtime test-services test-rest test-others test-sonic test-pythons test-short lint lint-style lint-types lint-sonic format chaos chaos-breaks fuzz licences sbom audit soak chart docs docs-links up down clean requirements requirements-images images images-base images-infra images-test pods autoscale-demo bench setup-bench

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEMO) ## Create the environment and download the broker's jars; later runs need no network

setup-dev: $(DEV) ## setup, and what tests and lint need

# Without ensurepip (Debian: python3-venv) the command leaves an incomplete environment, which make would take for done.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lipstage needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The project runs from its checkout: a .pth file makes it importable, and the launcher script puts it before any other
# package named `shared`.
$(DEMO): requirements/demo.txt Makefile shared/local/kafka-jars.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements/demo.txt
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "lipstage.pth").write_text("$(CURDIR)\n")'
	printf '#!%s\nimport sys\nsys.path.insert(0, "%s")\nfrom shared.cli.main import main\nsys.exit(main())\n' \
	  '$(CURDIR)/$(BIN)/python' '$(CURDIR)' > $(BIN)/lipstage
	chmod +x $(BIN)/lipstage
	$(BIN)/python -m shared.local.jars
	touch $@

$(DEV): $(DEMO) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements/dev.txt
	touch $@

setup-projection: setup ## Install what `lipstage up --scale projection=1` needs: faust, 32 MB
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements/projection.txt

setup-sonic: $(SONIC_READY) ## Create the environment of the sonic engine: torch, 5 to 6 GB on Linux

# Separate from the other environment, which stays small and without torch.
$(SONIC_BIN)/python:
	$(PYTHON) -m venv $(SONIC) || { rm -rf $(SONIC); exit 1; }

$(SONIC_READY): requirements/sonic-dev.txt | $(SONIC_BIN)/python
	$(SONIC_BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements/sonic-dev.txt
	$(SONIC_BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "lipstage.pth").write_text("$(CURDIR)\n")'
	touch $@

setup-bench: $(BENCH_READY) $(REDIS)/usr/bin/redis-server ## Create the environment of the peers that bench.peers compares with: celery, dramatiq, faust

# Separate from the other environment: nothing of lipstage needs these packages.
$(BENCH_BIN)/python:
	$(PYTHON) -m venv $(BENCH) || { rm -rf $(BENCH); exit 1; }

$(BENCH_READY): requirements/bench.txt | $(BENCH_BIN)/python
	$(BENCH_BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements/bench.txt
	$(BENCH_BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "lipstage.pth").write_text("$(CURDIR)\n")'
	touch $@

# Debian's packages, unpacked and not installed, as Prometheus below; elsewhere the one on PATH.
REDIS_PACKAGES := redis-server redis-tools liblzf1 libjemalloc2

$(REDIS)/usr/bin/redis-server:
	@if command -v redis-server >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "no redis-server: install it for bench.peers"; exit 0; fi; \
	folder=$$(mktemp -d) && cd $$folder && \
	{ [ "$$(id -u)" != 0 ] || apt-get update -qq; } && \
	apt-get download -qq -o APT::Sandbox::User=root $(REDIS_PACKAGES) && mkdir -p "$(CURDIR)/$(REDIS)" && \
	for package in *.deb; do dpkg-deb -x "$$package" "$(CURDIR)/$(REDIS)"; done \
	  || echo "no redis-server: install it for bench.peers"; rm -rf "$$folder"

demo: setup ## Render the sample to out/demo.mp4
	$(BIN)/lipstage demo

up: setup ## Start the local stack with its services
	$(BIN)/lipstage up

down: ## Stop the local stack
	$(BIN)/lipstage down

lint: lint-style lint-types lint-sonic ## Check style, types and import rules

lint-style: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

lint-types: setup-dev
	$(BIN)/mypy

lint-sonic: setup-sonic ## Check types of the sonic engine in its environment
	$(SONIC_BIN)/python -m mypy $$(find stages/infer/sonic bench/sonic -name '*.py')

format: setup-dev ## Apply formatting and safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Most tests wait for a broker or a process, so three parts at a time, each with a broker of its own, keep two cores busy.
# What they need is made before: a part that waits for it would give its turn away. A test whose part of `make test` is a
# short form has a long one: make test-long.
test: ## Lint, every test with a real broker and object store, the short suite on other Pythons
	@$(MAKE) --no-print-directory -j2 setup-dev setup-sonic $(PROMETHEUS)/promtool $(CHROMIUM)/chromium
	@$(MAKE) --no-print-directory -j2 lint
	@$(MAKE) --no-print-directory -j3 test-runtime test-services test-rest test-others

# The page has a target of its own, test-page.
test-long: setup-dev setup-sonic ## Run the long forms of tests that make test leaves out: the story of a bad day, the largest pictures, Java
	$(BIN)/python -m pytest -m slow --ignore=tests/gateway/page

# Not part of `make test`: to measure takes half as much CPU again in every process that a test starts.
coverage: setup-dev ## Run the tests of this environment again, and print which lines none of them reaches
	rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory -j2 COVERAGE="--cov=shared --cov=stages --cov-report=" test-runtime test-services test-rest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

test-others: test-sonic
	@$(MAKE) --no-print-directory test-pythons OURS=skip

RUNTIME := tests/runtime tests/relay tests/groups tests/storage tests/chaos tests/pipeline
SERVICES := tests/client tests/projection tests/cli tests/gateway
# A folder for temporary files of its own, since tests look for what others leave there; whole lines, since three of
# these write at a time; the folder stays after a failure. Real processes are killed and frozen here while others work: a
# test that fails is repeated once, three of them in each part at the most, and its traceback is printed all the same.
PYTEST = d=$$(mktemp -d) && TMPDIR=$$d COVERAGE_FILE=.coverage.$@ $(BIN)/python -m pytest \
  --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks $(COVERAGE) $(1) 2>&1 | grep --line-buffered '' && rm -rf $$d

test-runtime test-services test-rest: SHELL := bash
test-runtime test-services test-rest: .SHELLFLAGS := -o pipefail -c

# The pipeline tests run the sonic engine as well: its service starts in its own environment.
test-runtime test-services test-rest: setup-dev setup-sonic $(PROMETHEUS)/promtool $(CHROMIUM)/chromium

TOOLS_PATH = PATH="$(CURDIR)/$(PROMETHEUS):$(CURDIR)/$(CHROMIUM):$$PATH"

test-runtime:
	@$(TOOLS_PATH); $(call PYTEST,$(RUNTIME))

test-services:
	@$(TOOLS_PATH); $(call PYTEST,$(SERVICES))

test-rest:
	@$(TOOLS_PATH); $(call PYTEST,$(addprefix --ignore=,$(RUNTIME) $(SERVICES)))

# Debian's package, unpacked and not installed: no service starts, and nothing of the machine changes but root's package
# lists. Elsewhere the tests of rules and dashboards take prometheus and promtool from PATH, or print why they are
# skipped.
$(PROMETHEUS)/promtool:
	@if command -v promtool >/dev/null && command -v prometheus >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "no prometheus: its tests are skipped"; exit 0; fi; \
	folder=$$(mktemp -d) && cd $$folder && \
	{ [ "$$(id -u)" != 0 ] || apt-get update -qq; } && \
	apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg-deb -x prometheus_*.deb . && \
	mkdir -p "$(CURDIR)/$(PROMETHEUS)" && mv usr/bin/prometheus usr/bin/promtool "$(CURDIR)/$(PROMETHEUS)" \
	  || echo "no prometheus: its tests are skipped"; rm -rf "$$folder"

# The same, with the libraries that this machine lacks; a font with Chinese signs makes the pictures of the page true.
$(CHROMIUM)/chromium:
	@if command -v chromium >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "no chromium: the tests of the page are skipped"; exit 0; fi; \
	folder=$$(mktemp -d) && cd $$folder && \
	{ [ "$$(id -u)" != 0 ] || apt-get update -qq; } && \
	apt-get install --simulate --no-install-recommends chromium fonts-droid-fallback >plan && \
	apt-get download -qq -o APT::Sandbox::User=root $$(awk '/^Inst / {print $$2}' plan) && \
	for package in *.deb; do dpkg-deb -x "$$package" root || exit 1; done && \
	mkdir -p "$(CURDIR)/$(CHROMIUM)" && rm -rf "$(CURDIR)/$(CHROMIUM)/root" && mv root "$(CURDIR)/$(CHROMIUM)/root" && \
	cp "$(CURDIR)/tests/gateway/page/chromium.sh" "$(CURDIR)/$(CHROMIUM)/chromium" \
	  || echo "no chromium: the tests of the page are skipped"; rm -rf "$$folder"

# `make test` makes one video, sees one refusal, and has axe look at every view in light colours.
test-page: setup-dev $(CHROMIUM)/chromium ## Test the gateway's page in Chromium, the long form: keyboard, recording, batches, comparison, dark colours
	PATH="$(CURDIR)/$(CHROMIUM):$$PATH" $(BIN)/python -m pytest -m "slow or not slow" tests/gateway/page

# One thread: two are slower at the sizes of the tests.
test-sonic: setup-sonic ## Test the sonic engine, and compare its numbers with the published model's
	OMP_NUM_THREADS=1 $(SONIC_BIN)/python -m pytest tests/sonic
	OMP_NUM_THREADS=1 $(SONIC_BIN)/python -m tests.parity --config tests/sonic/golden/A.json \
	  --golden tests/sonic/golden/A.npz --tolerances tests/sonic/golden/tolerances.json \
	  --vectors tests/sonic/golden/vectors_A.json

# Pythons differ in their wheels: compiled packages, whatever opens media, and one whole render.
SHORT := tests/messages/test_validation.py tests/audio/test_containers.py tests/face/test_picture_formats.py \
  tests/encode/test_handler.py tests/encode/test_provenance.py tests/telemetry/test_export.py tests/cli/test_demo.py

test-short: setup-dev
	$(BIN)/python -m pytest -q $(SHORT)

test-pythons: setup-dev ## Run a short suite with the demo on every supported Python of this machine, each in its own environment
	@ours=$$($(BIN)/python -c 'import sys; print("3.%d" % sys.version_info[1])'); \
	found=$$($(BIN)/python -m tools.pythons) || exit 1; \
	echo "$$found" | while read -r version python; do \
	  venv=.venv-$$version; \
	  if [ "$$version" = "$$ours" ]; then venv=$(VENV); [ "$(OURS)" = skip ] && continue; fi; \
	  echo "Python $$version in $$venv"; \
	  $(MAKE) --no-print-directory PYTHON="$$python" VENV="$$venv" test-short </dev/null || exit 1; \
	done

# SEED=n repeats a run; ROWS=1,9 runs only these rows: see docs/chaos.md.
chaos: setup-dev ## Inject every fault of the test matrix into a real pipeline, and check what is left: [SEED=n] [ROWS=1,9]
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ROWS),--rows $(ROWS))

chaos-breaks: setup-dev ## Break the runtime in five places; the checker must find each: [SEED=n]
	$(BIN)/python -m tests.chaos.prove $(if $(SEED),--seed $(SEED))

fuzz: setup-dev ## Fuzz everything that reads strangers' bytes: [MINUTES=10] [SEED=n] [TARGET=face.heic]
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(TARGET),--target $(TARGET))

licences: setup-dev ## Write docs/licences.md from tools/licences/licences.toml
	$(BIN)/python -m tools.licences

# The tools that write it are in none of the environments that it describes.
$(SBOM)/.ready: requirements/images/build.txt
	$(PYTHON) -m venv $(SBOM) || { rm -rf $(SBOM); exit 1; }
	$(SBOM)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r $<
	touch $@

sbom: setup $(SBOM)/.ready ## Write the bill of materials of each environment that exists into out/sbom
	@mkdir -p out/sbom
	@for environment in $(VENV) $(SONIC) $(BENCH); do \
	  [ -x $$environment/bin/python ] || continue; \
	  bill=out/sbom/$${environment#.}.cdx.json; \
	  $(SBOM)/bin/python -W ignore -m cyclonedx_py environment $$environment/bin/python --pyproject pyproject.toml \
	    --mc-type application --output-reproducible --output-format JSON --output-file $$bill && echo $$bill || exit 1; \
	done

audit: setup-dev ## Look every pinned package up in the advisories; needs the network
	@failed=; for file in requirements/*.txt requirements/images/*.txt; do \
	  echo "$$file"; \
	  $(BIN)/python -m uv tool run pip-audit --progress-spinner off --disable-pip --require-hashes -r $$file || failed=1; \
	done; [ -z "$$failed" ]

soak: setup-dev ## Random faults at 80 % load; prints what grows: [MINUTES=30] [SEED=n]
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

chart: setup-dev ## Write what the chart takes from elsewhere: its files/ and its README.md
	$(BIN)/python -m tools.chart

# Records belong to the commit whose code they measure: commit both, with the page.
bench: setup-dev setup-bench ## Run the benchmarks, keep their records, write docs/performance.md: [QUICK=1] [NAMES="hop peers"] [BASELINE=checkout]
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(BASELINE),--baseline "$(BASELINE)") $(NAMES)
	$(if $(QUICK),,$(BIN)/python -m tools.performance_page)

autoscale-demo: setup-dev ## Scale real replicas of infer by the lag of a burst of 40 jobs, against a fixed number; about 5 minutes
	$(BIN)/python -m bench.autoscale.demo

docs: setup-dev ## Build the documentation site into out/docs; a link that leads nowhere fails
	$(BIN)/python -m sphinx --fail-on-warning --quiet --fresh-env --write-all docs out/docs

docs-links: docs ## Check the links to other sites as well; needs the network
	$(BIN)/python -m sphinx -b linkcheck docs out/links

# Extras stay in the pins: in hash mode pip treats `coverage[toml]` as unpinned where only `coverage` is pinned, once a
# newer release exists.
PIN := -m uv pip compile pyproject.toml --universal --python-version 3.11 --no-strip-extras --generate-hashes \
  --no-emit-index-url --no-annotate --no-header --quiet
COMPILE := $(PIN) --extra cpu --extra local --extra gateway
COMPILE_SONIC := $(PIN) --extra sonic

requirements: ## Compile the hash-pinned requirement files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python $(COMPILE) -o requirements/demo.txt
	$(BIN)/python $(COMPILE) --extra projection -c requirements/demo.txt -o requirements/projection.txt
	$(BIN)/python $(COMPILE) --extra projection --group dev --group docs --group tools --group align -c requirements/demo.txt -o requirements/dev.txt
	$(BIN)/python $(COMPILE) --extra projection --group bench -c requirements/dev.txt -o requirements/bench.txt
	$(BIN)/python $(COMPILE_SONIC) -c requirements/dev.txt -o requirements/sonic.txt
	$(BIN)/python $(COMPILE_SONIC) --group sonic-dev -c requirements/dev.txt -c requirements/sonic.txt \
	  -o requirements/sonic-dev.txt
	@$(MAKE) --no-print-directory requirements-images

# The versions are those that the tests run with. Wheels for x86-64 and aarch64: tests/images checks it.
PIN_IMAGE = $(BIN)/python $(PIN) -c requirements/dev.txt -c requirements/sonic.txt

requirements-images: ## Compile the hash-pinned requirement file of each image
	$(PIN_IMAGE) --extra audio -o requirements/images/audio.txt
	$(PIN_IMAGE) --extra face -o requirements/images/face.txt
	$(PIN_IMAGE) --extra encode -o requirements/images/encode.txt
	$(PIN_IMAGE) --extra infer -o requirements/images/infer-puppet.txt
	$(PIN_IMAGE) --extra sonic -o requirements/images/infer-sonic.txt
	$(PIN_IMAGE) --extra projection -o requirements/images/projection.txt
	$(PIN_IMAGE) --extra gateway --extra audio --extra face -o requirements/images/gateway.txt
	$(PIN_IMAGE) -o requirements/images/relay.txt
	$(PIN_IMAGE) -o requirements/images/ops.txt
	$(BIN)/python $(subst pyproject.toml,,$(PIN)) --group image-build -o requirements/images/build.txt

ENGINE_OPTION = $(if $(ENGINE),--engine $(ENGINE))

images: setup-dev ## Build the container images and check their sizes: [TARGET=face] [ALL=1: infer-sonic too] [ENGINE=podman]
	$(BIN)/python -m tools.images build $(TARGET) $(if $(ALL),--all) $(ENGINE_OPTION)

images-base: setup-dev ## Build a base image by debootstrap, for machines that reach no registry; needs root
	$(BIN)/python -m tools.images base $(ENGINE_OPTION)

images-infra: setup-dev ## Build stand-ins for the images of Kafka and SeaweedFS on that base, for tests in containers
	$(BIN)/python -m tools.images infra $(ENGINE_OPTION)

images-test: setup-dev ## Test the built images with real containers; needs root, podman, images and images-infra
	$(BIN)/python -m pytest -m images tests/images

pods: setup-dev ## Play the chart's pods as real containers: render, restarts, scaling, upgrade; needs what images-test needs: [BEFORE=commit]
	BEFORE=$(BEFORE) $(BIN)/python -m pytest -m pods -s tests/pods

clean: ## Stop the stack and remove everything that make created
	-[ -x $(BIN)/lipstage ] && $(BIN)/lipstage down
	rm -rf $(VENV) .venv-3.* $(SONIC) $(BENCH) $(SBOM) .lipstage out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

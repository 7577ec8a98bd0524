# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check format protos bench bench-methods nist fuzz every-byte clean help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Sealroom needs Python 3.11 or later. Say where it is: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@echo "installing into $(VENV), once: a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# The build backend warns that an editable installation reads this folder: that is what it is for.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable ".[dev,flights]"
	@$(BIN)/python -m pip install --quiet --editable ".[tpm]" 2>/dev/null \
	  || echo "note: the tpm extra needs libtss2-dev, pkg-config and a C compiler; continuing without it"
	@touch $@

demo: $(INSTALLED) ## two hospitals and a university get one joint answer, as real processes on this machine
	$(BIN)/sealroom demo

test: $(INSTALLED) ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15

check: $(INSTALLED) ## style, types, layers, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15 $(PYTEST_EXTRA)

format: $(INSTALLED) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(INSTALLED) ## regenerate mpc/wire from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=. --grpc_python_out=. --mypy_out=. protos/mpc/wire/*.proto

bench: $(INSTALLED) ## speed and memory, against Arrow Flight in the same run; evidence, against dcap-qvl
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/pipeline.py

bench-methods: $(INSTALLED) ## statistical methods on 10 million rows beside other libraries, into docs/numerics.md; linkage
	$(BIN)/python benchmarks/methods.py --write
	$(BIN)/python benchmarks/linkage.py

nist: $(INSTALLED) ## the digits of NIST's certified values, into docs/numerics.md
	$(BIN)/python benchmarks/nist.py

fuzz: $(INSTALLED) ## any bytes as evidence, led by coverage, for ten minutes (or FUZZ_SECONDS)
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	$(BIN)/python fuzz/evidence.py

every-byte: $(INSTALLED) ## each byte of each accepted piece of real evidence, flipped in its turn (half an hour of a processor)
	SEALROOM_EVERY_BYTE=1 $(BIN)/python -m pytest -n 2 --durations 9 tests/evidence/test_every_byte.py

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

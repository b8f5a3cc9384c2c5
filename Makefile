# make demo          certify a trained transformer and re-check the certificate (installs no PyTorch)
# make test          lint, types and tests
# make certificates  verify every shipped certificate with the bare checker
# make mutants       damage the checker in every way we know; each damage must fail a test
# make benchmarks    prover time, checker time, proof length and bound of each shipped certificate
# make ladder        the published rows and ours for ten seeds, trained first (half an hour)
# make scaling       proof length against vocabulary and input length, models trained first (hours)
PYTHON ?= python3
JOBS ?= 2
# PyTorch trains models and is compared with in tests; `make test TORCH=` does without it.
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
TESTING := $(VENV)/.testing

.PHONY: demo test lint certificates mutants benchmarks ladder scaling clean
.DELETE_ON_ERROR:

demo: $(RUNTIME)
	$(BIN)/certify demo

test: lint
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(TESTING)
	$(BIN)/ruff check .
	$(BIN)/mypy

# The checker needs nothing installed, so this runs it on the bare interpreter.
certificates:
	@count=0; failed=0; \
	for certificate in certificates/*/*.json; do \
	    [ -e "$$certificate" ] || continue; \
	    count=$$((count + 1)); \
	    echo "$$certificate"; \
	    verdict=$$($(PYTHON) -S -m checker "$$(dirname "$$certificate")/model.safetensors" "$$certificate"); \
	    status=$$?; \
	    verdict=$$(printf '%s\n' "$$verdict" | tail -n 1); \
	    echo "$$verdict"; \
	    case "$$status $$verdict" in "0 s VERIFIED "*) ;; *) failed=$$((failed + 1));; esac; \
	done; \
	echo "$$count certificates, $$failed not verified"; \
	[ "$$count" -gt 0 ] && [ "$$failed" -eq 0 ]

mutants: $(TESTING)
	$(BIN)/python tests/mutants.py --jobs $(JOBS)

benchmarks: $(RUNTIME)
	$(BIN)/python -m benchmarks

ladder: $(TESTING)
	$(BIN)/python -m benchmarks.ladder

scaling: $(TESTING)
	$(BIN)/python -m benchmarks.scaling

clean:
	rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	$(PYTHON) -m venv $(VENV)
	touch $@

$(RUNTIME): pyproject.toml | $(MADE)
	$(BIN)/pip install --quiet -e .
	touch $@

$(TESTING): pyproject.toml $(RUNTIME)
	$(BIN)/pip install --quiet -e '.[test]' $(TORCH)
	touch $@

# make formal       build the verified checker from its proof (installs Coq and OCaml as root on Debian or Ubuntu)
# make formal-test  compare it with the Python checker on certificates, vectors and random forests
.PHONY: formal formal-test
formal:
	$(MAKE) -C formal JOBS=$(JOBS)

formal-test: formal $(TESTING)
	$(MAKE) -C formal test PYTHON=$(CURDIR)/$(BIN)/python

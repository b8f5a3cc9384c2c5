# make demo          certify a trained transformer and re-check the certificate (installs no PyTorch)
# make quick         lint, types, the budget of the checker, gates and vectors: below a minute
# make test          lint, types and tests
# make test-all      the same and the slow tests
# make format        lay out the code as `make lint` wants it
# make checker.pyz   the checker as one file, the same bytes from every clone, and its sha256
# make wheels        certify and certify-checker as wheels, the same bytes from every clone, in dist/
# make certificates  verify every shipped certificate with the bare checker
# make mutants       damage the checker in every way we know; each damage must fail a test
#                    (PART=1/4 runs a part; a run that was interrupted goes on; see make mutants-summary)
# make hostile       files made to take memory or time: verdict, seconds and megabytes of each
# make formal       build the verified checker from its proof (installs Coq and OCaml as root on Debian or Ubuntu)
# make formal-test  compare it with the Python checker on certificates, vectors and random forests
# make web           the checker in the browser: one folder, web/dist, that any static host serves
# make web-test      drive it in headless Chromium (npm and a Chromium must be there)
# make benchmarks    prover time, checker time, proof length and bound of each shipped certificate
# make reproduce     prove the certificates of NAME=max-of-4-seed-0 again, and compare verdicts
# make ladder        the published rows and ours for ten seeds, trained first (half an hour)
# make study-smoke   the published study in two minutes: train, prove, check, tabulate, draw
# make docs          the documentation as a site, in build/site; any warning is an error
# make scaling       proof length against vocabulary and input length, models trained first (hours)
PYTHON ?= python3
JOBS ?= 2
# PyTorch trains models and is compared with in tests; `make test TORCH=` does without it.
TORCH ?= torch==2.13.0
PART ?= 1/1
# The same versions everywhere; empty for the newest.
CONSTRAINTS ?= -c tests/constraints.txt

VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
TESTING := $(VENV)/.testing
DOCUMENTING := $(VENV)/.documenting
QUICK := tests/gates/test_architecture.py tests/gates/test_token_budget.py tests/gates/test_habits.py \
    tests/checker/test_vectors.py --deselect \
    tests/checker/test_vectors.py::test_the_vectors_are_what_the_generator_writes

.PHONY: demo quick test test-all format lint checker.pyz wheels certificates mutants mutants-summary
.PHONY: hostile web web-test benchmarks reproduce ladder scaling study-smoke docs clean
.DELETE_ON_ERROR:

demo: $(RUNTIME)
	$(BIN)/certify demo

quick: lint
	$(BIN)/python -m pytest -q -n $(JOBS) $(QUICK)

test: lint
	$(BIN)/python -m pytest -n $(JOBS)

test-all: lint
	$(BIN)/python -m pytest -n $(JOBS) -m ''

lint: $(TESTING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/python tests/gates/budget.py

format: $(TESTING)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Made anew each time: the bytes depend on the sources only.
checker.pyz:
	@$(PYTHON) -I -S certify/archive.py $@

# The builder is pinned in pyproject.toml; the date of the files in a wheel is 1980-01-01.
wheels: $(MADE)
	@SOURCE_DATE_EPOCH=315532800 $(BIN)/pip wheel --quiet --no-deps --wheel-dir dist . ./checker
	@cd dist && sha256sum certify-*.whl certify_checker-*.whl

# The checker needs nothing installed, so this runs it on the bare interpreter.
certificates: checker.pyz
	@count=0; failed=0; \
	for certificate in certificates/*/*.json; do \
	    [ -e "$$certificate" ] || continue; \
	    case "$$certificate" in */manifest.json) continue;; esac; \
	    count=$$((count + 1)); \
	    echo "$$certificate"; \
	    verdict=$$($(PYTHON) -I -S checker.pyz "$$(dirname "$$certificate")/model.safetensors" "$$certificate"); \
	    status=$$?; \
	    verdict=$$(printf '%s\n' "$$verdict" | tail -n 1); \
	    echo "$$verdict"; \
	    case "$$status $$verdict" in "0 s VERIFIED "*) ;; *) failed=$$((failed + 1));; esac; \
	done; \
	echo "$$count certificates, $$failed not verified"; \
	[ "$$count" -gt 0 ] && [ "$$failed" -eq 0 ]

mutants: $(TESTING)
	-$(BIN)/python tests/gates/mutants.py --jobs $(JOBS) --part $(PART) --allowance 0.5
	$(BIN)/python tests/gates/mutants.py --jobs $(JOBS) --part $(PART)

mutants-summary: $(TESTING)
	$(BIN)/python tests/gates/mutants.py --summary

# The page and Python for the browser, which npm compares with web/package-lock.json.
web:
	npm ci --prefix web --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	$(PYTHON) -I -S web/build.py web/dist

web-test: web
	npm ci --prefix web --ignore-scripts --no-audit --no-fund --loglevel=error
	PYTHON=$(PYTHON) node --test --test-concurrency=1 web/test.mjs

hostile: $(TESTING)
	$(BIN)/python tests/gates/hostile.py $(SECONDS)

benchmarks: $(RUNTIME)
	$(BIN)/python -m benchmarks

reproduce: $(RUNTIME)
	$(BIN)/python -m benchmarks --reproduce $(NAME)

ladder: $(TESTING)
	$(BIN)/python -m benchmarks.ladder

scaling: $(TESTING)
	$(BIN)/python -m benchmarks.scaling

study-smoke: $(TESTING)
	$(BIN)/python -m benchmarks.published_study benchmarks/published-study-smoke.toml --out build/study-smoke --jobs $(JOBS)

# The theme announces its successor on every build; what it says is no warning of ours.
docs: $(DOCUMENTING)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f docs/site/mkdocs.yml
	@echo build/site/index.html

clean:
	rm -rf $(VENV) checker.pyz build dist web/dist web/node_modules ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	$(PYTHON) -m venv $(VENV)
	touch $@

$(RUNTIME): pyproject.toml tests/constraints.txt | $(MADE)
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e .
	touch $@

$(TESTING): pyproject.toml $(RUNTIME)
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e '.[test]' $(TORCH)
	touch $@

$(DOCUMENTING): pyproject.toml $(RUNTIME)
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e '.[docs]'
	touch $@

.PHONY: formal formal-test
formal:
	$(MAKE) -C formal JOBS=$(JOBS)

formal-test: formal $(TESTING)
	$(MAKE) -C formal test PYTHON=$(CURDIR)/$(BIN)/python

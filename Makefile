# `make run` opens the page, `make test` checks everything, `make` alone lists the rest.
#
# TORCH is the build of torch to install, in pip's words. The default is PyPI's: with CUDA on Linux,
# with MPS on a Mac. The selector on pytorch.org names an index for each other build; CPU only is
#   make run TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
# .venv remembers it, so later commands need not say it again. PYTHON=python3.12 makes .venv with
# that interpreter instead of the first of python3, python3.12 and python3.11 that is recent enough.

export DEFAULT_TORCH := torch==2.13.0
export TORCH PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-faults bench showcase clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 18
	@sed -n '/^# TORCH/,/^$$/s/^# \{0,1\}//p' Makefile

run: ## install what is missing, then open the page on 127.0.0.1:7860 (or GRADIO_SERVER_PORT)
	@bash .ci/install run
	@exec .venv/bin/python -u app.py

# Two processes, and whichever is done takes over tests of the other.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist worksteal

# The folders with tests in a browser: reading all of them to choose these takes a minute.
BROWSER := tests/e2e tests/static tests/compatibility

test: ## check style and types, then run the tests (ARGS="..." goes to pytest)
	@bash .ci/install test
	@bash .ci/chromium
	@bash .ci/postgres
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy --num-workers 2 app tests tools
ifdef ARGS
	.venv/bin/python -m pytest $(ARGS)
else
	$(PYTEST) -m "not e2e and not slow and not faults" --ignore tests/e2e
	$(PYTEST) -m "e2e and not slow" $(BROWSER)
endif

test-slow: ## run the tests that take longest: jobs on several machines, more of the page, the page without a server
	@bash .ci/install test
	@bash .ci/chromium
	@bash .ci/postgres
	$(PYTEST) -m "slow and not e2e and not faults"
	$(PYTEST) -m "slow and e2e" $(BROWSER)

test-faults: ## kill trainings, workers and their network, for minutes
	@bash .ci/install test
	@bash .ci/postgres
	.venv/bin/python -m pytest -m faults $(ARGS)

bench: ## time the studio against diffusers' own pipeline (PART=base, grid, stage, page, ...)
	@bash .ci/install run
	@exec .venv/bin/python -m tools.bench $(PART)

showcase: ## repaint the examples and the README's pictures with the current weights
	@bash .ci/install test
	@bash .ci/chromium
	@exec .venv/bin/python -m tools.showcase

clean: ## remove .venv and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .gradio
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The commands of this project; CI runs the same ones.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTBED := PYTHONPATH=hack/testbed $(PYTHON) -m agenttask_testbed.demo
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo demo-down
demo: ## Start a cluster with everything in it, run two tasks, show what came of them
	@hack/prerequisites
	@$(TESTBED) up

demo-down: ## Remove the demo's cluster and everything in it
	@$(TESTBED) down

$(VENV)/ready: pyproject.toml hack/venv
	@hack/venv $(VENV)

.PHONY: venv
venv: $(VENV)/ready ## Make the development environment in .venv

.PHONY: test unit e2e
test: $(VENV)/ready ## Run all tests that CI runs; starts and removes a cluster of its own
	@hack/test tests

unit: $(VENV)/ready ## Run the tests that need no cluster
	@hack/test tests --ignore=tests/e2e --ignore=tests/chaos

e2e: $(VENV)/ready ## Run the tests on the real cluster
	@hack/test tests/e2e tests/chaos

.PHONY: chaos chaos-long
chaos: $(VENV)/ready ## Kill leaders and let the API server fail in every known way
	AGENTTASK_SLOW_TESTS=1 hack/test tests/chaos

chaos-long: $(VENV)/ready ## Let the API server fail for ten minutes in each way; takes three hours
	AGENTTASK_SLOW_TESTS=1 AGENTTASK_FAULT_SECONDS=600 hack/test tests/chaos/test_faults.py --timeout=900

.PHONY: test-tools fuzz
test-tools: $(VENV)/ready ## Run the agent's operations on every real server and toolchain
	AGENTTASK_SLOW_TESTS=1 $(PYTEST) tests/agent tests/databases tests/e2e/test_full_image.py

.PHONY: test-kstatus
test-kstatus: $(VENV)/ready ## Ask the real kstatus library what it makes of each status
	AGENTTASK_SLOW_TESTS=1 $(PYTEST) tests/gitops/test_kstatus.py

FUZZ ?=
fuzz: $(VENV)/ready ## Feed every operation 20,000 hostile arguments; takes hours (FUZZ="-k git" = some)
	AGENTTASK_FUZZ_EXAMPLES=20000 $(PYTEST) --timeout=0 tests/agent/test_*hostile*.py tests/databases/test_hostile.py $(FUZZ)

.PHONY: eval vllm
eval: $(VENV)/ready ## Evaluate MODEL_URL (and MODEL_NAME) on the tasks of tests/eval; keeps eval.json
	$(BIN)/python -m pip install -q -e '.[cli]'
	$(BIN)/python -m tests.eval --model-url "$(MODEL_URL)" --model-name "$(MODEL_NAME)"

vllm: ## Install vLLM for CPU and a small coder model, and serve it on 127.0.0.1:8123
	hack/vllm/serve all

.PHONY: check fmt docs
check: $(VENV)/ready ## Formatting, lint, types, import rules, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	hack/generated --check

fmt: $(VENV)/ready ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/ready ## Write the generated documentation
	hack/generated

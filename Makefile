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
chaos: $(VENV)/ready ## Kill leaders, let the API server fail in every known way, end runs for every reason
	AGENTTASK_SLOW_TESTS=1 hack/test tests/chaos tests/e2e/test_reasons.py

chaos-long: $(VENV)/ready ## Hold the in-process API server against the real one; all faults and a NATS outage last ten minutes, side by side
	AGENTTASK_SLOW_TESTS=1 AGENTTASK_FAULT_SECONDS=600 hack/test \
	  tests/chaos/test_traces.py tests/chaos/test_long_faults.py tests/operator/test_outage.py \
	  -n 2 --dist loadscope --no-loadscope-reorder -rP --timeout=1500

.PHONY: test-tools fuzz
test-tools: $(VENV)/ready ## Run the agent's operations on every real server and toolchain
	AGENTTASK_SLOW_TESTS=1 $(PYTEST) -n 2 --dist loadscope tests/agent tests/databases tests/e2e/test_full_image.py

.PHONY: test-gitops
test-gitops: $(VENV)/ready ## Drive tasks from git by the real Flux and Argo CD; ask the real kstatus library
	hack/cluster/kind binary kustomize-controller argocd
	AGENTTASK_GITOPS=1 hack/test tests/gitops

FUZZ ?=
fuzz: $(VENV)/ready ## Feed every operation 20,000 hostile arguments; takes hours (FUZZ="-k git" = some)
	AGENTTASK_FUZZ_EXAMPLES=20000 $(PYTEST) --timeout=0 tests/agent/test_*hostile*.py tests/databases/test_hostile.py $(FUZZ)

.PHONY: floods
floods: $(VENV)/ready ## Flood the door for a minute and hand it gigabytes
	AGENTTASK_SLOW_TESTS=1 $(PYTEST) -s tests/courier/test_floods.py

.PHONY: eval vllm test-vllm
eval: $(VENV)/ready ## Evaluate MODEL_URL (and MODEL_NAME) on the tasks of tests/eval; keeps eval.json
	$(BIN)/python -m pip install -q -e '.[cli]'
	$(BIN)/python -m tests.eval --model-url "$(MODEL_URL)" --model-name "$(MODEL_NAME)"

vllm: ## Install vLLM for CPU and a small coder model, and serve it on 127.0.0.1:8123
	hack/vllm/serve all

test-vllm: $(VENV)/ready ## Run the agent on a real vLLM: 100 times on noise, then the reference task
	hack/vllm/serve install && hack/vllm/serve model && hack/vllm/serve tiny
	AGENTTASK_VLLM=1 hack/test tests/vllm

.PHONY: check types style fmt docs
check: $(VENV)/ready ## Formatting, lint, types, import rules, generated docs
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types style

types: $(VENV)/ready
	$(BIN)/mypy

style: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	hack/generated --check
	hack/chart check

.PHONY: install-yaml check-rules
install-yaml: ## Render the chart into install/install.yaml, for kubectl and kustomize
	hack/chart install-yaml

check-rules: ## Check alerts and dashboard with promtool; builds it the first time, which takes minutes
	hack/chart check-rules

fmt: $(VENV)/ready ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/ready ## Write the generated documentation
	hack/generated

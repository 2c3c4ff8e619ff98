# Two commands do all the set-up: `make run` starts the platform, `make test` runs the tests.
PYTHON ?= python3
BOOTSTRAP = PYTHONPATH=platform $(PYTHON) -m romanhub.local.bootstrap

.PHONY: run test test-cluster bench clean

run: ## Install what it needs, start the platform, print the address and how to sign in.
	@$(BOOTSTRAP) run

test: ## Install what it needs, run the checks and the tests.
	@$(BOOTSTRAP) test

test-cluster: ## Run the tests that need a Kubernetes: the one that KUBECONFIG names, or one of this machine's own (as root).
	@$(BOOTSTRAP) test-cluster $(ONLY)

bench: ## Run the benchmarks, or one of them with ONLY=name; writes build/bench.json.
	@$(BOOTSTRAP) bench $(ONLY)

clean: ## Remove the folder of state: users, homes, data and environments.
	@$(BOOTSTRAP) clean

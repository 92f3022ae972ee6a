# The project's commands. Each does all of its own set-up, in a cache outside the repository (TIGHTSHIP_CACHE).
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test check unit training integration slow e2e cluster images down lock bench-report bench-training

help: ## these lines
	@sed -nE 's/^([a-z0-9%-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 20

demo: images ## from nothing to the first right answer of three models on a cluster
	@hack/run python -m tests.e2e.demo

test: ## every check and every test; goes on after a failed part
	@$(MAKE) --keep-going check unit training integration e2e

check: ## the static checks
	@hack/check

unit: ## tests of what needs nothing but Python
	@hack/pytest tests/unit -n 2

training: ## tests of what trains: torch is installed first, some 5 GB
	@TIGHTSHIP_VENV=torch hack/pytest tests/training -n 2 --dist loadfile

integration: ## tests on a real Triton, S3 server, Kubernetes API server and browser
	@hack/libpython
	@hack/chromium
	@tests/cluster/cluster tools >/dev/null
	@hack/pytest tests/integration tests/conformance -n 2 --dist loadfile

slow: ## the tests that take minutes and gigabytes, which `make test` leaves out
	@hack/libpython
	@hack/pytest tests/integration -m slow --log-cli-level=WARNING

e2e: $(if $(TIGHTSHIP_KUBECONFIG),,images) ## tests on the cluster, or on the one that TIGHTSHIP_KUBECONFIG names
	@hack/pytest tests/e2e

cluster: ## start the cluster under test, or keep the one that runs
	@tests/cluster/cluster up

images: cluster ## build the images and load them into the cluster
	@tests/cluster/cluster images

down: ## delete the cluster under test
	@tests/cluster/cluster down

lock: ## write requirements/*.txt anew from pyproject.toml
	@hack/run hack/lock

bench-training: ## training on real data: a benchmark with torch
	@TIGHTSHIP_VENV=torch hack/run python -m benchmarks.training

bench-%: ## a benchmark: prints its table, writes benchmarks/results/NAME.json
	@hack/run python -m benchmarks.$*

# What can be done here; `make` alone lists it. Everything that needs a cluster goes through tools/with-cluster, which
# uses this machine's Docker, or prepares the rig where there is none.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up down test test-full check bench dist install clean

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The profile of the tests: soonest there, and built once for both. It waits for the cluster as a released one does.
CMDR := $(TARGET)/debug/cmdr
# A script in the background ignores SIGINT, and so does all that it starts; some tests are about that signal.
INTERRUPTIBLE := $(shell env --default-signal=INT true 2>/dev/null && echo env --default-signal=INT)
BUILD := cargo build --locked --bin cmdr
# Tests that need clusters, Docker or Helm. A new file counts as one that needs none, until it is listed here.
CLUSTER_TESTS := charts delivery docker failures images pipeline platform recipes refusals registry sample sleep
OTHER_TESTS := $(filter-out $(CLUSTER_TESTS),$(patsubst tests/%.rs,%,$(wildcard tests/*.rs)))
BUILD_TESTS := cargo test --locked --no-run --lib --bins --tests

help: ## list what can be done
	@sed -nE 's/^([a-z-]+):[^#]*## /\1\t/p' Makefile | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

up: ## build cmdr, bring the sample platform up, print its URLs
	@tools/needs cargo cc
	@tools/with-cluster --compile '$(BUILD)' $(CMDR) up

down: ## delete the sample platform's cluster
	@[[ -x $(CMDR) ]] || $(BUILD)
	@tools/with-cluster $(CMDR) down --yes

test: ## unit, snapshot and real-cluster tests
	@tools/needs cargo cc
	@tools/with-cluster --tests --compile '$(BUILD_TESTS)' tools/test

test-full: ## the same, with the longer ones
	@tools/needs cargo cc
	@tools/with-cluster --tests --components --compile '$(BUILD_TESTS)' tools/test --include-ignored

check: ## formatting, lints, dependencies, unit tests; no cluster
	@tools/needs cargo cc
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	tools/deny
	$(INTERRUPTIBLE) cargo test --locked --lib $(addprefix --test ,$(OTHER_TESTS))

bench: ## measure cmdr beside kind with helmfile
	@tools/needs cargo cc python3
	@cargo build --locked --release --bin cmdr
	@CMDR=$$(realpath $(TARGET)/release/cmdr) tools/with-cluster --peers benches/run

dist: ## build the files of a release into target/dist: archives, checksums, SBOM, installer
	@tools/dist $(URL)

install: ## build cmdr as it is released, and put it into cargo's folder of programs
	@tools/needs cargo cc
	cargo install --locked --path .

clean: ## delete what was built here; keeps the rig and clusters
	cargo clean

.DEFAULT:
	@echo "there is no '$@' here; there is:" >&2
	@$(MAKE) --silent help >&2
	@exit 2

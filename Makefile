# `make` without a target lists the targets. Targets that need a cluster use tools/with-cluster, which uses this
# machine's Docker or prepares the rig.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up down test test-full check bench dist install clean

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The debug build of the tests: it is built first, and waits for a cluster as long as a release build does.
CMDR := $(TARGET)/debug/cmdr
# A script in the background ignores SIGINT, and so do its children; some tests send this signal.
INTERRUPTIBLE := $(shell env --default-signal=INT true 2>/dev/null && echo env --default-signal=INT)
BUILD := cargo build --locked --bin cmdr
# Tests that need clusters, Docker or Helm. `make check` runs all test files that are not in this list.
CLUSTER_TESTS := access builds causes charts copies delivery dev dev_local docker failures files images jobs kept_node \
  network new operations pipeline placement platform \
  recipes refusals registry sample see stop_start
OTHER_TESTS := $(filter-out $(CLUSTER_TESTS),$(patsubst tests/%.rs,%,$(wildcard tests/*.rs)))
BUILD_TESTS := cargo test --locked --no-run --lib --bins --tests

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## /\1\t/p' Makefile | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

up: ## build cmdr, start the sample platform, print its URLs
	@tools/needs cargo cc
	@tools/with-cluster --compile '$(BUILD)' $(CMDR) up

down: ## delete the sample platform's cluster
	@[[ -x $(CMDR) ]] || $(BUILD)
	@tools/with-cluster $(CMDR) down --yes

test: ## unit, snapshot and real-cluster tests
	@tools/needs cargo cc
	@tools/with-cluster --tests --compile '$(BUILD_TESTS)' tools/test

test-full: ## the same, and the slow tests
	@tools/needs cargo cc
	@tools/with-cluster --tests --components --compile '$(BUILD_TESTS)' tools/test --include-ignored

check: ## formatting, lints, dependencies, unit tests; no cluster
	@tools/needs cargo cc
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	tools/deny
	$(INTERRUPTIBLE) cargo test --locked --lib $(addprefix --test ,$(OTHER_TESTS))

bench: ## compare cmdr with kind, helmfile, stern and Tilt
	@tools/needs cargo cc python3
	@cargo build --locked --release --bin cmdr
	@CMDR=$$(realpath $(TARGET)/release/cmdr) tools/with-cluster --peers benches/run

dist: ## build the files of a release into target/dist: archives, checksums, SBOM, installer
	@tools/dist $(URL)

install: ## install a release build of cmdr with cargo
	@tools/needs cargo cc
	cargo install --locked --path .

clean: ## delete build results; keeps the rig and clusters
	cargo clean

.DEFAULT:
	@echo "unknown target '$@'; targets:" >&2
	@$(MAKE) --silent help >&2
	@exit 2

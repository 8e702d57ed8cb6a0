# SPDX-License-Identifier: Apache-2.0
# The door. Two commands do everything on a fresh Debian 12: `make demo` and `make check`.
BUILD ?= build
SEEDS ?= 500
FIRST ?= 1
JOBS ?= 2
SECONDS ?= 3
PREFIX ?= /usr/local
MINUTES ?= 10

.PHONY: demo check build lint bench bench-api sim steps nth fuzz model mutants analyse prove torture clients install deps clean hardening

demo: ## installs what it needs, builds, runs two sites through loss, failover, reprotect, failback
	tools/deps demo
	@$(MAKE) --no-print-directory build
	tools/demo --build $(BUILD)

check: ## lint, all tests under ASan+UBSan, what has threads under TSan, a slice of simulation and bench
	tools/deps check
	tools/check

build:
	tools/deps build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --werror --prefix $(PREFIX)
	ninja -C $(BUILD)
	@ln -sf src/daemon/versod $(BUILD)/versod
	@ln -sf src/cli/verso $(BUILD)/verso

lint: build ## formatting, layers, circles, style, file-level state, clang-tidy
	tools/lint --build $(BUILD)

bench: build ## prints our figures beside the peers', measured in the same run
	tools/deps check
	bench/run --build $(BUILD) --seconds $(SECONDS)

bench-api: build ## the control API beside bare libmicrohttpd and SQLite's own commits, measured in the same run
	python3 bench/bench_api.py --build $(BUILD)

sim: ## make sim SEEDS=n [FIRST=k] [JOBS=n] [SITES=1], make sim SEED=k TRACE=1 [ACTIONS=n] [SITES=1]
	@$(MAKE) --no-print-directory build
ifdef SEED
	$(BUILD)/tests/sim/sim --seed $(SEED) $(if $(TRACE),--trace) $(if $(ACTIONS),--actions $(ACTIONS)) $(if $(SITES),--sites)
else
	$(BUILD)/tests/sim/sim --seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS) $(if $(SITES),--sites)
endif

steps: ## kills and power losses at every step of the scenarios that matter; an hour
	@$(MAKE) --no-print-directory build
	$(BUILD)/tests/sim/sim-steps $(if $(SCENARIO),--scenario $(SCENARIO))

fuzz: ## make fuzz SECONDS=n [TARGET=name] [JOBS=n]: libFuzzer with ASan and UBSan; finds go to build-fuzz/crashes
	tools/deps check
	tools/fuzz --seconds $(if $(filter file default,$(origin SECONDS)),20,$(SECONDS)) $(if $(TARGET),--target $(TARGET)) --jobs $(JOBS)

model: ## the models of docs/model: every state of the handshake (Spin), random schedules of the data; FULL=1: larger
	tools/deps check
	tools/model $(if $(FULL),--full)

hardening: build ## protections in binaries, unit and process; limits against crowds and slow clients; a minute
	tools/deps check
	tools/check-hardening --build $(BUILD)
	VERSO_BUILD=$(BUILD) tests/integration/test_hardening.py
	VERSO_BUILD=$(BUILD) tests/integration/test_limits.py

nth: ## every allocation and every I/O of 73 operations fails, once and from there on; NTH="--every 50": some of it
	@$(MAKE) --no-print-directory build
	$(BUILD)/tests/nth/nth-nbd
	$(BUILD)/tests/nth/nth-start
	$(BUILD)/tests/nth/nth-control $(NTH)
	$(BUILD)/tests/nth/nth-engine $(NTH)

analyse: build ## cppcheck and gcc -fanalyzer: no finding without a reason
	tools/deps check
	tools/analyse --build $(BUILD)

mutants: ## takes each rule R1-R17 and each guard out of the code, one by one: a test must fail; some ten minutes
	tools/deps check
	tools/check-rules

prove: ## the long counts of a release on this commit, in pieces that a later call goes on with; hours; MINUTES=n ONLY=kind,kind
	tools/deps check
	tools/prove $(if $(filter file default,$(origin MINUTES)),,--minutes $(MINUTES)) $(if $(ONLY),--only $(ONLY))

torture: ## make torture MINUTES=n [ONLY=a,b]: kills, power cuts, bad links on real daemons; tests/torture/README.md
	tools/deps check
	@$(MAKE) --no-print-directory build
	tests/torture/run --build $(BUILD) --minutes $(MINUTES) $(if $(ONLY),--only $(ONLY))

clients: build ## the public SDKs of this API family against two sites; ONLY=part of a test's name
	tools/deps check
	tests/clients/run --build $(BUILD) $(if $(ONLY),"$(ONLY)")

install: build
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-asan build-steps build-tsan build-rules build-fuzz build-fuzz-coverage

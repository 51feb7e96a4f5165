# The one entrance to building, running and testing nodule; CI calls nothing else.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Where rustup puts cargo, for shells that have not read their profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

CARGO      ?= cargo
PREFIX     ?= /usr/local
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
NODULE     := $(TARGET_DIR)/release/nodule

# What `make run` runs: make run GUEST=hello ARGS='some arguments'
ARGS       ?= one two three
GUESTS_OUT := guests/target/wasm32-wasip1/release

# C guests: guests/c/<name>.c becomes guests/target/c/<name>.wasm.
C_SOURCES  := $(wildcard guests/c/*.c)
C_GUESTS   := $(C_SOURCES:guests/c/%.c=guests/target/c/%.wasm)
C_HEADERS  := $(wildcard guest-sdk/include/*.h)
C_WARNINGS := -Wall -Wextra

# Side modules, for process.dlopen: guests/side/<name>.c and .rs become guests/target/side/<name>.wasm.
SIDE_SOURCES := $(wildcard guests/side/*.c guests/side/*.rs)
SIDE_MODULES := $(patsubst guests/side/%,guests/target/side/%.wasm,$(basename $(SIDE_SOURCES)))

.PHONY: help setup build guests rust-guests c-guests side-modules outside run test lint bench bench-guests fuzz docs install clean

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Finds or installs the toolchains for host and guests
	@scripts/setup.sh

build: setup ## Builds the nodule binary and library (release)
	$(CARGO) build --release

guests: rust-guests c-guests side-modules ## Builds the guest programs, in Rust and in C

rust-guests: setup
	scripts/guest-cargo.sh build --release

c-guests: $(C_GUESTS)

guests/target/c/%.wasm: guests/c/%.c $(C_HEADERS) scripts/guest-cc.sh | setup
	@mkdir -p $(@D)
	scripts/guest-cc.sh -O2 $(C_WARNINGS) -o $@ $<

side-modules: $(SIDE_MODULES)

# A side module in front of another one is one that it needs.
guests/target/side/shapes.wasm: guests/target/side/numbers.wasm

guests/target/side/%.wasm: guests/side/%.c scripts/guest-side.sh | setup
	@mkdir -p $(@D)
	scripts/guest-side.sh -o $@ $< $(filter %.wasm,$^)

guests/target/side/%.wasm: guests/side/%.rs scripts/guest-side.sh | setup
	@mkdir -p $(@D)
	scripts/guest-side.sh -o $@ $< $(filter %.wasm,$^)

run: build guests ## Runs the examples; one of them: make run GUEST=hello ARGS='one two'
ifdef GUEST
	$(NODULE) run $(GUESTS_OUT)/$(GUEST).wasm $(ARGS)
else
	$(NODULE) run $(GUESTS_OUT)/hello.wasm one two
	$(NODULE) run $(GUESTS_OUT)/greeter.wasm Ada || test $$? -eq 3
	$(NODULE) run $(GUESTS_OUT)/worker_threads.wasm
	$(NODULE) run $(GUESTS_OUT)/parallel_blur.wasm </dev/null
	$(NODULE) run --allow-child $(GUESTS_OUT)/fork.wasm
endif

outside: setup ## Fetches and builds modules that others wrote, for the tests
	scripts/outside-modules.sh

test: build guests outside ## Runs all tests: unit, integration and documentation
	$(CARGO) test --release --workspace

lint: setup ## Checks format and lints of host, guests and scripts; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path guests/Cargo.toml --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	scripts/guest-cargo.sh lint
	$(if $(C_SOURCES),scripts/guest-cc.sh -fsyntax-only $(C_WARNINGS) -Werror $(C_SOURCES))
	scripts/guest-cc.sh -fsyntax-only $(C_WARNINGS) -Werror $(filter %.c,$(SIDE_SOURCES))
	rustfmt --edition 2024 --check $(filter %.rs,$(SIDE_SOURCES))
	if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

bench-guests: setup
	scripts/guest-cargo.sh build --profile optimized -p nodule-guest-bench

bench: build guests bench-guests ## Runs the benchmarks, side by side with Node and Bun where they are installed
	$(CARGO) bench -p nodule-tests --bench bench

fuzz: setup ## Fuzzes what reads a guest's bytes
	scripts/fuzz.sh

docs: setup ## Writes the generated documents, and the API documentation into target/doc
	$(CARGO) run --release -p nodule-tests --bin docs
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --release --no-deps --workspace

install: build ## Installs the binary to $(DESTDIR)$(PREFIX)/bin
	install -D -m 755 $(NODULE) $(DESTDIR)$(PREFIX)/bin/nodule

clean: ## Removes what was built; toolchains in the user's cache stay
	rm -rf $(TARGET_DIR) guests/target

# make run    a working chat at http://127.0.0.1:3210
# make test   everything that CI checks
# make bench  the measurements of docs/performance.md
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
WEB_SOURCES := $(shell find web/src web/public clients/typescript/src web/index.html web/vite.config.ts web/package-lock.json -type f 2>/dev/null)

.PHONY: help run build release test check unit web-test e2e crash fuzz bench generate clean chromium

help:
	@sed -n 's/^# //p' Makefile | head -3

## Running

run: build
	./target/debug/spool serve

build: web/dist/index.html
	cargo build --locked --bin spool

# The examples, on the demo model unless the environment names another: make example-reos, make example-research
example-%: build examples/node_modules
	./target/debug/spool serve --config examples/$*/spool.toml --data .spool/$*

release: web/dist/index.html
	cargo build --locked --release --bin spool
	@ls -lh target/release/spool

%/node_modules: %/package-lock.json
	cd $* && $(NPM_CI)
	@touch $@

web/dist/index.html: web/node_modules $(WEB_SOURCES)
	cd web && npm run build

## Testing

test: check build unit web-test e2e
	@echo "All tests passed."

# Formatting, lints, generated files.
check: clients/typescript/node_modules web/dist/index.html
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd clients/typescript && npm run check && npm run typecheck

# The MCP servers of npm, which the tools are tested with, are among the modules of the end-to-end tests.
unit: web/dist/index.html tests/node_modules
	if command -v cargo-nextest >/dev/null; then cargo nextest run --locked --workspace; else cargo test --locked --workspace --lib --bins --tests; fi
	cargo test --locked --workspace --doc

web-test: web/node_modules clients/typescript/node_modules
	cd clients/typescript && npm test
	cd web && npm test

tests/ai-sdk/node_modules: tests/ai-sdk/package-lock.json
	cd tests/ai-sdk && $(NPM_CI)
	@touch $@

tests/durable/node_modules: tests/durable/package-lock.json
	cd tests/durable && $(NPM_CI)
	@touch $@

tests/convex-agent/node_modules: tests/convex-agent/package-lock.json
	cd tests/convex-agent && $(NPM_CI)
	@touch $@

# Real clients and a real browser against the real binary.
e2e: build tests/node_modules examples/node_modules tests/ai-sdk/node_modules tests/durable/node_modules tests/convex-agent/node_modules chromium
	cd tests && SPOOL_BIN=target/debug/spool npm test
	cd tests/ai-sdk && npm test
	cd tests/durable && npm test
	cd tests/convex-agent && npm test

chromium:
	@command -v sqlite3 >/dev/null || { echo "Installing Debian's sqlite3 for the tests that look into the database"; apt-get update -q && apt-get install -y -q --no-install-recommends sqlite3; }
	@command -v curl >/dev/null || { echo "Installing Debian's curl for the tests that read event streams with it"; apt-get update -q && apt-get install -y -q --no-install-recommends curl; }
	@command -v chromium >/dev/null || { echo "Installing Debian's chromium for the browser tests"; apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }

## Long runs, on demand

# 200 random kill -9 under load; KILLS=1000 for more.
crash: build tests/node_modules
	cd tests && SPOOL_BIN=target/debug/spool node crash.mjs --kills $${KILLS:-200}

# Random inputs for every route, for credentials and for messages on the sync socket: RUNS of each, or LIMIT
# seconds of each. The same SEED makes the same inputs.
fuzz: web/dist/index.html
	SPOOL_FUZZ_RUNS=$${RUNS:-10000000} SPOOL_FUZZ_SECONDS=$${LIMIT:-86400} SPOOL_FUZZ_SEED=$${SEED:-$$RANDOM} \
		cargo test --locked --profile fuzz -p spool-server --test fuzz -- --nocapture --test-threads=1

# Redis and the Node reference server of Durable Streams are measured beside Spool where they are installed.
crates/bench/peers/node_modules: crates/bench/peers/package-lock.json
	cd crates/bench/peers && $(NPM_CI)
	@touch $@

bench: release crates/bench/peers/node_modules
	cargo run --locked --release -p spool-bench

## Generated files

# The function table becomes openapi.json, and that becomes the TypeScript types. The cases of the authorization
# matrix become tests/matrix/cases.json.
generate: clients/typescript/node_modules
	SPOOL_UPDATE=1 cargo test --locked -p spool-chat --test chat generated
	cd clients/typescript && npm run generate

clean:
	rm -rf target web/dist web/node_modules clients/typescript/node_modules tests/node_modules

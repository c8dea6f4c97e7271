# Everything a developer types. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Tools that cargo installs lie there, whether or not the shell knows.
export PATH := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

NODE_MODULES := ui/node_modules/.package-lock.json
DESKTOP := target/debug/howdah-desktop

# Host names in the pictures; they lead to the machine itself.
HOSTS := db.example.com staging.example.com postgres-primary-0.eu-central-1.production.internal.example.com

# `make test` says --workspace here: what it builds anyway, so that nothing is built twice.
TYPES_OF := --package howdah-domain --package howdah-engine

.PHONY: help run test check bench screenshots types icons setup setup-test programs ui deny \
	format-check clippy build-linted test-rust test-ui test-types test-window test-edges

help: ## List what can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup programs ## Install what is missing, build, and open the app (without a display: the demo in the terminal)
	@if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then \
		$(MAKE) ui && cargo build --package howdah-desktop --package howdah-cli && exec $(DESKTOP); \
	else \
		echo "There is no display here, so this is the main job in the terminal: howdah demo"; \
		cargo run --package howdah-cli -- demo; \
	fi

test: setup-test programs ## Run everything: format, lints, types, tests on real PostgreSQL, the real window
	@scripts/test.sh

check: ## Run what is fast: format, lints, unit tests
	@$(MAKE) format-check ui clippy
	cargo nextest run --workspace --lib --bins -E 'not test(/export_bindings_/)'
	@$(MAKE) test-ui

bench: setup-test programs ui ## Measure speed and memory against the bundled pg_dump, and write the report
	cargo run --release --package howdah-archive --example archive_speed
	cargo run --release --package howdah-domain --example retention_speed
	cargo run --release --package howdah-store --example watching_speed
	cargo run --release --package howdah-engine --example watch_speed
	cargo bench --package howdah-cli --bench performance -- $(or $(BENCH),--wide)
	scripts/desktop.sh cargo nextest run --workspace --run-ignored only --no-capture -E 'binary_id(howdah-desktop::measure)'

screenshots: setup-test programs ui ## Take the README's pictures, of the real window with real data
	TZ=Europe/Berlin HOWDAH_SCREENSHOTS="$(CURDIR)/docs/screenshots" scripts/desktop.sh --home /home/ada --hosts "$(HOSTS)" \
		cargo nextest run --workspace --run-ignored only --no-capture -E 'binary_id(howdah-desktop::screenshots)'

types: ## Write the TypeScript types anew from the Rust ones
	rm -f ui/src/lib/ipc/generated/*.ts
	cargo test --quiet $(TYPES_OF) --lib export_bindings

icons: ## Render the icons anew from their drawing
	icons/render.sh

setup: ## Install what building and running need
	@scripts/setup.sh

setup-test: ## Install what testing needs besides
	@scripts/setup.sh test

programs: ## Fetch and verify the PostgreSQL programs that Howdah ships
	cargo run --quiet --package howdah-bundle -- fetch --into programs

ui: $(NODE_MODULES) ## Build the window's pages
	cd ui && npm run --silent build

deny: ## Check licences, bans and sources of all dependencies
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny check licenses bans sources

$(NODE_MODULES): ui/package.json ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund
	@touch $@

# What follows are the parts of `make test`, in its order. They all build the whole workspace: a package built alone would have
# other features, and be built again.

format-check:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

# What `make test` does in place of clippy: it builds what test-rust runs. A plain build would not be shared with that. The benchmark
# alone is left to `make clippy`.
build-linted:
	cargo nextest run --workspace --no-run

test-edges:
	scripts/edges.sh

# The tests that only write TypeScript types run in test-types. One more at a time than there are processors: many wait for a server.
test-rust:
	cargo nextest run --workspace --test-threads $$(($$(nproc) + 1)) -E 'not test(/export_bindings_/)'

test-ui: $(NODE_MODULES)
	cd ui && npm run --silent check && npm run --silent lint && npm run --silent test

test-types: types
	@changed=$$(git status --porcelain -- ui/src/lib/ipc/generated); \
	if [ -n "$$changed" ]; then \
		echo "The TypeScript types are not what the Rust types say. Run \`make types\` and commit:"; echo "$$changed"; exit 1; \
	fi

test-window:
	scripts/desktop.sh cargo nextest run --workspace --run-ignored only --test-threads 1 -E 'binary_id(/^howdah-desktop::window/)'

#!/usr/bin/env bash
# `make test`: every part, in an order that fails early on what is cheap; stops at the first that fails and says which.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
# Clippy compiles as rustc does, and complains besides: built with it, nothing has to be looked through a second time.
export RUSTC_WORKSPACE_WRAPPER=clippy-driver
export CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__ # how cargo clippy hands on `-D warnings`

for part in format-check ui build-linted test-edges test-ui test-types test-rust test-window; do
    start=$SECONDS
    printf '\n── %s\n' "$part"
    if ! make "$part" TYPES_OF=--workspace; then
        printf '\n%s failed.\n' "$part" >&2
        exit 1
    fi
    printf '── %s: %d s\n' "$part" $((SECONDS - start))
done
printf '\nEverything passed in %d min %d s.\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))

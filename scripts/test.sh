#!/usr/bin/env bash
# `make test`: every part, in an order that fails early on what is cheap; stops at the first that fails and says which.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
for part in format-check ui clippy test-edges test-ui test-types test-rust test-window; do
    start=$SECONDS
    printf '\n── %s\n' "$part"
    if ! make "$part" TYPES_OF=--workspace; then
        printf '\n%s failed.\n' "$part" >&2
        exit 1
    fi
    printf '── %s: %d s\n' "$part" $((SECONDS - start))
done
printf '\nEverything passed in %d min %d s.\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))

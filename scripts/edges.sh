#!/usr/bin/env bash
# Checks what may depend on what: only the shell knows tauri, only the shell and the command line know the engine, the domain
# knows no crate of ours, and exactly one crypto provider is linked.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() {
    echo "$1" >&2
    failed=1
}
# Who depends on a package, directly, among ours.
users() {
    cargo tree --workspace --target all --edges normal,build,dev --invert "$1" --depth 1 --prefix none --format '{p}' 2>/dev/null |
        sed -n '2,$s/^\(howdah-[a-z]*\) .*/\1/p' | sort -u | tr '\n' ' '
}
expect() { # package, who may use it
    local found
    found=$(users "$1")
    for user in $found; do
        case " $2 " in *" $user "*) ;; *) complain "$user depends on $1; only $2 may" ;; esac
    done
}
expect tauri "howdah-desktop"
expect howdah-engine "howdah-desktop howdah-cli"
expect howdah-store "howdah-engine howdah-desktop howdah-cli howdah-testkit"
if cargo tree --package howdah-domain --edges normal --prefix none --format '{p}' | sed -n '2,$p' | grep -q '^howdah-'; then
    complain "howdah-domain depends on another crate of ours"
fi
if cargo tree --workspace --target all --edges normal,build --invert ring --depth 0 2>/dev/null | grep -q '^ring '; then
    complain "ring is linked beside aws-lc-rs: one crypto provider is enough"
fi
if ! cargo tree --workspace --edges normal --invert aws-lc-rs --depth 0 2>/dev/null | grep -q '^aws-lc-rs '; then
    complain "aws-lc-rs, the one crypto provider, is not linked"
fi
for manifest in crates/*/Cargo.toml; do
    if grep -Eq '^tauri' "$manifest"; then complain "$manifest names tauri"; fi
done
[ "$failed" = 0 ] && echo "Dependencies are as ARCHITECTURE.md says."
exit "$failed"

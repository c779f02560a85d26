#!/usr/bin/env bash
# Outside vectors on the host, on wasm targets, and past the module: tests/conformance/run.sh DIR MODULE TARGET... Ends with
# an error where a row fails on one of them, or where not all give the same answers. `make conformance` sees to what is needed.
#
# wasm32-wasip1 is what ships: the program is built with the profile of the module, and Node is its operating system.
# wasm32-unknown-unknown has no operating system: there the program is a test, unoptimised, which Node runs too.
set -euo pipefail
vectors=$(realpath -- "$1")
module=$(realpath -- "$2")
shift 2
cd "$(dirname "$0")/../.."

OUT=target/conformance
PACKAGE=svidgate-conformance
mkdir -p "$OUT"

# Says where it runs, and shows the report of a command, or everything that it said where there is none.
run() {
    local target=$1 failed=
    shift
    echo "== $target"
    "$@" >"$OUT/$target" 2>&1 || failed=yes
    sed -n '/^ *kind  /,/SHA-256 of their answers/p' "$OUT/$target" | sed 's/^ *//' >"$OUT/$target.report"
    [ -s "$OUT/$target.report" ] && cat "$OUT/$target.report" || cat "$OUT/$target" >&2
    [ -z "$failed" ] || failures+=("$target")
}

failures=()
host=$(rustc -vV | sed -n 's/^host: //p')
run "$host" target/debug/conformance "$vectors"
for target in "$@"; do
    case $target in
    wasm32-wasip1)
        cargo build --locked --quiet --release --package "$PACKAGE" --bin conformance --target "$target"
        run "$target" node --no-warnings tests/conformance/wasip1.mjs "target/$target/release/conformance.wasm" "$vectors"
        ;;
    wasm32-unknown-unknown)
        VECTORS=$vectors run "$target" \
            cargo test --locked --package "$PACKAGE" --package svidgate-policy --test node --target "$target" -- --nocapture
        ;;
    *)
        echo "no target: $target" >&2
        exit 2
        ;;
    esac
done
# The module itself, in the rows that a proxy could ask it in.
run module target/debug/conformance "$vectors" "$module"

for target in "$@"; do
    cmp --quiet "$OUT/$host.report" "$OUT/$target.report" || failures+=("$target gives other answers than $host")
done
if [ ${#failures[@]} -gt 0 ]; then
    printf 'FAILED %s\n' "${failures[@]}" >&2
    exit 1
fi
echo "== $host $* give the same answer in every row, and the module in its own"

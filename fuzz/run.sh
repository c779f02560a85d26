#!/usr/bin/env bash
# Runs fuzz targets, each for some seconds: fuzz/run.sh SECONDS [TARGET...]. Ends with an error when one crashed. With
# SEED=1 or another number, the fuzzer draws the same numbers each time; how far it comes is still a matter of time.
# fuzz/run.sh build builds them and runs none.
#
# The fuzzer is LLVM's, through cargo-fuzz, on the stable toolchain. No sanitizer: it would need a nightly one, and there
# is no `unsafe` in what is fuzzed.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_FUZZ=0.13.2
TARGETS=(id pattern pem leaf bundle token xfcc assertion client_cert document workload_api revocations decision analysis tests dump carrier)
OUT=target/fuzz

seconds=$1
shift
[ $# -eq 0 ] || TARGETS=("$@")

command -v c++ >/dev/null || { echo "the fuzzer needs a C++ compiler: apt-get install g++" >&2; exit 1; }

tool=target/cargo-fuzz/bin/cargo-fuzz
if ! "$tool" --version 2>/dev/null | grep -qF "$CARGO_FUZZ"; then
    echo "== building cargo-fuzz $CARGO_FUZZ" >&2
    # Unoptimised: it only calls Cargo.
    cargo install --quiet --debug --locked --root target/cargo-fuzz --target-dir target/cargo-fuzz/build "cargo-fuzz@$CARGO_FUZZ"
fi

echo "== building the fuzz targets" >&2
target/debug/seeds "$OUT/seeds" ${VECTORS:+"$VECTORS"}
build=(fuzz build --sanitizer none --no-cfg-fuzzing --release --target-dir "$OUT")
host=$(rustc -vV | sed -n 's/^host: //p')
"$tool" "${build[@]}" >"$OUT/build.log" 2>&1 || { cat "$OUT/build.log" >&2; exit 1; }

[ "$seconds" != build ] || exit 0

# Takes a number from the log of a target.
stat() { sed -nE "s/^stat::$1: *//p" "$log" | tail -1; }
# Takes a number from the fuzzer's last line.
last() { sed -nE "s/^#[0-9]+.* $1: ([0-9]+).*/\1/p" "$log" | tail -1; }

# Runs one target, and leaves its row of the table and whether it crashed.
run() {
    local target=$1 said='' corpus artifacts log place seeds
    corpus=$OUT/corpus/$target artifacts=$OUT/artifacts/$target log=$OUT/$target.log
    mkdir -p "$corpus" "$artifacts"
    rm -f "$OUT/$target.crashed"
    # What is made of the vectors, and what is written by hand; a target may have one of them.
    seeds=()
    for place in "$OUT/seeds/$target" "fuzz/seeds/$target"; do
        [ ! -d "$place" ] || seeds+=("$place")
    done
    if ! "$OUT/$host/release/$target" "$corpus" "${seeds[@]}" -dict="fuzz/dictionaries/$target.dict" \
        -artifact_prefix="$artifacts/" -seed="${SEED:-0}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 >"$log" 2>&1; then
        touch "$OUT/$target.crashed"
        said="crashed: $log"
    fi
    printf '| %-12s | %11s | %8s | %8s | %6s | %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(last ft)" "$(last corp)" "$said"
}

printf '| %-12s | %11s | %8s | %8s | %6s | %s\n' target executions "a second" features inputs ""
# One on each core.
for target in "${TARGETS[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    run "$target" &
done
wait

failed=()
for target in "${TARGETS[@]}"; do
    [ ! -e "$OUT/$target.crashed" ] || failed+=("$target")
done
for target in "${failed[@]}"; do
    grep -E -A 3 'panicked at|^==[0-9]+==|^SUMMARY' "$OUT/$target.log" >&2 || true
    grep -E 'Test unit written to' "$OUT/$target.log" >&2 || true
done
[ ${#failed[@]} -eq 0 ]

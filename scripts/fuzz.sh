#!/usr/bin/env bash
# Fuzzes what reads bytes of guests and other processes: the value codec, the framer of channels and the imports, each for
# FUZZ_SECONDS (60).
# With arguments only these targets: scripts/fuzz.sh value
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:$HOME/.cargo/bin"
# cargo-fuzz passes compiler flags that a stable compiler has only behind this switch.
export RUSTC_BOOTSTRAP=1
seconds=${FUZZ_SECONDS:-60}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo 'fuzz: installing cargo-fuzz'
    env -u RUSTC_BOOTSTRAP cargo install --locked cargo-fuzz
fi

fuzz() {
    local target=$1
    shift
    echo "fuzz: $target for $seconds s"
    cargo fuzz run "$@" "$target" -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1
}

if (($# == 0)); then
    set -- value frames imports
fi
for target in "$@"; do
    case $target in
        value | frames) fuzz "$target" ;;
        # The address sanitizer knows nothing of fibers, on which guests run, and takes the engine's signals.
        imports) fuzz imports --features imports --sanitizer none ;;
        *)
            echo "fuzz: no target $target; there are value, frames and imports" >&2
            exit 2
            ;;
    esac
done

#!/usr/bin/env bash
# Builds a side module, for process.dlopen, from one C or Rust source with the toolchain that
# scripts/setup.sh chose. Side modules given after the source become the ones it needs:
#   scripts/guest-side.sh -o shapes.wasm shapes.c numbers.wasm
set -euo pipefail

if [ $# -lt 3 ] || [ "$1" != -o ]; then
    sed -n 2,4p "${BASH_SOURCE[0]}" >&2
    exit 2
fi
output=$2 source=$3
shift 3

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -f "$root/target/guest-toolchain.env" ] || "$root/scripts/setup.sh"
# shellcheck source=/dev/null
. "$root/target/guest-toolchain.env"

# Symbols that nothing defines are the loader's to find, and constructors are its to call.
link=(--experimental-pic --no-entry --unresolved-symbols=import-dynamic --export-if-defined=__wasm_call_ctors
    --strip-debug)
case $source in
    *.c)
        exec "$GUEST_CC" "--target=$GUEST_CC_TARGET" -O2 -fPIC -fvisibility=default -Wall -Wextra -matomics \
            -shared -nostdlib "${link[@]/#/-Wl,}" -o "$output" "$source" "$@"
        ;;
    *.rs)
        exec "$GUEST_RUSTC" --target wasm32-wasip1 --edition 2024 --crate-type cdylib -O -C panic=abort \
            -C relocation-model=pic -C link-arg=-shared "${link[@]/#/-Clink-arg=}" "${@/#/-Clink-arg=}" \
            -A non_upper_case_globals -o "$output" "$source"
        ;;
    *)
        echo "guest-side.sh: $source is neither C nor Rust" >&2
        exit 2
        ;;
esac

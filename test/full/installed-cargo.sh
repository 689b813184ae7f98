#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# What other people's Cargo projects find: the library installed to a clean place, the crates out of their packages; a project there that has
# nothing else of this tree builds and runs, with the shared library and with the static one.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
. scripts/cargo.sh
if ! have_cargo || ! command -v pkg-config >/dev/null; then
	skip "Cargo projects: no cargo or pkg-config"
	finish
fi
build=$(cd "${BUILD:-build}" && pwd) || exit 1
version=$(scripts/version) || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT
place=$dir/opt/vmbus
unset MAKEFLAGS MFLAGS MAKELEVEL LD_LIBRARY_PATH RUSTFLAGS CARGO_BUILD_TARGET
export PKG_CONFIG_PATH="$place/lib/pkgconfig" CARGO_TARGET_DIR="$dir/target"

# From crates.io comes what build scripts use, at the versions of our Cargo.lock, unless it is here already.
run_cargo() { # COMMAND ARGUMENT...
	cargo "$@" --quiet --offline || cargo "$@" --quiet
}

crates() {
	scripts/crates "$dir/source" || return 1
	package_crates "$dir/source" "$dir/crates" --offline || package_crates "$dir/source" "$dir/crates" || return 1
	rm -rf "$dir/source"
}

# A project whose program is an example of the crate.
project() { # NAME FEATURES
	mkdir -p "$dir/$1/src"
	cat >"$dir/$1/Cargo.toml" <<-END
		[package]
		name = "user"
		version = "1.0.0"
		edition = "2021"

		[dependencies]
		vmbus = { path = "../crates/vmbus-$version", features = [$2] }

		[patch.crates-io]
		vmbus-sys = { path = "../crates/vmbus-sys-$version" }
	END
	cp bindings/rust/Cargo.lock "$dir/$1"
	cp bindings/rust/vmbus/examples/loopback.rs "$dir/$1/src/main.rs"
}

run() { LD_LIBRARY_PATH=$1 timeout 60 "$dir/target/debug/user"; }

expect "make install" make BUILD="$build" PREFIX="$place" install
expect "the crates, packaged and unpacked" crates
project shared ''
expect "a Cargo project" run_cargo build --manifest-path "$dir/shared/Cargo.toml"
expect "uses the shared library" sh -c "readelf -d '$dir/target/debug/user' | grep -q 'NEEDED.*libvmbus\.so\.'"
expect "and runs" run "$place/lib"
expect "not without it" sh -c "! '$dir/target/debug/user'"
project static '"static"'
expect "a Cargo project that wants the static library" run_cargo build --manifest-path "$dir/static/Cargo.toml"
expect "uses no shared one" sh -c "! readelf -d '$dir/target/debug/user' | grep -q 'NEEDED.*libvmbus'"
expect "and runs by itself" run /nowhere
finish

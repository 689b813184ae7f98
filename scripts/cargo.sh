# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# shellcheck shell=sh
# For scripts that need Rust: source this, call have_cargo first.

# Is there a cargo, in PATH or where rustup puts it?
have_cargo() {
	command -v cargo >/dev/null && return 0
	[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] || return 1
	PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	export PATH
}

# The crates that scripts/crates wrote, packaged as they are published, in $CARGO_TARGET_DIR/package, and unpacked again. cargo is not asked to build
# them: it would take what it has once unpacked for every later package of the same version.
package_crates() { # FROM TO [CARGO'S OPTION]
	from=$1 to=$2
	shift 2
	cargo package --quiet --workspace --allow-dirty --no-verify --manifest-path "$from/Cargo.toml" "$@" || return 1
	rm -rf "$to"
	mkdir -p "$to"
	for package in "$CARGO_TARGET_DIR"/package/vmbus*.crate; do
		tar -xzf "$package" -C "$to" || return 1
	done
}

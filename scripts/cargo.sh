# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# shellcheck shell=sh
# For scripts that need Rust: source this, call have_cargo.

# Is there a cargo, in PATH or where rustup puts it?
have_cargo() {
	command -v cargo >/dev/null && return 0
	[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] || return 1
	PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	export PATH
}

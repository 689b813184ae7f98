# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# shellcheck shell=sh
# For scripts that need Go: source this, call have_go, from the top of the tree.

# Is there a go that is new enough for bindings/go? Nothing is downloaded: the module needs no other one.
have_go() {
	GOTOOLCHAIN=local GOPROXY=off GOWORK=off
	export GOTOOLCHAIN GOPROXY GOWORK
	unset GOFLAGS
	command -v go >/dev/null && (cd bindings/go && go list . >/dev/null 2>&1)
}

# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# shellcheck shell=sh
# For scripts that are tests: source this, call expect, pass and fail, end with finish.
passed=0 failed=0 skipped=0
tally_log=$(mktemp) || exit 1
trap 'rm -f "$tally_log"' EXIT

pass() { # TEXT...
	passed=$((passed + 1))
	echo "ok      $*"
}

fail() { # TEXT...
	failed=$((failed + 1))
	echo "FAILED  $*"
}

# shellcheck disable=SC2034 # finish prints it
skip() { # TEXT: with the reason
	skipped=$((skipped + 1))
	echo "skipped $*"
}

# One test: the command must succeed. What it printed is shown if it does not.
expect() { # TEXT COMMAND ARGUMENT...
	tally_text=$1
	shift
	if "$@" >"$tally_log" 2>&1; then
		pass "$tally_text"
	else
		fail "$tally_text"
		grep -vE "^  (CC|AR|LINK|FUZZ) " "$tally_log" | tail -n 40
	fi
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && exit 0
	exit 1
}

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The manual that scripts/manual makes: all functions, no warnings, and each example, taken out of its page again, compiles.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT

expect "each section of vmbus.h has a page, each function a comment" scripts/manual "$dir"
scripts/public >"$dir/functions"
for function in $(cat "$dir/functions"); do
	[ -e "$dir/man3/$function.3" ] && grep -q "^\.BR $function ()" "$dir/man3/$function.3" || echo "$function"
done >"$dir/lacks"
expect "each function has a page that tells of it" diff /dev/null "$dir/lacks"

for page in "$dir"/man3/*.3 "$dir"/man7/*.7; do
	[ ! -L "$page" ] || continue
	name=$(basename "$page")
	if command -v mandoc >/dev/null; then
		# It has a date once its version is released.
		mandoc -Tlint -W warning "$page" | grep -v 'WARNING: missing date, using "": TH' >"$dir/said"
		expect "$name: no warning" diff /dev/null "$dir/said"
	else
		skip "$name: no mandoc"
	fi
	[ "$name" != vmbus.7 ] || continue
	sed -n '/^\.SH EXAMPLES/,/^\.EE/{/^\./d; s/^\\&//; s/\\-/-/g; s/\\(ha/^/g; s/\\(ti/~/g; s/\\(ga/`/g; s/\\e/\\/g; p;}' "$page" >"$dir/example.c"
	expect "$name: its example compiles" cc -std=c11 -Wall -Wextra -Werror -Wno-missing-prototypes -Iinclude -c -o "$dir/example.o" "$dir/example.c"
	expect "$name: and uses the library" sh -c "grep -q vmb_ '$dir/example.c' && nm '$dir/example.o' | grep -q ' T '"
done
finish

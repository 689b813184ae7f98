#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Compiles and links every C example of README.md (between ```c and ```), as it stands there.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT

awk -v dir="$dir/" '/^```c$/ { file = sprintf("%s%d.c", dir, ++n); next } /^```/ { file = "" } file { print >file }' README.md
for example in "$dir"/*.c; do
	[ -f "$example" ] || continue
	expect "README.md: example $(basename "$example" .c) compiles" cc -std=c11 -Wall -Wextra -Werror -Iinclude -c -o "$dir/example.o" "$example"
	expect "README.md: and needs what the library has" sh -c "
		nm -u '$dir/example.o' | awk '/ vmb_/ { print \$2 }' | sort >'$dir/needs'
		scripts/public | sort | comm -23 '$dir/needs' - | tee '$dir/lacks'; [ -s '$dir/needs' ] && [ ! -s '$dir/lacks' ]"
done
finish

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Compiles every example of README.md in C, and in Go, as it stands there. Those in Rust: scripts/check-rust.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
. scripts/go.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT

for example in $(scripts/readme c c "$dir"); do
	expect "README.md: $(basename "$example" .c) in C compiles" cc -std=c11 -Wall -Wextra -Werror -Iinclude -c -o "$dir/example.o" "$example"
	expect "README.md: and needs what the library has" sh -c "
		nm -u '$dir/example.o' | awk '/ vmb_/ { print \$2 }' | sort >'$dir/needs'
		scripts/public | sort | comm -23 '$dir/needs' - | tee '$dir/lacks'; [ -s '$dir/needs' ] && [ ! -s '$dir/lacks' ]"
done

for example in $(scripts/readme go go "$dir"); do
	if have_go; then
		expect "README.md: $(basename "$example" .go) in Go is vetted" sh -c "cd bindings/go && go vet '$example'"
	else
		skip "README.md: $(basename "$example" .go) in Go: no go"
	fi
done
finish

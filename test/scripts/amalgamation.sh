#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The library as one file: made twice to the same bytes, compiled by two compilers and as part of another file; and the tests of ring and channel
# run with it in the library's place, as make test-amalgamation runs all.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=${BUILD:-build}
one=$build/amalgamation
rm -rf "$one" "$build/again"
flags="-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -O2 -ffreestanding"

expect "make amalgamation" make BUILD="$build" amalgamation
expect "and once more, elsewhere" scripts/amalgamate "$build/again"
expect "vmbus.c is the same, byte for byte" cmp "$one/vmbus.c" "$build/again/vmbus.c"
expect "vmbus.h is the public header" cmp "$one/vmbus.h" include/vmbus.h
expect "no private header is left to include" sh -c "! grep -E '^#[ \t]*include[ \t]*\"' '$one/vmbus.c' | grep -v '\"vmbus.h\"'"
for cc in gcc clang; do
	# shellcheck disable=SC2086
	expect "$cc compiles it without a warning" $cc $flags -c -o "$one/vmbus-$cc.o" "$one/vmbus.c"
	nm -g --defined-only "$one/vmbus-$cc.o" | awk '{ print $3 }' | LC_ALL=C sort >"$one/defined"
	scripts/public >"$one/public"
	expect "it defines the public functions and nothing else" diff -u "$one/public" "$one/defined"
done
printf '#define VMB_API static\n#include "vmbus.c"\nint answer(void);\nint answer(void)\n{\n\treturn vmb_message_name(5)[0] == 79;\n}\n' >"$one/within.c"
# shellcheck disable=SC2086
expect "within another file, as static functions" gcc $flags -O0 -Wno-unused-function -c -o "$one/within.o" "$one/within.c"
expect "nothing of it shows there" test "$(nm -g --defined-only "$one/within.o" | awk '{ print $3 }')" = answer

scripts/one-file "$build" ring channel >"$one/log"
cat "$one/log"
read -r p _ f _ s _ <<END
$(tail -n 1 "$one/log")
END
passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
finish

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# A packet costs no more instructions than bench/instructions.tsv says, counted inside the library; and who makes it dearer is noticed.
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
bench=$build/bench planted=$build/bench/planted

[ "$(uname -sm)" = "Linux x86_64" ] || { skip "instructions: those of x86-64 are counted"; finish; }
[ "$(gcc -dumpversion 2>/dev/null)" = 12 ] || { skip "instructions: the figures are those of gcc 12, this is $(gcc -dumpversion 2>&1)"; finish; }
command -v valgrind >/dev/null || { skip "instructions: needs valgrind (make deps)"; finish; }

touch='\tVMBI_WRITE64(\&rx->packets, VMBI_READ64(\&rx->packets));\n'

verdicts() { # FILE: each "kept" passes, each "FAILED" does not
	while read -r line; do
		case $line in
		*" kept ("*) pass "$line" ;;
		*) fail "$line" ;;
		esac
	done <"$1"
}

# The library with four more loads and stores for each packet that is taken: only what depends on the line is compiled again.
plant() {
	rm -rf "$planted"
	mkdir -p "$planted/tree" &&
		cp -Rp lib include scripts bench Makefile vmbus.map ./*.in "$planted/tree" &&
		cp -Rp "$bench/library" "$planted/library" &&
		sed -i "s/^\trx->fresh++;$/$touch$touch$touch$touch&/" "$planted/tree/lib/ring/short.h" &&
		! cmp -s lib/ring/short.h "$planted/tree/lib/ring/short.h" &&
		make -C "$planted/tree" BUILD="$planted/library" CC=gcc CFLAGS='-O2 -g' SANITIZE= all &&
		awk -v OFS='\t' '$1 == "write-copying" { $2 = 1000; $3 = 50 } { print }' bench/instructions.tsv >"$planted/list"
}

count() { # LIST LOG: what is counted is the library that LD_LIBRARY_PATH names, else the one in $bench/library
	bench/instructions -l "$1" "$bench/bench" "$bench" >"$2"
}

make BUILD="$build" "$bench/bench" "$bench/shared.so" "$bench/channel.so" "$bench/bare.so" >"$tally_log" 2>&1 || {
	tail -n 40 "$tally_log"
	fail "instructions: does not build"
	finish
}
count bench/instructions.tsv "$bench/instructions.log"
verdicts "$bench/instructions.log"
expect "a slower library builds" plant
LD_LIBRARY_PATH=$planted/library count "$planted/list" "$planted/log" && fail "planted: the count ends with success"
for name in read-copying read-in-place channel; do
	expect "planted: four loads and stores more for each packet taken are noticed: $name" grep "^instructions $name .* FAILED (" "$planted/log"
done
expect "planted: what did not grow is above its ceiling: write-copying" grep "^instructions write-copying .* FAILED (50.0 allowed)" "$planted/log"
rm -rf "$planted"
finish

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Control costs the same with 2000 channels as with 10. -t: in nanoseconds, not judged.
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
if [ "$(uname -sm)" != "Linux x86_64" ]; then
	skip "scale: needs x86-64 Linux, whose instructions are counted one by one"
	finish
fi
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
mkdir -p "$build/test/full"
make BUILD="$build" all >"$tally_log" 2>&1 &&
	${CC:-cc} -std=c11 -O2 -g -D_GNU_SOURCE= -Wall -Wextra -Werror -Iinclude -I. -o "$build/test/full/scale" test/full/scale/*.c -L"$build" -lvmbus \
		-Wl,-rpath,"$build" >>"$tally_log" 2>&1 || {
	cat "$tally_log"
	fail "scale: does not build"
	finish
}
LD_BIND_NOW=1 exec "$build/test/full/scale" "$@"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# make demo, from nothing, with a compiler and make: under 10 seconds, compiling included.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT

# Processor time, of all children: it is the time on a machine with nothing else to do, whatever this one has.
expect "make demo" env -u MAKEFLAGS make BUILD="$dir" demo
times >"$dir/times"
seconds=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, "m"); sum += t[1] * 60 + t[2] } print int(sum + 0.5) }' "$dir/times")
expect "in less than 10 s (it took $seconds)" test "$seconds" -lt 10
finish

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# make demo, from nothing, with a compiler and make: under 10 seconds, compiling included.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT

start=$(date +%s)
expect "make demo" env -u MAKEFLAGS make BUILD="$dir" demo
seconds=$(($(date +%s) - start))
expect "in less than 10 s (it took $seconds)" test $seconds -lt 10
finish

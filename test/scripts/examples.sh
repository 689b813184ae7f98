#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Every example that is one program runs and is content with itself.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh

for program in "${BUILD:-build}"/examples/*; do
	[ -f "$program" ] && [ -x "$program" ] || continue
	expect "$(basename "$program")" timeout 60 "$program"
done
finish

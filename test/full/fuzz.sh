#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Each fuzz target for a minute, from the committed corpus on, and what of lib/ is not reached. FUZZ_SECONDS=1200 for longer.
cd "$(dirname "$0")/../.." || exit 1
exec make BUILD="${BUILD:-build}" T="${FUZZ_SECONDS:-60}" fuzz

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Each rule that matters has a test that turns red without it.
cd "$(dirname "$0")/../.." || exit 1
exec make BUILD="${BUILD:-build}" test-mutation

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The suite on 32 bits, without what walks schedules. `make test-foreign` is all of it on four processors, one of them big-endian; it takes longer
# than this gate may.
cd "$(dirname "$0")/../.." || exit 1
exec make BUILD="${BUILD:-build}" test-foreign ARCH=i686 LEAVE_OUT='test/border/% test/order/% test/interleave/%'

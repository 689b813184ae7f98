#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The declarations of bindings/ against include/vmbus.h, and changed ones that must be noticed.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-ffi "${BUILD:-build}/ffi"

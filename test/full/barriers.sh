#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The barriers that the ordering points need are in the object code.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-barriers "${BUILD:-build}/barriers"

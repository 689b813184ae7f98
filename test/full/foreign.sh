#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The whole suite on other processors, one of them big-endian, one with 32 bits.
cd "$(dirname "$0")/../.." || exit 1
exec make BUILD="${BUILD:-build}" test-foreign

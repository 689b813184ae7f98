#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# What a kernel or firmware wants of lib/, and of the header.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-freestanding "${BUILD:-build}/freestanding"

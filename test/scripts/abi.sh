#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# What is promised to programs of older releases holds: doc/ABI.md.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-abi "${BUILD:-build}"

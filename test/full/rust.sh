#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The Rust crates.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-rust "${BUILD:-build}/rust"

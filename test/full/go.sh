#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The Go module.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-go "${BUILD:-build}/go"

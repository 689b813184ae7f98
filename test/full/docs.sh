#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Nothing that is public is undocumented.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-docs "${BUILD:-build}/docs"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# A guest in any language with a host in any.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/test-bindings "${BUILD:-build}"

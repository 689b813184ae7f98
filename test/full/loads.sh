#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Compiled code loads what the peer can change once.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-loads "${BUILD:-build}/loads"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The ring protocol in Spin, which shares nothing with the library and its tests.
cd "$(dirname "$0")/../.." || exit 1
exec make BUILD="${BUILD:-build}" model

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# How much of lib/ the suite reaches, under the address and undefined-behaviour sanitizers.
cd "$(dirname "$0")/../.." || exit 1
exec make -j2 BUILD="${BUILD:-build}" coverage

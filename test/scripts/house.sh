#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The rules of the house: lists that must agree, what may include what, licences.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/check-house "${BUILD:-build}"

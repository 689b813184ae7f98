#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The real-guest scenarios that make test leaves out.
cd "$(dirname "$0")/../.." || exit 1
exec test/scripts/linux.sh rest

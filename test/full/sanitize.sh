#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The thread tests under the thread sanitizer, and the fuzzers' corpora under the others; full/coverage.sh has the rest of the suite under them.
cd "$(dirname "$0")/../.." || exit 1
exec make -j2 BUILD="${BUILD:-build}" sanitize-rest

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Ten million packets between two threads: each signal that ring.md 10.1 demands, and none more.
SIGNAL_PACKETS=10000000 exec "${BUILD:-build}/test/threads/ring_signals"

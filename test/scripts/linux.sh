#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Real guests on the host end: the smoke scenarios, or with the argument "rest" all others.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
smoke="contact demo reset"

scenarios=$smoke
if [ "${1:-}" = rest ]; then
	scenarios=$(ls examples/kvm-linux/scenarios | grep -vxE "$(echo "$smoke" | tr ' ' '|')")
fi
case $build in /*) ;; *) build=$PWD/$build ;; esac
# shellcheck disable=SC2086
VMB_LINUX_DIR=$build/linux examples/kvm-linux/run -b "$build/kvm-linux" $scenarios
status=$?
if [ $status -eq 2 ]; then # it said why it cannot be done on this machine: a tool, a download
	set -- $scenarios
	echo "0 passed, 0 failed, $# skipped"
	exit 0
fi
exit $status

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Installs to an empty place, builds C and C++ programs with what is there, against both libraries, and takes everything away again.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=${BUILD:-build}
root=$(mktemp -d)
trap 'rm -rf "$root" "$tally_log"' EXIT

stage() { # TARGET
	make BUILD="$build" DESTDIR="$root" PREFIX=/opt/vmbus LIBDIR=/opt/vmbus/lib64 "$1"
}

# What vmbus.pc says, without depending on pkg-config.
pc() { # KEY
	sed -e "s|\${libdir}|$root$(sed -n 's/^libdir=//p' "$root/opt/vmbus/lib64/pkgconfig/vmbus.pc")|" \
		-e "s|\${includedir}|$root$(sed -n 's/^includedir=//p' "$root/opt/vmbus/lib64/pkgconfig/vmbus.pc")|" \
		-n -e "s/^$1: //p" "$root/opt/vmbus/lib64/pkgconfig/vmbus.pc"
}

expect "make install" stage install
cat >"$root/use.c" <<'END'
#include <vmbus.h>
#include <string.h>
int main(void)
{
	return strcmp(vmb_message_name(5), "OPEN_CHANNEL") != 0 || vmb_version_at(0) != VMB_V0_13;
}
END
# shellcheck disable=SC2046
{
	expect "a C program builds against the shared library" cc -o "$root/shared" "$root/use.c" $(pc Cflags) $(pc Libs)
	expect "a C++ program builds against it" g++ -o "$root/shared++" -x c++ "$root/use.c" $(pc Cflags) $(pc Libs)
	expect "a C program builds against the static library" cc -o "$root/static" "$root/use.c" $(pc Cflags) "$root/opt/vmbus/lib64/libvmbus.a"
}
expect "with the shared library it runs" env LD_LIBRARY_PATH="$root/opt/vmbus/lib64" "$root/shared"
expect "in C++ too" env LD_LIBRARY_PATH="$root/opt/vmbus/lib64" "$root/shared++"
expect "with the static library it runs" "$root/static"
expect "vmbus.pc has the version" test "$(pc Version)" = "$(scripts/version)"
rm -f "$root"/use.c "$root"/shared* "$root"/static
expect "make uninstall" stage uninstall
expect "nothing is left" test -z "$(find "$root" -type f -o -type l)"
finish

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The same sources give the same bytes: two builds of a clean tree at different places, into differently named directories, in different time zones and
# locales, with different umasks and numbers of jobs.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT
unset BUILD MAKEFLAGS MFLAGS MAKELEVEL
version=$(scripts/version)

tree() { # PLACE
	mkdir -p "$1"
	cp -r Makefile *.in README.md CHANGELOG.md vmbus.map include lib scripts bench doc "$1"
}
tree "$dir/one"
tree "$dir/quite/another place"

one() { (cd "$dir/one" && umask 022 && LC_ALL=C TZ=UTC make all man && scripts/amalgamate build/one); }
other() {
	(cd "$dir/quite/another place" && umask 077 && LC_ALL=C.UTF-8 TZ=Asia/Tokyo make -j2 BUILD=out/of/it all man &&
		scripts/amalgamate out/of/it/one)
}
expect "a build" one
expect "and another, elsewhere and otherwise" other
for file in "libvmbus.so.$version" libvmbus.a one/vmbus.c one/vmbus.h vmbus.pc \
		vmbus-config.cmake vmbus-config-version.cmake; do
	expect "$file: the same bytes" cmp "$dir/one/build/$file" "$dir/quite/another place/out/of/it/$file"
done
expect "the manual: the same bytes" diff -r "$dir/one/build/man" "$dir/quite/another place/out/of/it/man"
expect "the library does not say where it was built" sh -c "! grep -qF '$dir' '$dir/one/build/libvmbus.so.$version'"
# shellcheck disable=SC2016
expect "it would, without what the Makefile does about it" sh -c '
	cd "$1/one" && cc -g -ffreestanding -Iinclude -c -o told.o lib/protocol/text.c && grep -qF "$1" told.o' sh "$dir"
finish

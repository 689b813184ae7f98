#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The Debian packages: built, clean by lintian, and what is in them is enough for their autopkgtest, in a place where they are unpacked.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=$(mkdir -p "${BUILD:-build}/deb" && cd "${BUILD:-build}/deb" && pwd) || exit 1
root=$(mktemp -d)
trap 'rm -rf "$root" "$tally_log"' EXIT

# Lists that must agree.
expect "debian/changelog has the version of vmbus.h" sh -c "sed -n '1s/^vmbus (\(.*\)) .*/\1/p' debian/changelog | grep -qxF '$(scripts/version)'"
soversion=$(sed -n 's/^SOVERSION := //p' Makefile)
expect "the package has its name from the SONAME" grep -qx "Package: libvmbus$soversion" debian/control
sed -n 's/^\(VMBUS_[0-9.]*\) *{.*/\1/p' vmbus.map >"$root/map"
sed -n 's/^ (symver)\(VMBUS_[0-9.]*\) .*/\1/p' "debian/libvmbus$soversion.symbols" >"$root/symbols"
expect "its .symbols has a line for each node of vmbus.map" diff -u "$root/map" "$root/symbols"

if ! command -v dpkg-buildpackage >/dev/null || ! command -v dh >/dev/null || ! command -v lintian >/dev/null; then
	skip "Debian packages: no dpkg-buildpackage, dh or lintian"
	finish
fi
rm -rf "$build"
expect "make deb" make BUILD="$(dirname "$build")" deb
expect "all packages are there" sh -c "ls '$build'/libvmbus${soversion}_*.deb '$build'/libvmbus-dev_*.deb"
clean() {
	lintian --allow-root --display-info --pedantic --fail-on error,warning,info,pedantic "$build"/*.changes
}
expect "lintian has nothing to say" clean
for package in "$build"/libvmbus*.deb; do
	expect "$(basename "$package" | sed 's/_.*//') unpacks" dpkg-deb -x "$package" "$root/installed"
done
libdir=$(dirname "$(find "$root/installed" -name libvmbus.so)")
autopkgtest() {
	PKG_CONFIG_SYSROOT_DIR=$root/installed PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir debian/tests/two-process
}
expect "the autopkgtest passes with what was unpacked" autopkgtest
expect "and fails without it" sh -c '! PKG_CONFIG_PATH=/nowhere debian/tests/two-process'
finish

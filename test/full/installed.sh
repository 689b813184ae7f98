#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# What other people's builds find: installs to a clean place, builds examples/two-process there by pkg-config (shared and static), meson and CMake,
# and runs it; takes the tree itself into a meson and a CMake project; compares what the three builds export and install; uninstalls.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=$(cd "${BUILD:-build}" && pwd) || exit 1
top=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT
place=$dir/opt/vmbus
unset MAKEFLAGS MFLAGS MAKELEVEL CMAKE_PREFIX_PATH LD_LIBRARY_PATH
export PKG_CONFIG_PATH="$place/lib/pkgconfig"

# Installed as a packager does it, then put where PREFIX says.
expect "make install" make BUILD="$build" DESTDIR="$dir/stage" PREFIX="$place" install
mkdir -p "$dir/opt" && mv "$dir/stage$place" "$place"
files() { (cd "$1" && find . -type f -o -type l | sort); }
expect "the manual is there: man 3 vmb_guest_open" grep -q '^\.BR vmb_guest_open' "$place/share/man/man3/vmb_guest_open.3"
files "$place" | grep -v '^\./share/man/' >"$dir/files"

program=$dir/program
mkdir "$program"
cp examples/two-process/*.[ch] "$program"

run() { LD_LIBRARY_PATH=$1 timeout 60 "$2"; }

# ---- pkg-config

if command -v pkg-config >/dev/null; then
	# shellcheck disable=SC2046
	expect "a C program by pkg-config" cc -pthread -o "$dir/shared" "$program"/*.c $(pkg-config --cflags --libs vmbus)
	expect "uses the shared library" sh -c "readelf -d '$dir/shared' | grep -q 'NEEDED.*libvmbus\.so\.'"
	expect "and runs" run "$place/lib" "$dir/shared"
	# shellcheck disable=SC2046
	expect "a C program by pkg-config --static" cc -static -pthread -o "$dir/static" "$program"/*.c $(pkg-config --static --cflags --libs vmbus)
	expect "and runs by itself" run /nowhere "$dir/static"
	expect "pkg-config knows the version" test "$(pkg-config --modversion vmbus)" = "$(scripts/version)"
else
	skip "programs by pkg-config: no pkg-config"
fi

# ---- meson and CMake: the library installed, and as a part of the project

# A build's library exports what make's does.
exports() { nm -D --defined-only --with-symbol-versions "$1" | awk '$2 != "A" { print $3 }' | sort; }
exports "$build/libvmbus.so" >"$dir/exports"
same_exports() { exports "$1" | diff -u "$dir/exports" -; }
soname() { readelf -d "$1" | sed -n 's/.*SONAME//p'; }
same_soname() { [ -n "$(soname "$1")" ] && [ "$(soname "$1")" = "$(soname "$build/libvmbus.so")" ]; }
# It installs what make does, but for the manual.
same_files() { files "$1" | diff -u "$dir/files" -; }

if command -v meson >/dev/null && command -v ninja >/dev/null && command -v pkg-config >/dev/null; then
	mkdir -p "$dir/meson" "$dir/meson-sub/subprojects"
	printf "project('user', 'c')\nexecutable('user', %s, dependencies: [dependency('vmbus'), dependency('threads')])\n" \
		"'../program/main.c', '../program/host.c', '../program/guest.c'" >"$dir/meson/meson.build"
	(sed -n 1p "$dir/meson/meson.build"; echo "subproject('vmbus')"; sed 1d "$dir/meson/meson.build") >"$dir/meson-sub/meson.build"
	ln -s "$top" "$dir/meson-sub/subprojects/vmbus"
	expect "a meson project" meson setup "$dir/meson/b" "$dir/meson"
	expect "builds" ninja -C "$dir/meson/b"
	expect "and runs" run "$place/lib" "$dir/meson/b/user"
	expect "a meson project that has this one in it" env PKG_CONFIG_PATH= meson setup "$dir/meson-sub/b" "$dir/meson-sub"
	expect "builds" ninja -C "$dir/meson-sub/b"
	expect "and runs" run /nowhere "$dir/meson-sub/b/user"
	expect "meson's library exports the same" same_exports "$dir/meson-sub/b/subprojects/vmbus/libvmbus.so"
	expect "and has the same SONAME" same_soname "$dir/meson-sub/b/subprojects/vmbus/libvmbus.so"
	expect "meson, both libraries" meson setup --prefix=/p --libdir=lib -Ddefault_library=both --buildtype=debug "$dir/meson-own"
	expect "meson install" env DESTDIR="$dir/meson-stage" meson install -C "$dir/meson-own"
	expect "it installs the same files" same_files "$dir/meson-stage/p"
else
	skip "meson projects: no meson, ninja or pkg-config"
fi

if command -v cmake >/dev/null && command -v ninja >/dev/null; then
	mkdir -p "$dir/cmake" "$dir/cmake-sub"
	cat >"$dir/cmake/CMakeLists.txt" <<-'END'
		cmake_minimum_required(VERSION 3.16)
		project(user LANGUAGES C)
		find_package(Threads REQUIRED)
		find_package(vmbus 0.1 REQUIRED)
		add_executable(user ../program/main.c ../program/host.c ../program/guest.c)
		target_link_libraries(user vmbus::vmbus Threads::Threads)
	END
	sed "s|^find_package(vmbus.*|add_subdirectory($top vmbus)|" "$dir/cmake/CMakeLists.txt" >"$dir/cmake-sub/CMakeLists.txt"
	expect "a CMake project" cmake -G Ninja "-DCMAKE_PREFIX_PATH=$place" -S "$dir/cmake" -B "$dir/cmake/b"
	expect "builds" ninja -C "$dir/cmake/b"
	expect "and runs" run "$place/lib" "$dir/cmake/b/user"
	sed -i 's/vmbus 0.1/vmbus 1.0/' "$dir/cmake/CMakeLists.txt"
	expect "one that wants a version of another ABI is refused" \
		sh -c "! cmake -G Ninja '-DCMAKE_PREFIX_PATH=$place' -S '$dir/cmake' -B '$dir/cmake/other'"
	expect "a CMake project that has this one in it" cmake -G Ninja -S "$dir/cmake-sub" -B "$dir/cmake-sub/b"
	expect "builds" ninja -C "$dir/cmake-sub/b"
	expect "and runs" run /nowhere "$dir/cmake-sub/b/user"
	expect "CMake's library exports the same" same_exports "$dir/cmake-sub/b/vmbus/libvmbus.so"
	expect "and has the same SONAME" same_soname "$dir/cmake-sub/b/vmbus/libvmbus.so"
	sed -i '/libvmbus\.a$/d' "$dir/files" # CMake builds one kind of library at a time
	expect "cmake --install" env DESTDIR="$dir/cmake-stage" cmake --install "$dir/cmake-sub/b/vmbus" --prefix /p
	rm -rf "$dir/cmake-files" && mkdir -p "$dir/cmake-files/lib"
	(cd "$dir/cmake-stage/p" && cp -r include "$dir/cmake-files" && cp -rP "$(dirname "$(find lib -name libvmbus.so)")"/. "$dir/cmake-files/lib")
	expect "it installs the same files" same_files "$dir/cmake-files"
else
	skip "CMake projects: no cmake or ninja"
fi

# ---- away again

expect "make uninstall" make BUILD="$build" PREFIX="$place" uninstall
expect "nothing is left" test -z "$(find "$place" ! -type d)"
finish

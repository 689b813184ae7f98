#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# scripts/check-abi can turn red: with one break of each kind, what is there for it is red and nothing else; and with what a release may add, nothing.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
build=$(cd "${BUILD:-build}" && pwd) || exit 1
top=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$tally_log"' EXIT
if ! command -v abidiff >/dev/null; then
	skip "breaks of the ABI: no abidiff"
	finish
fi

# A copy of the tree, with a change to one of its files.
PROCESSORS=x86_64
export PROCESSORS
plant() { # FILE SED
	rm -rf "$dir/tree"
	mkdir -p "$dir/tree/test/full" "$dir/tree/examples"
	cp -r "$top/abi" "$top/include" "$top/lib" "$top/scripts" "$top/Makefile" "$top/vmbus.map" "$top/CHANGELOG.md" "$dir/tree"
	cp -r "$top/test/full/abi" "$dir/tree/test/full"
	cp -r "$top/examples/two-process" "$dir/tree/examples"
	sed -i "$2" "$dir/tree/$1"
	! cmp -s "$1" "$dir/tree/$1"
}

# What it says of the copy: the gates that are red are those that are named by a word of theirs, one each, and no other.
red() { # "PART..." WORDS...
	# shellcheck disable=SC2086
	"$dir/tree/scripts/check-abi" "$build" $1 >"$dir/log" 2>&1
	shift
	[ "$(grep -c '^FAILED' "$dir/log")" -eq $# ] || { cat "$dir/log"; return 1; }
	for words in "$@"; do
		grep -q "^FAILED.*$words" "$dir/log" || { cat "$dir/log"; return 1; }
	done
}

says() { # TEXT: the last red gate named the reason
	grep -F "$1" "$dir/log"
}

expect "plant: a function has left the map" plant vmbus.map '/^\tvmb_name;/d'
expect "and the map is red, and what is exported beyond it" red map "vmbus.map lists" "libvmbus.so exports"
expect "plant: it is in the node of another release" plant vmbus.map 's/^VMBUS_0.1 {/VMBUS_0.0 {\nglobal:\n\tvmb_name;\n};\nVMBUS_0.1 {/; /^\tvmb_name;/d'
expect "and what is exported is red" red map "libvmbus.so exports"

expect "plant: a function is gone from header and map" plant include/vmbus.h '/^VMB_API const char .vmb_name(/d'
sed -i '/^\tvmb_name;/d' "$dir/tree/vmbus.map"
expect "and headers and abidiff are red" red "header library" x86_64 i686 aarch64 abidiff
expect "with the bit of what is gone" says "bit 3: incompatibly"
expect "plant: a frozen struct has grown" plant include/vmbus.h 's/^\tuint64_t spare;$/\tuint64_t spare, more;/'
expect "and headers and abidiff are red" red "header library" x86_64 i686 aarch64 abidiff
expect "with the bit of a change" says "bit 2: the ABI has changed"
expect "plant: a constant has another value" plant include/vmbus.h 's/^#define VMB_EREFUSED (-33)/#define VMB_EREFUSED (-37)/'
expect "and headers are red" red header x86_64 i686 aarch64
expect "plant: members of a frozen struct are swapped" plant include/vmbus.h \
	'/^struct vmb_list {/,/^};/{s/^\tuint32_t count;.*/\tuint32_t ranges;/;t;s/^\tuint32_t ranges;.*/\tuint32_t count;/}'
expect "and headers and abidiff are red" red "header library" x86_64 i686 aarch64 abidiff
expect "plant: members of a struct that may grow are swapped, and it has grown" plant include/vmbus.h \
	'/^struct vmb_offer {/,/^};/{s/^\tuint32_t channel_id; /\tuint32_t connection_id; /;t;s/^\tuint32_t connection_id; .*/\tuint32_t channel_id;/;/^\tuint64_t user;/a\
	uint64_t more;
}'
expect "and headers are red" red header x86_64 i686 aarch64
expect "plant: a callback has another argument" plant include/vmbus.h 's/(\*post)(void \*ctx, uint32_t/(*post)(void *ctx, uint64_t/'
expect "and headers are red" red header x86_64 i686 aarch64

# The library that takes what it does not know.
expect "plant: no tail is looked at" plant lib/abi.h '/^\t\tif (bytes\[i\])$/,+1d; s/^\tfor (uint32_t i = known; i < size; i++)$/\t(void)bytes;/'
(cd "$dir/tree" && scripts/amalgamate "$dir/one") >"$tally_log" 2>&1
expect "that library builds" cc -std=c11 -O1 -w -fPIC -shared "-Wl,-soname,libvmbus.so.0" -o "$dir/one/libvmbus.so.0" "$dir/one/vmbus.c"
ln -sf libvmbus.so.0 "$dir/one/libvmbus.so"
keep=$build build=$dir/one
expect "and the size rule is red" red programs "refused by the size rule"
build=$keep

# What a release may do.
expect "a function, a constant and a field at the end are added" plant include/vmbus.h \
	's/^VMB_API const char .vmb_name(.*/&\n#define VMB_NAMES_MORE 8\nVMB_API int vmb_more(int more);/
	/^struct vmb_offer {/,/^};/s/^\tuint64_t user;.*/&\n\tuint64_t more;/'
sed -i 's/^\tvmb_name;/&\n\tvmb_more;/' "$dir/tree/vmbus.map"
printf '\nint vmb_more(int more)\n{\n\treturn more;\n}\n' >>"$dir/tree/lib/protocol/text.c"
expect "and nothing is red" red "header library"
expect "plant: the version is released" plant CHANGELOG.md 's/, not released yet//'
expect "and its baseline is not written any more" sh -c "! '$dir/tree/scripts/check-abi' --baseline '$dir/base'"
finish

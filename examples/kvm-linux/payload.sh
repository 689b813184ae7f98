# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
#
# Sourced by `run`. Gets the stock kernel, and makes the two initramfs and the kit out of it. All of it lives in $cache; nothing
# is installed. What is there already is used again unless something that went into it has changed.

# Modules for the guest; what they depend on comes along.
guest_modules="hv_vmbus hv_utils hv_balloon hv_netvsc hv_storvsc sd_mod hv_sock uio_hv_generic
	hid-hyperv hyperv-keyboard evdev"
host_modules="irqbypass kvm kvm-amd"

# changed STAMP FILE...: true if the files are not those of the last time
changed()
{
	stamp=$1
	shift
	sha256sum "$@" >"$stamp.new"
	! cmp -s "$stamp.new" "$stamp"
}

# made STAMP
made()
{
	mv "$1.new" "$1"
}

# pack DIR: a cpio archive of it, to standard output
pack()
{
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0)
}

# tools DIR: busybox, and its applets as links
tools()
{
	mkdir -p "$1/bin" "$1/sbin" "$1/proc" "$1/sys" "$1/dev"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	ln -s ../bin/busybox "$1/sbin/modprobe" # the kernel calls it there
}

# Debian's cloud flavour: LZ4, and KVM and Hyper-V as modules without compression (real-guest.md 1).
get_kernel()
{
	[ -f "$cache/vmlinuz" ] && [ -d "$cache/unpacked/lib/modules/$(cat "$cache/version")" ] && return
	rm -rf "$cache/deb" "$cache/unpacked"
	mkdir -p "$cache/deb" "$cache/unpacked"
	# The name holds an ABI number, which changes; the meta package knows it.
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64; try apt-get update"
	say "downloading $package"
	(cd "$cache/deb" && apt-get -q download "$package") >"$cache/download.log" 2>&1 || die "$(cat "$cache/download.log")"
	dpkg -x "$cache"/deb/*.deb "$cache/unpacked"
	version=$(basename "$cache"/unpacked/lib/modules/*)
	busybox depmod -b "$cache/unpacked" "$version"
	echo "$version" >"$cache/version"
	mv "$cache/unpacked/boot/vmlinuz-$version" "$cache/vmlinuz"
}

# copy_modules TO NAME...: these modules and what they need, into folder TO
copy_modules()
{
	to=$1
	shift
	for module in "$@"; do
		files=$(sed -n "s,^\([^:]*/$module\.ko\):,\1,p" "$modules/modules.dep")
		[ -n "$files" ] || die "the kernel has no module $module"
		for file in $files; do
			cp "$modules/$file" "$to/"
		done
	done
}

make_guest_initramfs()
{
	changed "$cache/l2.stamp" "$here/l2-init" "$here/l2-lib" "$here/payload.sh" "$cache/version" "$scenarios"/* && {
		dir=$cache/l2
		rm -rf "$dir"
		tools "$dir"
		cp -r "$scenarios" "$dir/scenarios"
		cp "$here/l2-init" "$dir/init"
		mkdir -p "$dir/lib"
		cp "$here/l2-lib" "$dir/lib/scenario"
		mkdir -p "$dir/lib/modules/$version"
		copy_modules "$dir/lib/modules/$version" $guest_modules
		busybox depmod -b "$dir" "$version"
		chmod 755 "$dir/init"
		pack "$dir" >"$cache/l2.cpio"
		made "$cache/l2.stamp"
	}
}

# All that scenarios.sh needs, in one folder. list: the scenarios of this run.
make_kit()
{
	kit=$cache/kit
	mkdir -p "$kit"
	rm -rf "$kit/scenarios"
	cp -r "$scenarios" "$kit/scenarios"
	for file in "$cache/vmlinuz" "$cache/l2.cpio" "$here/scenarios.sh" "$bin/vmm" "$bin/hostend"; do
		cmp -s "$file" "$kit/$(basename "$file")" || cp "$file" "$kit/"
	done
	printf '%s\n' "$@" >"$kit/list"
}

# The kit without its list, which changes with every run and is appended as an archive of its own (a kernel takes several).
make_host_initramfs()
{
	changed "$cache/l1.stamp" "$here/l1-init" "$here/payload.sh" "$bin/qexit" "$kit/vmm" "$kit/hostend" "$kit/scenarios.sh" \
		"$kit/vmlinuz" "$kit/l2.cpio" "$kit/scenarios"/* && {
		dir=$cache/l1
		rm -rf "$dir"
		tools "$dir"
		cp "$here/l1-init" "$dir/init"
		chmod 755 "$dir/init"
		mkdir -p "$dir/kit/modules"
		cp -r "$kit/vmm" "$kit/hostend" "$kit/scenarios.sh" "$kit/vmlinuz" "$kit/l2.cpio" "$kit/scenarios" "$bin/qexit" \
			"$dir/kit"
		copy_modules "$dir/kit/modules" $host_modules
		pack "$dir" >"$cache/l1.base.cpio"
		made "$cache/l1.stamp"
	}
	rm -rf "$cache/l1.list"
	mkdir -p "$cache/l1.list/kit"
	cp "$kit/list" "$cache/l1.list/kit/list"
	{ cat "$cache/l1.base.cpio" && pack "$cache/l1.list"; } >"$cache/l1.cpio"
}

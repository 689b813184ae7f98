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

# open_backports FOLDER: sets apt_options, for apt-get and apt-cache to know this Debian's backports, fetched from where this machine
# has its Debian, with lists and sources of their own in FOLDER. Fails if there are none.
open_backports()
{
	. /etc/os-release
	suite=$VERSION_CODENAME-backports
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" 'Component: main' | head -n 1)
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	signed=
	[ ! -f $keyring ] || signed="[signed-by=$keyring] "
	rm -rf "$1"
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/parts" "$1/deb"
	echo "deb $signed$uri $suite main" >"$1/sources.list"
	apt_options="-q -o Dir::State::Lists=$1/lists -o Dir::Cache=$1/cache -o Dir::Etc::SourceList=$1/sources.list
		-o Dir::Etc::SourceParts=$1/parts -o Acquire::Retries=3 -o Acquire::http::Timeout=30
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
	[ -n "$uri" ] && timeout 200 apt-get $apt_options update
}

# Debian's cloud flavour: KVM and Hyper-V as modules (real-guest.md 1).
# fetch_kernel FOLDER OPTION...: vmlinuz, version and unpacked/ of the kernel that apt knows with these options. Fails if it cannot
# be had.
fetch_kernel()
{
	to=$1
	shift
	rm -rf "$to/deb" "$to/unpacked"
	mkdir -p "$to/deb" "$to/unpacked"
	# The name holds an ABI number, which changes; the meta package knows it.
	package=$(apt-cache "$@" depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || return 1
	say "downloading $package"
	(cd "$to/deb" && timeout 300 apt-get -q "$@" download "$package") >"$to/download.log" 2>&1 || return 1
	dpkg -x "$to"/deb/*.deb "$to/unpacked"
	find "$to/unpacked" -name '*.ko.xz' -exec busybox unxz {} +
	version=$(basename "$to"/unpacked/lib/modules/*)
	busybox depmod -b "$to/unpacked" "$version"
	mv "$to/unpacked/boot/vmlinuz-$version" "$to/vmlinuz"
	echo "$version" >"$to/version"
}

# have_kernel FOLDER: it was fetched before
have_kernel()
{
	[ -f "$1/vmlinuz" ] && [ -f "$1/version" ] && [ -d "$1/unpacked/lib/modules/$(cat "$1/version")" ]
}

get_kernel()
{
	have_kernel "$cache" && return
	fetch_kernel "$cache" || die "no linux-image-cloud-amd64; try apt-get update. $(tail -n 5 "$cache/download.log" 2>/dev/null)"
}

# The newer one, of the backports. Fails if it cannot be had.
get_new_kernel()
{
	have_kernel "$cache/new" && return
	mkdir -p "$cache/new"
	open_backports "$cache/new/apt" >"$cache/new/apt.log" 2>&1 || return 1
	fetch_kernel "$cache/new" $apt_options
}

# use_kernel FOLDER: the one that copy_modules and make_guest_initramfs work with
use_kernel()
{
	from=$1
	version=$(cat "$from/version")
	modules=$from/unpacked/lib/modules/$version
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

# For the kernel in use: l2.cpio in its folder
make_guest_initramfs()
{
	changed "$from/l2.stamp" "$here/l2-init" "$here/l2-lib" "$here/payload.sh" "$from/version" "$bin/vsock" "$bin/kexec" \
		"$scenarios"/* && {
		dir=$from/l2
		rm -rf "$dir"
		tools "$dir"
		cp -r "$scenarios" "$dir/scenarios"
		cp "$bin/vsock" "$bin/kexec" "$dir/bin/"
		cp "$here/l2-init" "$dir/init"
		mkdir -p "$dir/lib"
		cp "$here/l2-lib" "$dir/lib/scenario"
		mkdir -p "$dir/lib/modules/$version"
		copy_modules "$dir/lib/modules/$version" $guest_modules
		busybox depmod -b "$dir" "$version"
		chmod 755 "$dir/init"
		pack "$dir" >"$from/l2.cpio"
		made "$from/l2.stamp"
	}
}

# wants_new SCENARIO...: is one of them for the newer kernel?
wants_new()
{
	for name in "$@"; do
		! grep -q '^#: kernel new' "$scenarios/$name" || return 0
	done
	return 1
}

# wants_rust SCENARIO...: has one of them the host end that is written in Rust?
wants_rust()
{
	for name in "$@"; do
		! grep -q '^#: program rust-hostend' "$scenarios/$name" || return 0
	done
	return 1
}

# That host end, static as the others are: $cache/rust-hostend. Fails if cargo does, perhaps for want of a crate.
make_rust()
{
	target=$(uname -m)-unknown-linux-gnu
	CARGO_TARGET_DIR=$cache/rust RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" \
		cargo build --quiet --locked --target "$target" --manifest-path "$here/rust/Cargo.toml" >"$cache/rust.log" 2>&1 &&
		cp "$cache/rust/$target/debug/rust-hostend" "$cache/rust-hostend"
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
	rm -f "$kit/rust-hostend"
	! wants_rust "$@" || cp "$cache/rust-hostend" "$kit/"
	rm -rf "$kit/new"
	mkdir "$kit/new"
	! wants_new "$@" || cp "$cache/new/vmlinuz" "$cache/new/l2.cpio" "$kit/new/"
	printf '%s\n' "$@" >"$kit/list"
	echo "$skipped" >"$kit/skipped"
}

# The kit without its lists, which change with every run and are appended as an archive of its own (a kernel takes several).
make_host_initramfs()
{
	changed "$cache/l1.stamp" "$here/l1-init" "$here/payload.sh" "$bin/qexit" "$kit/vmm" "$kit/hostend" "$kit/scenarios.sh" \
		"$kit/vmlinuz" "$kit/l2.cpio" $(ls "$kit"/new/* "$kit/rust-hostend" 2>/dev/null) "$kit/scenarios"/* && {
		dir=$cache/l1
		rm -rf "$dir"
		tools "$dir"
		cp "$here/l1-init" "$dir/init"
		chmod 755 "$dir/init"
		mkdir -p "$dir/kit/modules"
		cp -r "$kit/vmm" "$kit/hostend" "$kit/scenarios.sh" "$kit/vmlinuz" "$kit/l2.cpio" "$kit/scenarios" "$kit/new" "$bin/qexit" \
			$(ls "$kit/rust-hostend" 2>/dev/null) "$dir/kit"
		copy_modules "$dir/kit/modules" $host_modules
		pack "$dir" >"$cache/l1.base.cpio"
		made "$cache/l1.stamp"
	}
	rm -rf "$cache/l1.list"
	mkdir -p "$cache/l1.list/kit"
	cp "$kit/list" "$kit/skipped" "$cache/l1.list/kit/"
	{ cat "$cache/l1.base.cpio" && pack "$cache/l1.list"; } >"$cache/l1.cpio"
}

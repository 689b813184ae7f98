# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
#
# Sourced by `run`. L1: a machine that QEMU emulates, whose KVM then runs the guests (real-guest.md 1).

qemu=

stop_qemu()
{
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null
}

# Without help, QEMU 7.2 hangs in one boot out of some ten: the timer's interrupt is pending in L1's APIC, and the idle processor
# does not wake. (Its VMRUN changes the word of interrupt requests without the lock that the thread of the timers holds; so a
# request can get lost.) Any other interrupt then delivers both. So L1 gets a character on its second serial line now and then.
wake_up_calls()
{
	while sleep 0.3 && echo; do
		:
	done 2>/dev/null
}

# One vCPU and q35 (real-guest.md 1). QEMU's exit status is 2 * v + 1, v from isa-debug-exit.
start_qemu()
{
	: >"$cache/l1.console"
	wake_up_calls | qemu-system-x86_64 -M q35 -cpu EPYC -smp 1 -m "${l1_mib:-1024}" -accel tcg,thread=multi,tb-size=128 \
		-display none -nodefaults -no-reboot \
		-serial "file:$cache/l1.console" -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
		-kernel "$cache/vmlinuz" -initrd "$cache/l1.cpio" \
		-append "console=ttyS0 panic=-1 no_timer_check softlockup_panic=1 tsc_early_khz=$khz tsc=reliable quiet" \
		>"$cache/qemu.log" 2>&1 &
	qemu=$!
}

# wait_qemu SECONDS PATTERN: until the console shows it (0), QEMU ends, or time is up (1)
wait_qemu()
{
	end=$(($(date +%s) + $1))
	# Whether it lives is asked first: its last words may be the pattern.
	while kill -0 "$qemu" 2>/dev/null && [ "$(date +%s)" -lt "$end" ]; do
		grep -q "$2" "$cache/l1.console" && return 0
		sleep 0.2
	done
	grep -q "$2" "$cache/l1.console"
}

# What the scenarios of the list may take together
total_limit()
{
	total=30
	for name in $(cat "$kit/list"); do
		limit=$(sed -n 's/^#: limit *//p' "$scenarios/$name" | head -n 1)
		for vcpus in $(sed -n 's/^#: cpus *//p' "$scenarios/$name" | head -n 1 | grep . || echo 1); do
			for word in $(sed -n 's/^#: each *//p' "$scenarios/$name" | head -n 1 | grep . || echo -); do
				total=$((total + ${limit:-120}))
			done
		done
	done
	echo $total
}

# An L1 that does not come up may try once more; nothing else may.
boot_l1()
{
	khz=$("$bin/tsckhz") # L1 would measure it wrong, and then tell all guests
	for try in 1 2; do
		start_qemu
		wait_qemu $BOOT_SECONDS '^VMB-L1: up' && return 0
		stop_qemu
		wait "$qemu"
		say "L1 did not come up (try $try)"
		tail -n 20 "$cache/qemu.log" "$cache/l1.console"
	done
	return 1
}

# run_nested SECONDS: what all of it may take
run_nested()
{
	trap stop_qemu EXIT
	trap 'exit 130' INT TERM
	boot_l1 || die "L1 does not boot"
	tr -d '\r' <"$cache/l1.console" | sed -n 's/^VMB-L1: /L1 /p'
	if ! wait_qemu "$1" ' passed, [0-9]* failed'; then
		stop_qemu
		say "L1 did not finish; its console ends with"
		tail -n 60 "$cache/l1.console"
		return 1
	fi
	wait "$qemu"
	status=$?
	qemu=
	tr -d '\r' <"$cache/l1.console" | sed -n 's/^VMB: //p'
	[ $status -eq 33 ] # 16, from L1's init: all passed
}

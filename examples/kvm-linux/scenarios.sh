# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
#
# usage: scenarios.sh KIT
#
# Runs the scenarios that KIT/list names, one guest each, wherever there is a usable /dev/kvm: on the machine itself or in L1.
# KIT holds vmm, hostend, perhaps rust-hostend, vmlinuz, l2.cpio, perhaps new/ with another two of these, scenarios/, list, and in `skipped` how many are
# left out. Every line meant for people begins with "VMB: ". Exit status 0: all passed.
#
# A scenario is a shell script that runs in the guest as root; status 0 passes. Comments in it say what it needs:
#	#: cpus 1 2         run it once with each number of vCPUs (1)
#	#: each A B C       run it once with each of these words, which the guest has as $each and the host end's arguments as @each@;
#	                    @kernel@ there is the kernel's file
#	#: cmdline WORDS    more words for the guest's kernel command line
#	#: kernel new       the newer of two kernels (payload.sh)
#	#: program NAME     the program that is the host end (hostend)
#	#: host WORDS       its arguments
#	#: resets N         resets of the guest that are part of the plan (0)
#	#: clear -z         after every second of them its memory is cleared
#	#: ram MIB          (256)
#	#: limit SECONDS    (120)
# Each run has a random number of its own: guest and host end get it as $number and @number@, and init says it at the end.
# It passes when the guest's script, the host end and the VMM are all content. Lines that guest or host end begin with
# "VMB-NOTE: " are shown, pass or fail; each "VMB-PASS: " or "VMB-FAIL: " is a check of its own, and counts.

kit=$1
tmp=$(mktemp -d)
passed=0
failed=0

# field FILE KEY DEFAULT
field()
{
	value=$(sed -n "s/^#: $2 *//p" "$1" | head -n 1)
	echo "${value:-$3}"
}

# said FILE PATTERN: what a guest's serial line ends in is CR LF
said()
{
	tr -d '\r' <"$1" | grep -q "$2"
}

# checks NAME: those that guest and host end made
checks()
{
	cat "$tmp/console" "$tmp/errors" | tr -d '\r' >"$tmp/said"
	sed -n "s/^VMB-NOTE: /VMB: $1: /p; s/^VMB-PASS: /VMB: ok   $1: /p; s/^VMB-FAIL: /VMB: FAIL $1: /p" "$tmp/said"
	passed=$((passed + $(grep -c '^VMB-PASS: ' "$tmp/said")))
	failed=$((failed + $(grep -c '^VMB-FAIL: ' "$tmp/said")))
}

tell_failure()
{
	echo "VMB: FAIL $1: $2"
	echo "VMB: --- $1: VMM and host end say"
	grep -v '^VMB-' "$tmp/errors" | tail -n 30 | sed 's/^/VMB: | /'
	echo "VMB: --- $1: the guest's console ends with"
	tr -d '\r' <"$tmp/console" | tail -n 60 | sed 's/^/VMB: | /'
}

# run_one NAME VCPUS WORD
run_one()
{
	file=$kit/scenarios/$1
	name_shown=$1@$2${3:+:$3}
	number=$(od -A n -t x8 -N 8 /dev/urandom | tr -d ' ')
	limit=$(field "$file" limit 120)
	kernel=$kit/$(field "$file" kernel .)
	start=$(cut -d ' ' -f 1 /proc/uptime)
	: >"$tmp/console"
	# Unquoted: words.
	timeout -k 15 "$limit" "$kit/vmm" -k "$kernel/vmlinuz" -i "$kernel/l2.cpio" -c "$2" -m "$(field "$file" ram 256)" \
		-r "$(field "$file" resets 0)" $(field "$file" clear "") -o "$tmp/console" \
		-a "console=ttyS0 quiet panic=-1 nokaslr scenario=$1 number=$number ${3:+each=$3} $(field "$file" cmdline)" \
		-- "$kit/$(field "$file" program hostend)" \
		$(field "$file" host | sed "s/@each@/$3/; s/@number@/$number/; s,@kernel@,$kernel/vmlinuz,") >"$tmp/errors" 2>&1 </dev/null
	status=$?
	seconds=$(cut -d ' ' -f 1 /proc/uptime | awk -v s="$start" '{ printf "%.1f", $1 - s }')
	checks "$name_shown"
	case $status in
	0) why="the guest's script failed" ;;
	3) why="the guest was reset" ;;
	4) why="the host end failed" ;;
	6 | 124 | 137 | 143) why="not finished within $limit s" ;;
	*) why="VMM exit status $status" ;;
	esac
	if [ $status -eq 0 ] && said "$tmp/console" "^VMB-L2: result 0, number $number\$"; then
		echo "VMB: ok   $name_shown ($seconds s)"
		passed=$((passed + 1))
	else
		tell_failure "$name_shown" "$why ($seconds s)"
		failed=$((failed + 1))
	fi
}

for name in $(cat "$kit/list"); do
	for vcpus in $(field "$kit/scenarios/$name" cpus 1); do
		for word in $(field "$kit/scenarios/$name" each -); do
			run_one "$name" "$vcpus" "${word#-}"
		done
	done
done
rm -r "$tmp"
skipped=$(cat "$kit/skipped")
[ "$skipped" -eq 0 ] || skipped=", $skipped skipped"
echo "VMB: $passed passed, $failed failed${skipped#0}"
[ $failed -eq 0 ]

# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
#
# usage: scenarios.sh KIT
#
# Runs examples/bare-guest on QEMU's own VMBus host and on ours (examples/kvm-linux), where there is a usable /dev/kvm: in L1. KIT holds
# qemu/, vmm, hostend and bare-guest. Every line meant for people begins with "VMB: ". Exit status 0: all passed.
#
# What is believed comes from both sides of a bus: each run has a random number, which the guest gets on its command line, reports
# to the host's balloon device, and says at the end; and random numbers of pages, which only the host is told. QEMU is asked by
# QMP what its balloon device has, pages away and numbers reported; the guest says how many it was asked for, gave, got back, and
# how many of these had been wiped: the host really took them.

kit=$1
tmp=$(mktemp -d)
ram=128   # MiB of a guest of QEMU's
own_ram=32
boot=120  # seconds for a guest to be ready, or through; it takes three where nothing else runs
wait=200  # for a balloon to change; QEMU's asks for nothing in the first 30 s after the guest has negotiated
versions="0.13 1.1 2.4 3.0 4.0 4.1 5.0 5.1 5.2 5.3 6.0"
trap '' PIPE # a QEMU that has gone

random() # BYTES: as hexadecimal digits
{
	od -A n -t "x$1" -N "$1" /dev/urandom | tr -d ' \n'
}

pages() # LEAST: a random number of them, less than twice that
{
	echo $(($1 + 0x$(random 2) % $1))
}

# ---- checks. Each guest has a folder of its own, and its results are lines in it; they are shown when it is through.

pass()
{
	echo "VMB: ok   $name: $*" >>"$dir/results"
}

fail() # what was said is shown once for each guest
{
	echo "VMB: FAIL $name: $*" >>"$dir/results"
	[ -z "$shown_once" ] || return 1
	shown_once=1
	{
		echo "VMB: --- $name: its console"
		tr -d '\r' <"$dir/console" | tail -n 12 | sed 's/^/VMB: | /'
		echo "VMB: --- $name: the host"
		tail -n 12 "$dir/errors" | sed 's/^/VMB: | /'
		[ ! -f "$dir/qmp" ] || tail -n 8 "$dir/qmp" | cut -c 1-200 | sed 's/^/VMB: | /'
	} >>"$dir/results"
	return 1
}

check() # TEXT COMMAND...
{
	text=$1
	shift
	if "$@"; then pass "$text"; else fail "$text"; fi
}

begin() # NAME
{
	name=$1
	dir=$tmp/$1
	mkdir "$dir"
	: >"$dir/console"
	: >"$dir/errors"
	shown_once=
	number=$(random 8)
	now
	start=$uptime
}

# What the guest said at the end, into $last. A process is dear here; so the rest is done by the shell alone.
heard()
{
	last=$(tr -d '\r' <"$dir/console" | sed -n 's/^bare: result=0 //p')
}

field() # NAME
{
	value=" $last"
	case $value in
	*" $1="*) value=${value#*" $1="} && echo "${value%% *}" ;;
	*) echo 0 ;;
	esac
}

# says NAME=VALUE...: is that what the guest said?
says()
{
	for expected in "$@"; do
		case " $last " in
		*" $expected "*) ;;
		*) return 1 ;;
		esac
	done
}

seconds()
{
	now
	echo "$((uptime - start)) s"
}

now() # into $uptime, in seconds: no process for it, they are dear here
{
	read -r uptime rest </proc/uptime
	uptime=${uptime%.*}
}

# until_true SECONDS COMMAND...: or until the guest has gone
until_true()
{
	now
	end=$((uptime + $1))
	shift
	until "$@"; do
		now
		if [ $uptime -ge $end ] || qemu_gone; then
			"$@"
			return
		fi
		sleep 1
	done
}

# ---- QEMU's host

qemu_start() # COMMAND_LINE DEVICE...
{
	words=$1
	shift
	devices=
	for device in "$@"; do
		devices="$devices -device $device"
	done
	mkfifo "$dir/in"
	# shellcheck disable=SC2086 # words
	timeout 500 "$kit/qemu/qemu" -L "$kit/qemu" -M pc -accel kvm -m $ram -nodefaults -display none -no-reboot \
		-cpu host,kvm=off,hv-relaxed,hv-vapic,hv-vpindex,hv-runtime,hv-time,hv-synic,hv-stimer,hv-frequencies \
		$devices -serial "file:$dir/console" -qmp stdio -kernel "$kit/bare-guest" -append "number=$number $words" \
		<"$dir/in" >"$dir/qmp" 2>"$dir/errors" &
	qemu=$!
	exec 5>"$dir/in"
	asked=0
	ask qmp_capabilities
}

# ask COMMAND [MEMBER]: QMP's answer into $answer. MEMBER: the one argument, as "name": value
ask()
{
	asked=$((asked + 1))
	arguments=
	[ $# -eq 1 ] || arguments="\"arguments\": {$2}, "
	echo "{\"execute\": \"$1\", $arguments\"id\": $asked}" >&5
	until_true $boot grep -q "\"id\": $asked[,}]" "$dir/qmp"
	answer=$(grep "\"id\": $asked[,}]" "$dir/qmp")
}

ready() # CONNECTION
{
	grep -q "^bare: ready $1" "$dir/console"
}

# holds TEXT NUMBER: is this report of the balloon's one of that number? Its halves are there as pages.
holds()
{
	case $1 in
	*"\"committed\": $((0x${2%????????} * 4096))"[,}]*) ;;
	*) return 1 ;;
	esac
	case $1 in
	*"\"available\": $((0x${2#????????} * 4096))"[,}]*) ;;
	*) return 1 ;;
	esac
}

inverted()
{
	printf '%08x%08x' $((0x${number%????????} ^ 0xffffffff)) $((0x${number#????????} ^ 0xffffffff))
}

reported() # NUMBER
{
	ask query-hv-balloon-status-report
	holds "$answer" "$1"
}

told() # NUMBER: in an event, at any time
{
	while read -r line; do
		case $line in
		*HV_BALLOON_STATUS_REPORT*) holds "$line" "$1" && return ;;
		esac
	done <"$dir/qmp"
	return 1
}

away() # PAGES: are so many with the host?
{
	ask query-balloon
	case $answer in
	*"\"actual\": $((ram * 1048576 - $1 * 4096))"[,}]*) ;;
	*) return 1 ;;
	esac
}

# balloon PAGES: have so many away
balloon()
{
	ask balloon "\"value\": $((ram * 1048576 - $1 * 4096))"
}

# QEMU 10 knows no REL_ID_RELEASED (13) and says so; nothing else may be said.
qemu_content()
{
	! grep -v 'unknown message type 0xd$' "$dir/errors" | grep -q .
}

qemu_end()
{
	exec 5>&-
	qemu_gone || kill "$qemu"
	wait "$qemu"
	status=$?
	heard
	[ $status -eq 0 ] && grep -q '"SHUTDOWN".*"guest": true' "$dir/qmp"
}

qemu_gone()
{
	! kill -0 "$qemu" 2>/dev/null
}

# full MODE CONNECTION COMMAND_LINE: all that the balloon can do, on that connection of two
full()
{
	begin "qemu-$1"
	first=$(pages 1000) second=$(pages 1000)
	back=$((1 + 0x$(random 2) % first))
	qemu_start "mode=$1 $3" vmbus-bridge hv-balloon,id=hvb,status-report=on
	check "ready on connection $2" until_true $boot ready "$2"
	if [ "$2" -eq 1 ]; then shown=$number; else shown=$(inverted); fi
	check "QMP has the number $shown of connection $2" until_true $boot reported "$shown"
	check "nothing is away yet" away 0
	balloon "$first"
	check "$first pages away ($(seconds) so far)" until_true $wait away "$first"
	balloon $((first + second))
	check "$second more away" until_true $wait away $((first + second))
	balloon $((first + second - back))
	check "$back of them back" until_true $wait away $((first + second - back))
	balloon 0
	until_true $wait qemu_gone
	check "the guest switched the machine off" qemu_end
	check "the guest says so too: asked for $((first + second)), gave them, has them back, all wiped" \
		says number="$number" version=4.0 connections=2 mode="$1" dynamic=20000 asked=$((first + second)) given=$((first + second)) \
		returned=$((first + second)) wiped=$((first + second)) done=4 wrong=0
	check "in many messages: $(field replies) from the guest, $(field releases) from QEMU, where a ring holds 85" \
		test "$(field releases)" -gt 85 -a "$(field replies)" -gt 2
	if [ "$1" = polling ]; then
		check "without an interrupt" says interrupts=0
	else
		check "with $(field interrupts) interrupts" test "$(field interrupts)" -gt 10
	fi
	check "both connections reported their number" eval 'told "$number" && told "$(inverted)"'
	check "QEMU had nothing to complain of" qemu_content
}

# short NAME VERSION COMMAND_LINE DEVICE...: contact, the balloon's negotiation, unload; twice. It has to linger: QEMU tells of
# one report a second.
short()
{
	begin "qemu-$1"
	version=$2 words=$3 crashed=0
	case $words in crash*) crashed=1 ;; esac
	shift 3
	qemu_start "$words" vmbus-bridge "$@"
	until_true $boot qemu_gone
	check "twice contact at $version, and unload" eval 'qemu_end && says number="$number" version="$version" wrong=0 crashed=$crashed && qemu_content'
	[ $# -eq 0 ] || check "QMP heard both numbers" eval 'told "$number" && told "$(inverted)"'
}

refused() # VERSION
{
	begin "qemu-refuses-$1"
	qemu_start "version=$1 expect=refused" vmbus-bridge
	until_true $boot qemu_gone
	check "refused" eval 'qemu_end && says number="$number" version=0.0 && qemu_content'
}

# ---- our host

# own NAME VERSION HOST_ARGUMENTS COMMAND_LINE [NAME=VALUE]: two connections, a balloon on each
own()
{
	begin "own-$1"
	version=$2 more=${5:-}
	n=$(pages 200)
	# shellcheck disable=SC2086 # words
	timeout -k 5 $boot "$kit/vmm" -k "$kit/bare-guest" -m $own_ram -o "$dir/console" -a "number=$number balloon=2,4 $4" \
		-- "$kit/hostend" $3 -b "$n,$number" 2>"$dir/errors" >/dev/null </dev/null
	status=$?
	heard
	check "$n pages away and back, twice, at $version ($(seconds))" eval '[ $status -eq 0 ] &&
		says number="$number" version="$version" connections=2 asked=$((2 * n)) given=$((2 * n)) returned=$((2 * n)) wiped=$((2 * n)) \
			done=4 wrong=0 $more &&
		[ "$(grep -c "^VMB-BALLOON: .*content=1 .*asked=$n given=$n marked=$n .*reports=1 wrong=0" "$dir/errors")" -eq 2 ]'
}

show() # the results of this guest, and forget it
{
	cat "$dir/results"
	cat "$dir/results" >>"$tmp/all"
	rm -r "$dir"
}

# ---- all of it. The two long runs are waiting most of the time; the short ones go on beside them.

(full interrupts 1 "balloon=4,4") &
long_1=$!
(full polling 2 "balloon=0,4") &
long_2=$!

for version in $versions; do
	own "$version" "$version" "" "version=$version"
	show
	own "capped-$version" "$version" "-V $version" "mode=polling"
	show
done
own features 6.0 "" "features=2f" features=2f
show
own crash 6.0 "" crash crashed=1
show
short 1.1-polling 1.1 "version=1.1 mode=polling balloon=0,0 linger=1500" hv-balloon,status-report=on
show
short 2.4 2.4 "version=2.4 balloon=0,0 linger=1500" hv-balloon,status-report=on
show
short 3.0-polling 3.0 "version=3.0 mode=polling balloon=0,0 linger=1500" hv-balloon,status-report=on
show
short crash 4.0 "crash balloon=0,0 linger=1500" hv-balloon,status-report=on
show
short nothing 4.0 "expect=nothing balloon=0,0"
show
for version in 4.1 5.3; do
	refused $version
	show
done
wait $long_1 $long_2
for name in qemu-interrupts qemu-polling; do
	dir=$tmp/$name
	show
done
passed=$(grep -c '^VMB: ok ' "$tmp/all")
failed=$(grep -c '^VMB: FAIL ' "$tmp/all")
rm -r "$tmp"
echo "VMB: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

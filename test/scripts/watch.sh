#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# examples/loopback -t tells what its two ends do, and what there is of them: each line that is known beforehand is there.
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/tally.sh
told=$(mktemp)
trap 'rm -f "$told" "$tally_log"' EXIT

expect "loopback -t" sh -c "timeout 60 '${BUILD:-build}/examples/loopback' -t >'$told'"

line() { # a line that must be there
	expect "told: $1" grep -qxF -- "$1" "$told"
}

line 'guest   connection none -> connecting, version 0.0, features 0x0'
line 'host    message in INITIATE_CONTACT, 40 bytes: taken; while none'
line 'host    message out VERSION_RESPONSE, 20 bytes: taken; status 0'
line 'guest   connection connecting -> connected, version 6.0, features 0x0'
line 'host    message out OFFER_CHANNEL, 196 bytes: again; channel 2; status -2'
line 'guest   channel 1, handle 0x801: free -> offered'
line 'guest   channel 2, handle 0x802: offered seen -> offered seen released'
line 'host    channel 2, handle 0x801: offered -> unoffered'
line 'guest   gpadl 0xe1e10 of channel 1: none -> building, 35 words, 1 ranges'
line 'host    gpadl 0xe1e10 of channel 1: building -> alive, 35 words, 1 ranges'
line 'guest   gpadl 0xe1e10 of channel 1: sent -> alive, 35 words, 1 ranges'
line 'host    message in OPEN_CHANNEL, 148 bytes: taken; channel 1; GPADL 0xe1e10; while running'
line 'host    device of channel 1, handle 0x803: asked -> attached'
line 'guest   channel 1, handle 0x801: opening seen object -> open seen object'
line 'host    connection running, version 6.0, features 0x0, messages to VP 0'
line '          messages in: taken 7'
line '          messages out: 7, again 3, lost 0, waiting 0, most 4'
line 'host    channel 1 open object; device attached; handle 0x803'
line 'host    GPADL 0xe1e10 alive; of channel 1, 35 words, 1 ranges, used 1 times'
line 'guest   channel 1 open seen object; handle 0x801'
line 'guest   GPADL 0xe1e10 alive ring; of channel 1, 35 words, 1 ranges'
line '          packets 1000000 sent, 1000000 received; bytes 88000000, 88000000; ring full 0'
line '          requests 1000000, in flight 0; cancelled 0, completed late 0, completions of nothing 0'
line '          signals out 15625, without need 0; in 15625, without need 0; not sent for a mask 0'
line 'host    message out RESCIND_CHANNEL_OFFER, 12 bytes: taken; channel 1; status 0'
line 'guest   channel 1, handle 0x801: open seen rescinded object -> open seen rescinded object abandoned'
line 'host    device of channel 1, handle 0x803: draining -> none'
line 'host    channel 0, handle 0x803: unoffered removed -> free'
line 'guest   connection leaving -> unloading, version 6.0, features 0x0'
line 'host    message in UNLOAD, 8 bytes: taken; while running'
finish

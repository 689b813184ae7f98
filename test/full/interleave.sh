#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# All orders of test/interleave, each also with one fault and with one save, up to fifty thousand states a scenario; `make test-interleave` goes
# to a million, which takes longer than this gate may. And that no test which takes one step after the other could find what
# test/mutations/interleave.mut breaks; that the orders do is shown with all mutations.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
BUILD=${BUILD:-build}
program=$BUILD/test/interleave/test_interleave
walks=$BUILD/interleave.log

make BUILD="$BUILD" "$program" >/dev/null || exit 1
INTERLEAVE_STATES=50000 "$program" >"$walks" 2>&1
status=$?
cat "$walks"
if [ $status -eq 0 ]; then
	pass "$(grep -c 'one fault' "$walks") scenarios in all orders, with one fault anywhere"
	pass "$(grep -c 'host saved' "$walks") with the host's end saved and restored anywhere"
	pass "$(grep -c 'guest saved' "$walks") with the guest's end saved and restored anywhere"
else
	fail "an order that is bad"
fi

INTERLEAVE_ORDERS=0 scripts/mutate "$BUILD/ordinary" test/mutations/interleave.mut >"$walks" 2>&1
grep -e ' -> ' "$walks" >"$walks.rules"
while read -r line; do
	rule=${line%%  -> *}
	case $line in
	*'NOT CAUGHT') pass "ordinary orders are not enough: $rule" ;;
	*) fail "ordinary orders find it: $line" ;;
	esac
done <"$walks.rules"
finish

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The gate of a channel for Spin, lib/bus/gate.h and how lib/bus/host_serve.c and host_signal.c use it: SIGNALLERS pass TIMES times each
 * while control closes the gate and opens it again, twice, or (RETARGET) sends signals elsewhere, twice. The gate's word is only changed
 * by read-modify-writes; what is around it, the target, is stored by control at any time up to its next one, and loaded by a signaller
 * at any time since its last one.
 *
 * WEAK: NO_WAIT: control goes on without the poke; NO_WATCH: it does not ask for one; NO_CHECK: a signaller goes in though the gate is
 * closed; NO_RELEASE, NO_ACQUIRE: control's change of the word is none, a signaller's; CLEARED_LATE: the poke is taken away after the look.
 */
#define NOTHING 0
#define NO_WAIT 1
#define NO_WATCH 2
#define NO_CHECK 3
#define NO_RELEASE 4
#define NO_ACQUIRE 5
#define CLEARED_LATE 6
#ifndef WEAK
#define WEAK NOTHING
#endif
#ifndef SIGNALLERS
#define SIGNALLERS 2
#endif
#define TIMES 2
#define ROUNDS 2

#define CLOSED 1
#define WATCH 2
#define USER 4

byte word;
bit poked;
byte target;            /* in memory */
byte held; bit holds;   /* control's store that is on its way */
byte gone;              /* targets below this one must not be signalled any more; closed: nobody may be inside */
bit closed;

active proctype buffer() {
end:	do
	:: atomic { holds -> target = held; holds = 0 }
	od
}

active [SIGNALLERS] proctype signaller() {
	byte w, was, to, times;

	do
	:: times == TIMES -> break
	:: else ->
		times++;
		was = target;
		d_step { w = word; word = word + USER; if :: WEAK != NO_ACQUIRE -> was = target :: else fi };
		if
		:: !(w & CLOSED) || WEAK == NO_CHECK ->
			if :: to = was :: to = target fi;
			assert(!closed);
			assert(to >= gone);
			to = 0
		:: else
		fi;
		was = 0;
		d_step { word = word - USER; w = word };
		if
		:: w < USER && (w & WATCH) -> poked = 1
		:: else
		fi;
		w = 0
	od
}

/* Until nobody is inside: looks at once, then after each poke. */
inline wait() {
	if
	:: word < USER || WEAK == NO_WAIT
	:: else ->
		do
		:: atomic { poked -> if :: WEAK != CLEARED_LATE -> poked = 0 :: else fi };
			if
			:: word < USER -> break
			:: else
			fi;
			if :: WEAK == CLEARED_LATE -> poked = 0 :: else fi
		od
	fi
}

active proctype control() {
	byte round;

	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
#ifdef RETARGET
		atomic { !holds -> held = round; holds = 1 };
		if :: WEAK == NO_RELEASE :: else -> !holds fi;
		if :: WEAK == NO_WATCH :: else -> word = word | WATCH fi;
		wait();
		word = word & ~WATCH;
		gone = round
#else
		word = word | (WEAK == NO_WATCH -> CLOSED : CLOSED | WATCH);
		wait();
		closed = 1;
		closed = 0;
		word = word & ~(CLOSED | WATCH)
#endif
	od
}

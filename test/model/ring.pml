/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * One direction of a ring for Spin: ring.md 8.2 to 8.4, 10.1 to 10.3, in a memory of its own kind, so that it does not share a mistake with
 * test/order. `make model` verifies it, and that it goes wrong without each order of 10.2.
 *
 * Memory. A store goes to the buffer of its side, and from there to memory at any time and in any order; one with release only after
 * what was in the buffer before it. A load gives what is in memory now, or what was there at the last point of order of its side: so it may
 * be done early. One with acquire that gives what is there now is such a point; a full fence is one, too, and empties the buffer.
 * Consumer's reads of packets may be late: until Out is stored with release, or a fence. The producer's look at Out may be done after the
 * writes that rely on it, if it is no acquire.
 *
 * Indexes count on (they are below 32); the place in the ring is the remainder. A pending size is stored with the In that it was computed
 * from, so that a signal for a size that nobody waits for is recognised.
 *
 * WEAK: the order left out: P1 P2 P3 P4 P5 C1 C2 C3 C4 C5 as ring.md 10.2 calls them, or LOOK: no look at In after signals are on;
 * ARM: no look at Out after arming; OLD: Out before is that of the wake-up; NOT_CLEARED: a pending size stays when In is published.
 * SCRIPT 1: packets of 2, 1, 2, 1, 3 units in a ring of 4. SCRIPT 2: of 2, 4, 1, 3 in one of 8, without their bytes.
 * BY_SLEEP: space is given back when the consumer is about to sleep, else packet by packet.
 */
#define NOTHING 0
#define P1 1
#define P2 2
#define P3 3
#define P4 4
#define P5 5
#define C1 6
#define C2 7
#define C3 8
#define C4 9
#define C5 10
#define LOOK 11
#define ARM 12
#define OLD 13
#define NOT_CLEARED 14
#ifndef WEAK
#define WEAK NOTHING
#endif

#if SCRIPT == 2
#define N 8
#define PACKETS 4
#define LENGTH(k) (k == 0 -> 2 : (k == 1 -> 4 : (k == 2 -> 1 : 3)))
#define BYTES 0
#else
#define N 4
#define PACKETS 5
#define LENGTH(k) (k == 4 -> 3 : (k == 1 || k == 3 -> 1 : 2))
#define BYTES 1
#endif
#define FIRST_BATCH 2 /* packets that the first publication shows */

#define USED(in, out) ((in - out + 4 * N) % N)
#define RAW(in, out) (N - USED(in, out))

/* A pending size and the In that it was computed from. */
#define SIZE_OF(p) (p & 7)
#define IN_OF(p) (p >> 3)

/* ---- memory */

byte in, out, pending, unit[N];
bit mask;

/* The producer's buffer: bit 0 In, 1 pending size, 2... units. What must go before In and before the pending size. */
#define IN_ 1
#define PENDING_ 2
#define UNIT_(i) (4 << (i))
short held_p, first_in, first_pending;
byte held_in, held_pending, held_unit[N];
/* The consumer's: bit 0 Out, 1 mask. */
#define OUT_ 1
#define MASK_ 2
byte held_c, first_out, held_out;
bit held_mask;

/* As it was at the last point of order. */
byte was_out, was_in, was_pending, was_unit[N];
bit was_mask;

bit wake_producer, wake_consumer;
bit producer_done;

inline order_p() { d_step { was_out = out; was_mask = mask } }
inline order_c() {
	d_step {
		was_in = in;
		was_pending = pending;
		k = 0;
		do
		:: k < N && BYTES -> was_unit[k] = unit[k]; k++
		:: else -> break
		od;
		k = 0
	}
}

active proctype buffer_p() {
	byte i;
end:	do
	:: d_step { (held_p & IN_) && !(held_p & first_in) -> in = held_in; held_p = held_p & ~IN_;
		first_pending = first_pending & ~IN_ }
	:: d_step { (held_p & PENDING_) && !(held_p & first_pending) -> pending = held_pending; held_p = held_p & ~PENDING_;
		first_in = first_in & ~PENDING_ }
#if BYTES
	:: d_step { held_p & UNIT_(0) -> unit[0] = held_unit[0]; held_p = held_p & ~UNIT_(0) }
	:: d_step { held_p & UNIT_(1) -> unit[1] = held_unit[1]; held_p = held_p & ~UNIT_(1) }
	:: d_step { held_p & UNIT_(2) -> unit[2] = held_unit[2]; held_p = held_p & ~UNIT_(2) }
	:: d_step { held_p & UNIT_(3) -> unit[3] = held_unit[3]; held_p = held_p & ~UNIT_(3) }
#endif
	od
}

active proctype buffer_c() {
end:	do
	:: d_step { (held_c & OUT_) && !(held_c & first_out) -> out = held_out; held_c = held_c & ~OUT_ }
	:: d_step { held_c & MASK_ -> mask = held_mask; held_c = held_c & ~MASK_ }
	od
}

/* ---- producer */

inline fence_p(weak) {
	if
	:: WEAK == weak
	:: else -> atomic { !held_p -> order_p() }
	fi
}

/* value: what was loaded of Out. */
inline load_out(value, acquire) {
	if
	:: value = was_out
	:: d_step { value = out; if :: acquire -> was_mask = mask :: else fi; was_out = out }
	fi
}

inline store_in(value) {
	atomic { !(held_p & IN_) -> first_in = (WEAK == P2 -> 0 : held_p); held_in = value; held_p = held_p | IN_ }
}

inline store_pending(value, release) {
	atomic { !(held_p & PENDING_) -> first_pending = (release -> held_p : 0); held_pending = value; held_p = held_p | PENDING_ }
}

inline write_packet() {
	k = 0;
	do
	:: BYTES && k < LENGTH(sent) ->
		atomic {
			!(held_p & UNIT_((next + k) % N)) ->
			held_unit[(next + k) % N] = sent + 1;
			held_p = held_p | UNIT_((next + k) % N);
			k++
		}
	:: else -> break
	od;
	k = 0
}

active proctype producer() {
	byte next, pub, old, o, k, sent, armed;
	bit m, early;

	do
	:: sent == PACKETS -> break
	:: else ->
		/* put: room */
		do
		:: WEAK == P1 && !early -> /* the look is done after the writes, but gives what lets them be */
			write_packet(); early = 1; order_p(); atomic { RAW(next, out) > LENGTH(sent) -> break }
		:: else ->
			load_out(o, WEAK != P1);
			if
			:: RAW(next, o) > LENGTH(sent) -> break
			:: else
			fi;
			/* full, and all is published: arm */
			armed = LENGTH(sent);
			store_pending(armed | pub << 3, WEAK != P5);
			fence_p(P4);
			load_out(o, 1);
			if
			:: RAW(pub, o) > LENGTH(sent) && WEAK != ARM -> store_pending(0, 0); armed = 0
			:: else -> wake_producer; wake_producer = 0
			fi
		od;
		if :: early :: else -> write_packet() fi;
		early = 0;
		next = next + LENGTH(sent);
		sent++;
		if
		:: sent < FIRST_BATCH -> skip
		:: else ->
			/* commit */
			if
			:: armed && WEAK != NOT_CLEARED -> store_pending(0, 0)
			:: else
			fi;
			armed = 0;
			old = pub;
			pub = next;
			store_in(next);
			fence_p(P3);
			if :: m = was_mask :: d_step { m = mask; was_mask = mask } fi;
			load_out(o, 0);
			if
			:: !m && o == old -> wake_consumer = 1
			:: else
			fi
		fi
	od;
	producer_done = 1
}

/* ---- consumer */

inline fence_c(weak) {
	if
	:: WEAK == weak
	:: else -> read_late(); atomic { !held_c -> order_c() }
	fi
}

inline load_in(value, acquire) {
	if
	:: value = was_in
	:: atomic { value = in; if :: acquire -> order_c() :: else -> was_in = in fi }
	fi
}

inline load_pending(value) {
	if
	:: value = was_pending
	:: atomic { value = pending; if :: WEAK != C4 -> order_c() :: else -> was_pending = pending fi }
	fi
}

/* A packet's units are read: now, or they stay to be read. */
inline read_packet() {
	if
	:: !BYTES
	:: BYTES && WEAK == C2 && !late -> late = got + 1; late_at = next
	:: else ->
		k = 0;
		do
		:: k < LENGTH(got) ->
			if
			:: assert(was_unit[(next + k) % N] == got + 1) /* no byte read before it was written, or after it was overwritten */
			:: assert(unit[(next + k) % N] == got + 1)
			fi;
			k++
		:: else -> break
		od;
		k = 0
	fi
}

inline read_late() {
	if
	:: late -> assert(unit[late_at % N] == late); late = 0
	:: else
	fi
}

inline store_out() {
	atomic { !(held_c & OUT_) -> first_out = (WEAK == C2 -> 0 : held_c); held_out = next; held_c = held_c | OUT_ }
}

inline store_mask(value) {
	atomic { !(held_c & MASK_) -> held_mask = value; held_c = held_c | MASK_ }
}

/* Out has been published, from old to next: is that the room that the producer waits for? 10.1 */
inline room() {
	load_pending(p);
	if
	:: SIZE_OF(p) ->
		load_in(i, 1);
		if
		:: RAW(i, old) <= SIZE_OF(p) && RAW(i, next) > SIZE_OF(p) ->
			/* no needless signal: it had not seen that the producer has gone on since, and it looked at an In that is not older
			 * than that size, or does not matter */
			assert(seen <= IN_OF(p));
			assert(i >= IN_OF(p) || RAW(IN_OF(p), old) <= SIZE_OF(p) && RAW(IN_OF(p), next) > SIZE_OF(p));
			wake_producer = 1
		:: else
		fi
	:: else
	fi;
	p = 0;
	old = next
}

active proctype consumer() {
	byte next, pub, old, seen, i, p, k, got, late, late_at;
	bit masked;

	do
	:: got == PACKETS -> break
	:: else ->
		load_in(i, WEAK != C1);
		seen = i;
		if
		:: i != next ->
			if
			:: !masked -> store_mask(1); masked = 1
			:: else
			fi;
			do
			:: next != seen ->
				read_packet();
				next = next + LENGTH(got);
				got++;
#ifndef BY_SLEEP
				store_out();
				pub = next;
				fence_c(C3);
				room();
				if :: WEAK == OLD -> old = 0 :: else fi
#endif
			:: else -> break
			od
		:: else ->
			if
			:: pub != next -> store_out(); pub = next
			:: else
			fi;
			store_mask(0);
			masked = 0;
#ifdef BY_SLEEP
			if
			:: WEAK == C3 || WEAK == C5
			:: else -> fence_c(NOTHING + 99)
			fi;
#else
			fence_c(C5);
#endif
			room();
			load_in(i, 1);
			if
			:: i == next || WEAK == LOOK -> wake_consumer; wake_consumer = 0
			:: else
			fi
		fi
	od;
	read_late();
	/* the last packets, if it is by sleep: the producer needs no more room */
	assert(got == PACKETS)
}

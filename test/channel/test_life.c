/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* How a channel begins and ends, and what can be seen of it from outside. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "pair.h"

/* ---- storage and config */

/* Room for a config of a newer caller. */
union newer {
	struct vmb_channel_config cfg;
	uint8_t bytes[sizeof(struct vmb_channel_config) + 16];
};

static struct vmb_channel_config with_rings(const struct pair *p)
{
	struct vmb_channel_config cfg = pair_config();

	cfg.tx = p->ring[0]->mem;
	cfg.rx = p->ring[1]->mem;
	return cfg;
}

static size_t need(const struct vmb_channel_config *cfg)
{
	struct vmb_storage s = { 0, 0 };

	cr_assert_eq(vmb_channel_storage(cfg, &s), 0);
	cr_assert_eq(s.align, 64);
	return s.bytes;
}

/* What is asked for grows with what is wanted, and is no more than the notes promise. */
Test(life, storage)
{
	struct vmb_channel_config cfg = pair_config();
	size_t plain = need(&cfg);

	cr_assert_leq(plain, 1024);
	cfg.requests = 100;
	cr_assert(need(&cfg) > plain && need(&cfg) <= plain + 100 * 32);
	cfg.requests = 65535;
	cr_assert_leq(need(&cfg), plain + 65535 * 32);
	cfg.requests = 0;
	cfg.ring_pages = 100;
	cr_assert(need(&cfg) >= plain + 200 * sizeof(void *) && need(&cfg) <= plain + 200 * sizeof(void *) + 64);
	cfg.flags = VMB_CHANNEL_DIRTY;
	cr_assert_leq(need(&cfg), plain + 200 * sizeof(void *) + 128);
}

Test(life, storage_of_page_lists)
{
	struct pair *p = pair_rings(RIG_LIST, 3, 5);
	struct vmb_channel_config cfg = with_rings(p), none = pair_config();

	cr_assert_eq(need(&cfg), need(&none) + 16 * sizeof(void *));
	pair_free(p);
}

/* Storage that is too small or misaligned is refused and not written to; anything larger is fine. */
Test(life, storage_must_fit)
{
	struct pair *p = pair_rings(RIG_ONCE, 1, 1);
	struct vmb_channel_config cfg = with_rings(p);
	static _Alignas(64) uint8_t mem[8192], before[8192];
	struct vmb_channel *ch = NULL;
	size_t bytes;

	cfg.requests = 10;
	bytes = need(&cfg);
	memset(mem, 0x77, sizeof mem);
	memset(before, 0x77, sizeof before);
	cr_assert_eq(vmb_channel_init(mem, bytes - 1, &cfg, &ch), VMB_ENOSPACE);
	cr_assert_eq(vmb_channel_init(mem, 0, &cfg, &ch), VMB_ENOSPACE);
	cr_assert_eq(vmb_channel_init(mem + 8, sizeof mem - 8, &cfg, &ch), VMB_ENOSPACE);
	cr_assert_eq(vmb_channel_init(NULL, bytes, &cfg, &ch), VMB_EINVAL);
	cr_assert_eq(memcmp(mem, before, sizeof mem), 0);
	cr_assert_eq(ch, NULL);
	cr_assert_eq(vmb_channel_init(mem, bytes, &cfg, &ch), 0);
	cr_assert_eq(memcmp(mem + bytes, before, sizeof mem - bytes), 0, "not a byte beyond");
	cr_assert_eq(vmb_channel_end(ch, NULL, NULL), 0);
	pair_free(p);
}

Test(life, configs_that_are_none)
{
	struct pair *p = pair_rings(RIG_ONCE, 1, 1);
	static _Alignas(64) uint8_t mem[8192];
	struct vmb_storage s;

	for (unsigned i = 0; i < 13; i++) {
		union newer u = { with_rings(p) };
		struct vmb_channel *ch = NULL;
		int want = VMB_EINVAL, storage;

		memset(u.bytes + sizeof u.cfg, 0, 16);
		switch (i) {
		case 0: u.cfg.size = 0; want = VMB_ESTRUCT; break;
		case 1: u.cfg.size -= 1; want = VMB_ESTRUCT; break;
		case 2: u.cfg.size = 0x20000; want = VMB_ESTRUCT; break;
		case 3: u.cfg.size += 16; u.bytes[sizeof u.cfg + 15] = 1; want = VMB_ESTRUCT; break;
		case 4: u.cfg.flags = 0x40; break;
		case 5: u.cfg.requests = 65536; break;
		case 6: u.cfg.ring_pages = 8191; break;
		case 7: u.cfg.tx.control = (uint8_t *)u.cfg.tx.control + 8; break;
		case 8: u.cfg.rx.data = NULL; break;
		case 9: u.cfg.rx.data_pages = 0; break;
		case 10: u.cfg.tx.flags = 0x100; break;
		case 11: u.cfg.tx_at = (struct vmb_cursor){ 1, 4096, 0, 0 }; break;
		case 12: u.cfg.rx_at = (struct vmb_cursor){ 1, 4, 0, 0 }; break;
		}
		storage = vmb_channel_storage(&u.cfg, &s);
		cr_assert_eq(storage, i < 11 ? want : 0, "case %u: %d", i, storage);
		cr_assert_eq(vmb_channel_init(mem, sizeof mem, &u.cfg, &ch), want, "case %u", i);
	}
	pair_free(p);
}

/* A newer caller's tail of zeros; a ring memory that is missing; a dirty log without a size. */
Test(life, configs_at_the_edge)
{
	struct pair *p = pair_rings(RIG_ONCE, 1, 1);
	static _Alignas(64) uint8_t mem[8192];
	union newer u = { with_rings(p) };
	struct vmb_channel *ch;
	struct vmb_storage s;

	memset(u.bytes + sizeof u.cfg, 0, 16);
	u.cfg.size += 16;
	cr_assert_eq(vmb_channel_init(mem, sizeof mem, &u.cfg, &ch), 0);
	cr_assert_eq(vmb_channel_end(ch, NULL, NULL), 0);
	u.cfg.tx.control = NULL;
	cr_assert_eq(vmb_channel_storage(&u.cfg, &s), 0, "the maker finds it");
	cr_assert_eq(vmb_channel_init(mem, sizeof mem, &u.cfg, &ch), VMB_EINVAL, "without a bus nobody does");
	u.cfg.flags = VMB_CHANNEL_DIRTY;
	cr_assert_eq(vmb_channel_storage(&u.cfg, &s), VMB_EINVAL);
	u.cfg.ring_pages = 4;
	cr_assert_eq(vmb_channel_storage(&u.cfg, &s), 0);
	cr_assert_eq(vmb_channel_storage(NULL, &s), VMB_EINVAL);
	cr_assert_eq(vmb_channel_storage(&u.cfg, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_init(mem, sizeof mem, NULL, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_channel_init(mem, sizeof mem, &u.cfg, NULL), VMB_EINVAL);
	pair_free(p);
}

/* Indexes that a hostile guest left in the ring. */
Test(life, bad_indexes_found)
{
	static const uint32_t words[] = { RIG_IN, RIG_OUT };

	for (unsigned ring = 0; ring < 2; ring++) {
		for (unsigned w = 0; w < 2; w++) {
			struct pair *p = pair_rings(RIG_ONCE, 1, 1);

			rig_set(p->ring[ring], words[w], 4096);
			cr_assert_eq(pair_open(p, 0, NULL), VMB_EPEER);
			pair_free(p);
		}
	}
}

Test(life, calls_of_nobody)
{
	struct vmb_channel_info info = { .size = sizeof info };
	struct pair *p = pair_new(NULL, NULL);
	uint32_t cursor = 0;
	uint64_t word = 0;

	cr_assert_eq(vmb_channel_end(NULL, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_stop(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_info(NULL, &info), VMB_EINVAL);
	cr_assert_eq(vmb_channel_info(p->side[0].ch, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_dirty(NULL, &word, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_outstanding(NULL, &cursor, &word, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_outstanding(p->side[0].ch, NULL, &word, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_outstanding(p->side[0].ch, &cursor, NULL, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_adopt(NULL, 1, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_tx(NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_tx(p->side[0].ch, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_rx(NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_rx(p->side[0].ch, NULL), VMB_EINVAL);
	pair_free(p);
}

/* VMB_CHECKED: data calls notice what is missing, and objects that are none. This library is such a build. */
Test(life, checked_data_calls)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet pkt = pair_packet("x", 1), empty = pair_packet(NULL, 8);
	struct vmb_span part = { "x", 1 };
	struct vmb_record rec = { .kind = VMB_PKT_INBAND };
	uint64_t buf[8] = { 0 };
	struct vmb_view v;
	static _Alignas(64) uint8_t foreign[8192];
	struct vmb_channel *none[] = { NULL, (struct vmb_channel *)(void *)foreign }, *ch = p->side[0].ch;

	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(vmb_channel_put(none[i], &pkt), VMB_EINVAL);
		cr_assert_eq(vmb_channel_putv(none[i], &pkt, &part, 1), VMB_EINVAL);
		cr_assert_eq(vmb_channel_reserve(none[i], &pkt, &v), VMB_EINVAL);
		cr_assert_eq(vmb_channel_flush(none[i]), VMB_EINVAL);
		cr_assert_eq(vmb_channel_send(none[i], &pkt), VMB_EINVAL);
		cr_assert_eq(vmb_channel_send_batch(none[i], (uint8_t *)buf, 8, &rec, 1), VMB_EINVAL);
		cr_assert_eq(vmb_channel_recv(none[i], buf, 8, &pkt), VMB_EINVAL);
		cr_assert_eq(vmb_channel_next(none[i], &pkt, &v), VMB_EINVAL);
		cr_assert_eq(vmb_channel_recv_batch(none[i], (uint8_t *)buf, 8, &rec, 1), VMB_EINVAL);
		cr_assert_eq(vmb_channel_skip(none[i]), VMB_EINVAL);
		cr_assert_eq(vmb_channel_release(none[i]), VMB_EINVAL);
		cr_assert_eq(vmb_channel_signal(none[i]), VMB_EINVAL);
		cr_assert_eq(vmb_channel_cancel(none[i], 1, NULL), VMB_EINVAL);
	}
	cr_assert_eq(vmb_channel_put(ch, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_put(ch, &empty), VMB_EINVAL);
	cr_assert_eq(vmb_channel_send(ch, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_send(ch, &empty), VMB_EINVAL);
	cr_assert_eq(vmb_channel_putv(ch, &pkt, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_reserve(ch, &pkt, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_send_batch(ch, NULL, 8, &rec, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_send_batch(ch, (uint8_t *)buf, 8, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv(ch, NULL, 8, &pkt), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv(ch, (uint8_t *)buf + 4, 8, &pkt), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv(ch, buf, 8, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_next(ch, &pkt, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv_batch(ch, NULL, 8, &rec, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv_batch(ch, (uint8_t *)buf, 8, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_flush(ch), 0);
	cr_assert_eq(pair_info(p, 0).sent, 0);
	pair_free(p);
}

/* ---- stop */

/* Whatever the channel was about to do: the next call of either side says stop, and so does every later one. */
Test(life, stop_overtakes_everything)
{
	struct vmb_packet pkt = pair_packet("12345678", 8);
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_channel *ch = p->side[1].ch;
	struct vmb_record rec = { .kind = VMB_PKT_INBAND };
	uint64_t buf[8] = { 0 };
	struct vmb_view v;

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &pkt), 0); /* there is a packet, and one that is queued */
	cr_assert_eq(vmb_channel_put(ch, &pkt), 0);
	cr_assert_eq(vmb_channel_stop(ch), 0);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(vmb_channel_recv(ch, buf, sizeof buf, &pkt), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_next(ch, &pkt, &v), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_skip(ch), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_release(ch), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_recv_batch(ch, (uint8_t *)buf, sizeof buf, &rec, 1), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_put(ch, &pkt), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_putv(ch, &pkt, NULL, 0), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_reserve(ch, &pkt, &v), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_flush(ch), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_send(ch, &pkt), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_send_batch(ch, (uint8_t *)buf, sizeof buf, &rec, 1), VMB_ESTOPPED);
		cr_assert_eq(vmb_channel_stop(ch), 0);
	}
	cr_assert_eq(pair_info(p, 1).error, VMB_ESTOPPED);
	cr_assert_eq(rig_word(p->ring[1], RIG_IN), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0);
	cr_assert_eq(pair_info(p, 0).error, 0, "the peer hears of it from the bus");
	pair_free(p);
}

/* A channel that is asked to stop after it broke: stop comes first from then on, the reason stays. */
Test(life, stop_after_a_violation)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	rig_set(p->ring[0], RIG_IN, 4);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER);
	cr_assert_eq(vmb_channel_stop(p->side[1].ch), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_ESTOPPED);
	cr_assert_eq(pair_info(p, 1).error, VMB_ESTOPPED);
	cr_assert_eq(pair_info(p, 1).reason, VMB_R_INDEX);
	pair_free(p);
}

/* ---- end, and going on elsewhere */

/* Every so many packets another object takes over, on either side, with packets queued, delivered and not released, and
 * waiting: nothing is lost and nothing comes twice. */
static void moving(uint32_t kind, int stopped)
{
	struct pair *p = pair_rings(kind, 1, 1);
	uint64_t random = 3, sent = 0, got = 0;
	struct vmb_packet in;

	cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, NULL));
	while (got < 3000) {
		struct vmb_channel_config cfg = pair_config();
		unsigned side = rig_random(&random) % 2;

		for (uint32_t n = rig_random(&random) % 8; n; n--) {
			struct vmb_packet out = pair_packet("moving moving moving moving", rig_random(&random) % 27);
			int r;

			out.id = sent;
			r = n == 1 ? vmb_channel_send(p->side[0].ch, &out) : vmb_channel_put(p->side[0].ch, &out);
			cr_assert(r == 0 || r == VMB_EFULL);
			sent += r == 0;
		}
		for (uint32_t n = rig_random(&random) % 8; n; n--) {
			int r = pair_recv(p, 1, &in);

			if (r == VMB_YES)
				cr_assert_eq(in.id, got++);
			else
				cr_assert_eq(r, 0);
		}
		if (rig_random(&random) % 4)
			continue;
		if (stopped)
			cr_assert_eq(vmb_channel_stop(p->side[side].ch), 0);
		cr_assert_eq(vmb_channel_end(p->side[side].ch, &cfg.tx_at, &cfg.rx_at), 0);
		cr_assert(cfg.tx_at.valid && cfg.rx_at.valid);
		cr_assert_eq(rig_word(p->ring[side], RIG_IN), cfg.tx_at.index);
		cr_assert_eq(rig_word(p->ring[1 - side], RIG_OUT), cfg.rx_at.index);
		cr_assert_eq(pair_open(p, side, &cfg), 0);
	}
	pair_free(p);
}

Test(life, moving) { moving(RIG_ONCE, 0); }
Test(life, moving_after_a_stop) { moving(RIG_LIST, 1); }

/* The end signals what it flushes and gives back, so that nobody waits for an object that is not there. */
Test(life, the_end_signals)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("x", 1), in;

	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), 0);
	cr_assert_eq(p->side[0].signals, 1);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	pair_free(p);
}

/* Own indexes come from the cursor, never from memory that the peer can write. ring.md 9.1 rule 3 */
Test(life, the_cursor_is_believed_not_the_ring)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("x", 1), in;
	struct pair *p = pair_new(NULL, NULL);

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(vmb_channel_end(p->side[1].ch, &cfg.tx_at, &cfg.rx_at), 0);
	rig_set(p->ring[0], RIG_OUT, 0);
	rig_set(p->ring[1], RIG_IN, 0x100);
	cr_assert_eq(pair_open(p, 1, &cfg), 0);
	cr_assert_eq(pair_recv(p, 1, &in), 0, "it has been received");
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
	cr_assert_eq(rig_word(p->ring[1], RIG_IN), 32);
	pair_free(p);
}

/* A broken channel ends without another touch of its rings. */
Test(life, the_end_of_a_broken_channel)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("x", 1), in;

	cr_assert_eq(vmb_channel_put(p->side[1].ch, &out), 0);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	rig_set(p->ring[0], RIG_IN, 4);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER);
	cr_assert_eq(vmb_channel_end(p->side[1].ch, NULL, NULL), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0);
	cr_assert_eq(rig_word(p->ring[1], RIG_IN), 0);
	cr_assert_eq(p->side[1].signals, 0);
	pair_free(p);
}

/* After the end: it is over, and can be looked at until the memory goes, though the rings are gone. */
Test(life, after_the_end)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("x", 1), in;
	struct vmb_channel_info info = { .size = sizeof info };
	struct pair *p;
	uint64_t word = 0;

	cfg.flags = VMB_CHANNEL_DIRTY;
	p = pair_new(&cfg, NULL);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), 0);
	cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), VMB_ESTATE);
	cr_assert_eq(vmb_channel_end(p->side[1].ch, NULL, NULL), 0);
	rig_free(p->ring[0]);
	rig_free(p->ring[1]);
	cr_assert_eq(vmb_channel_info(p->side[0].ch, &info), 0);
	cr_assert(info.error == 0 && info.sent == 1 && info.tx.data_bytes == 0x4000 && info.tx.in == 32 && info.tx.out == 0);
	cr_assert_eq(vmb_channel_dirty(p->side[0].ch, &word, 1), 0);
	cr_assert_neq(word, 0);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), VMB_ESTOPPED);
	cr_assert_eq(vmb_channel_recv(p->side[0].ch, NULL, 0, &in), VMB_ESTOPPED);
	free(p->side[0].mem);
	free(p->side[1].mem);
	free(p);
}

/* ---- looking at it */

Test(life, info)
{
	struct vmb_channel_config cfg = pair_config();
	struct { struct vmb_channel_info info; uint8_t tail[8]; } newer;
	struct vmb_packet out = pair_packet("12345678", 8), in;
	struct pair *p;

	cfg.requests = 4;
	p = pair_new(&cfg, NULL);
	for (unsigned i = 0; i < 3; i++) {
		out.flags = VMB_PKT_WANTS_REPLY;
		out.id = 0;
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	}
	cr_assert_eq(pair_info(p, 0).sent, 0, "not before they are shown");
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, out.id, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	memset(&newer, 0xff, sizeof newer);
	newer.info.size = sizeof newer;
	cr_assert_eq(vmb_channel_info(p->side[0].ch, &newer.info), 0);
	cr_assert(newer.info.error == 0 && newer.info.reason == 0 && newer.info.reason_at == 0);
	cr_assert(newer.info.requests == 3 && newer.info.zombies == 1);
	cr_assert(newer.info.sent == 3 && newer.info.received == 0);
	cr_assert(newer.info.signals_data == 1 && newer.info.signals_room == 0);
	cr_assert(newer.info.full == 0 && newer.info.unmatched == 0 && newer.info.masked == 0);
	cr_assert(newer.info.tx.data_bytes == 0x4000 && newer.info.tx.in == 96 && newer.info.tx.out == 0);
	cr_assert(newer.info.tx.interrupt_mask == 1 && newer.info.tx.pending_send == 0 && newer.info.tx.features == 1);
	cr_assert(newer.info.rx.data_bytes == 0x4000 && newer.info.rx.in == 0 && newer.info.rx.features == 1);
	cr_assert_eq(newer.info.size, sizeof newer);
	for (unsigned i = 0; i < 8; i++)
		cr_assert_eq(newer.tail[i], 0);
	newer.info.size = offsetof(struct vmb_channel_info, bytes_sent) - 1; /* all that the first release had */
	cr_assert_eq(vmb_channel_info(p->side[0].ch, &newer.info), VMB_ESTRUCT);
	pair_free(p);
}

/* Which pages of the GPADL: the guest's sending ring first. This object is the host's: that is the ring it receives from. */
Test(life, dirty)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_rings(RIG_ONCE, 40, 3);
	struct vmb_packet out, in;
	uint64_t bits[2] = { 0 };
	static uint8_t payload[5000];

	cfg.flags = VMB_CHANNEL_DIRTY;
	cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, &cfg));
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 0), VMB_ETOOSMALL);
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 1), 0);
	cr_assert_eq(bits[0], 1 | (uint64_t)1 << 41, "making it wrote both control pages");
	bits[0] = 0;
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 1), 0);
	cr_assert_eq(bits[0], 0, "and forgot");
	out = pair_packet(payload, 5000);
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
	bits[0] = (uint64_t)1 << 63;
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 1), 0);
	cr_assert_eq(bits[0], (uint64_t)1 << 63 | (uint64_t)7 << 41, "or-ed in: control page and two of data");
	out = pair_packet(payload, 8);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	bits[0] = 0;
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 1), 0);
	cr_assert_eq(bits[0], 0, "what the guest writes is not in it");
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(vmb_channel_dirty(p->side[1].ch, bits, 2), 0);
	cr_assert(bits[0] == 1 && bits[1] == 0, "who receives writes a control page");
	cr_assert_eq(vmb_channel_dirty(p->side[0].ch, bits, 2), VMB_ESTATE, "no log");
	pair_free(p);
}

/* The log covers every page that changed, whatever is done. */
Test(life, dirty_misses_nothing)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct vmb_channel_config cfg = pair_config();
		struct pair *p = pair_rings(kind, 3, 4);
		static uint8_t copy[2][6][4096], payload[3000];
		uint64_t random = kind, bits;
		unsigned changed = 0;

		cfg.flags = VMB_CHANNEL_DIRTY;
		cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, &cfg));
		for (unsigned round = 0; round < 500; round++) {
			struct vmb_packet out = pair_packet(payload, rig_random(&random) % 3000), in;

			memset(payload, (int)(round + 1), sizeof payload);
			(void)pair_recv(p, 0, &in);
			if (round % 2 && vmb_channel_send(p->side[0].ch, &out) < 0)
				continue;
			memcpy(copy[0], p->ring[0]->control, (size_t)4 * 4096);
			memcpy(copy[1], p->ring[1]->control, (size_t)5 * 4096);
			bits = 0;
			cr_assert_eq(vmb_channel_dirty(p->side[1].ch, &bits, 1), 0);
			bits = 0;
			if (rig_random(&random) % 2)
				cr_assert_geq(pair_recv(p, 1, &in), 0);
			if (rig_random(&random) % 2)
				(void)!vmb_channel_send(p->side[1].ch, &out);
			cr_assert_eq(vmb_channel_dirty(p->side[1].ch, &bits, 1), 0);
			for (uint32_t page = 0; page < 9; page++) {
				uint32_t ring = page >= 4, at = ring ? page - 4 : page;

				if (memcmp(copy[ring][at], p->ring[ring]->control + at * 4096, 4096)) {
					cr_assert(bits >> page & 1, "kind %u, round %u, page %u", kind, round, page);
					changed++;
				}
			}
		}
		cr_assert_gt(changed, 300);
		pair_free(p);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The ring target: its memory, its hostile peer, and what both modes use. See ring.h. */
#include "ring.h"

#include <sys/mman.h>
#include <unistd.h>

#define RING_PAGE VMB_PAGE
#define RING_ACCESSES_MAX 200000u /* of one call */
#define RING_WISHES 64u
#define RING_LONG 40u /* pages */

/* ---- memory */

static struct ring rings[2][3][RING_PAGES_MAX];
static struct ring *ring_in_use[2];

static void ring_map(int fd, uint8_t *at, uint32_t page, uint32_t pages)
{
	void *got = mmap(at, (size_t)pages * RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)page * RING_PAGE);

	fuzz_need(got == at);
}

/* Once per kind and size, for all inputs. Page lists lie backwards, a page between. */
static void ring_make(struct ring *r, uint32_t kind, uint32_t pages)
{
	size_t bytes = (size_t)(3 * RING_PAGES_MAX + 6) * RING_PAGE;
	int fd = memfd_create("ring", 0);
	uint8_t *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fuzz_need(fd >= 0 && !ftruncate(fd, (off_t)(pages + 1) * RING_PAGE) && at != MAP_FAILED);
	r->pages = pages;
	r->size = pages * RING_PAGE;
	r->low = at;
	r->high = at + bytes;
	at += RING_PAGE;
	ring_map(fd, at, 0, 1);
	r->mem = (struct vmb_ring_mem){ .control = at, .data_pages = pages, .flags = kind == 1 ? VMB_RING_TWICE : 0 };
	at += 2 * RING_PAGE;
	if (kind == 2) {
		for (uint32_t i = 0; i < pages; i++) {
			r->list[i] = at + (size_t)(pages - 1 - i) * 2 * RING_PAGE;
			ring_map(fd, r->list[i], 1 + i, 1);
		}
		r->mem.pages = r->list;
	} else {
		r->mem.data = at;
		ring_map(fd, at, 1, pages);
		if (kind == 1)
			ring_map(fd, at + r->size, 1, pages);
	}
	r->control = mmap(NULL, (size_t)(pages + 1) * RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fuzz_need(r->control != MAP_FAILED);
	r->data = r->control + RING_PAGE;
	close(fd);
}

struct ring *ring_get(unsigned which, uint32_t kind, uint32_t pages)
{
	struct ring *r = &rings[which][kind][pages - 1];

	if (!r->pages)
		ring_make(r, kind, pages);
	memset(r->control, 0, (size_t)(r->pages + 1) * RING_PAGE);
	ring_in_use[which] = r;
	return r;
}

uint32_t ring_word(const struct ring *r, uint32_t word)
{
	return fuzz_get32(r->control + word);
}

static int ring_is_shared(const volatile void *p)
{
	const volatile uint8_t *at = p;

	for (unsigned i = 0; i < 2; i++)
		if (ring_in_use[i] && at >= ring_in_use[i]->low && at < ring_in_use[i]->high)
			return 1;
	return 0;
}

/* ---- the peer: writes now, or wishes to write just before an access of the library: the n-th since its wish before was fulfilled, where
 * 1 is the same one */

struct ring_wish {
	uint32_t after; /* accesses */
	uint8_t where, how;
	uint32_t value;
};

int ring_tampered;
unsigned ring_interrupt;
int ring_interrupted;
unsigned ring_fired;
static struct ring_wish wishes[RING_WISHES];
static unsigned wish_first, wish_end, wish_waited;
static unsigned accesses;
static uint8_t *last_access;

void ring_peer_forget(void)
{
	wish_first = wish_end = wish_waited = 0;
	last_access = NULL;
	ring_tampered = 0;
}

void ring_call(void)
{
	accesses = 0;
	ring_fired = 0;
}

static void ring_write32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* Words of the control page, what is being accessed, what was accessed before, or a word behind Out: of the packets that are there. */
static uint8_t *ring_place(uint8_t where, uint8_t how, uint8_t *access, size_t n)
{
	static const uint8_t words[] = { RING_IN, RING_OUT, RING_MASK, RING_PENDING, RING_FEATURES };
	struct ring *r = ring_in_use[where >> 7];
	uint32_t half = where >> 6 & 1;

	if (!r)
		return NULL;
	switch (where & 7) {
	case 5:
		return n < 4 ? NULL : n < 8 ? access : access + 4 * half;
	case 6:
		return last_access ? last_access + 4 * half : NULL;
	case 7:
		return r->data + (ring_word(r, RING_OUT) / 4 + how / 4) * 4 % r->size;
	default:
		return r->control + words[where & 7];
	}
}

static void ring_tamper(const struct ring_wish *w, uint8_t *access, size_t n)
{
	struct ring *r = ring_in_use[w->where >> 7];
	uint8_t *p = ring_place(w->where, w->how, access, n);
	uint32_t v;

	if (!p)
		return;
	v = fuzz_get32(p);
	switch (w->how & 3) {
	case 0:
		v = w->value;
		break;
	case 1:
		v += w->value & 0xffff;
		break;
	case 2:
		v ^= w->value & 0xffff;
		break;
	default:
		v = w->value % r->size & ~7u;
		break;
	}
	ring_write32(p, v);
	ring_tampered = 1;
	ring_fired++;
}

void ring_peer(const struct fuzz_step *s)
{
	struct ring_wish w = { s->a, s->b, s->c, s->v };

	if (!s->a)
		ring_tamper(&w, NULL, 0);
	else if (wish_end < RING_WISHES)
		wishes[wish_end++] = w;
}

void fuzz_touch(const volatile void *p, size_t n)
{
	uint8_t *access;

	if (ring_interrupt && !--ring_interrupt) {
		ring_interrupted = 1;
		ring_channels_nested();
		ring_interrupted = 0;
	}
	if (!ring_is_shared(p))
		return;
	access = (uint8_t *)(uintptr_t)p;
	fuzz_need(accesses++ < RING_ACCESSES_MAX);
	for (; wish_first < wish_end && ++wish_waited >= wishes[wish_first].after; wish_waited = 0)
		ring_tamper(&wishes[wish_first++], access, n);
	last_access = n >= 8 ? access : NULL;
}

/* ---- what packets are made of */

const uint8_t *ring_payload(uint32_t seed)
{
	static uint8_t bytes[RING_PAYLOAD_MAX + 256 + 8];

	if (!bytes[1])
		for (uint32_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	return bytes + (seed & 255);
}

void ring_list(uint32_t seed, int pages, uint64_t words[RING_WORDS_MAX], struct vmb_list *list)
{
	uint32_t n = 0, ranges = 1 + seed % 3;

	for (uint32_t i = 0; i < ranges; i++) {
		uint32_t offset = seed * 37 * (i + 1) % VMB_PAGE, bytes = 1 + seed * 613 * (i + 1) % (3 * VMB_PAGE);

		words[n++] = VMB_RANGE(bytes, offset);
		for (uint32_t k = 0; pages && k < (offset + bytes + VMB_PAGE - 1) / VMB_PAGE; k++)
			words[n++] = seed % 16 == 15 ? UINT64_MAX - k : (seed + k) % 11; /* see ring_external_map */
	}
	*list = (struct vmb_list){ words, n, ranges };
}

static uint8_t external[8][RING_PAGE];
static unsigned external_mapped;

/* Pages 0...7 are there, and a few numbers that come back as one of them. */
static int ring_external_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx;
	fuzz_need(n > 0 && n <= 32 && !(flags & ~VMB_MAP_WRITE));
	for (uint32_t i = 0; i < n; i++) {
		fuzz_need(pfns[i] < UINT64_C(1) << 52);
		if (pfns[i] % 16 >= 10)
			return VMB_EMAP;
	}
	for (uint32_t i = 0; i < n; i++)
		pages[i] = external[pfns[i] % 8];
	external_mapped += n;
	return 0;
}

static void ring_external_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx;
	(void)flags;
	fuzz_need(external_mapped >= n);
	for (uint32_t i = 0; i < n; i++)
		fuzz_need(pages[i] == external[pfns[i] % 8]);
	external_mapped -= n;
}

static int ring_external_result(int r)
{
	fuzz_need(!external_mapped);
	return r == 0 || r == VMB_EINVAL || r == VMB_EMAP || r == VMB_YES;
}

/* More consecutive pages than are mapped at once. */
static void ring_external_long(uint32_t seed)
{
	const struct vmb_mapper m = { NULL, ring_external_map, ring_external_unmap };
	static uint8_t buf[RING_LONG * RING_PAGE];
	uint64_t words[RING_LONG + 1] = { VMB_RANGE(RING_LONG * RING_PAGE - 8, 8) };
	struct vmb_list list = { words, RING_LONG + 1, 1 };

	for (uint32_t i = 0; i < RING_LONG; i++)
		words[1 + i] = (seed + i) % 8;
	for (uint32_t i = 0; i < RING_PAGE; i++) /* pages come again, so what is written last stays */
		buf[i] = buf[sizeof buf - RING_PAGE + i] = (uint8_t)(seed + i);
	fuzz_need(!vmb_list_write(&list, &m, 0, buf, sizeof buf - 8) && !external_mapped);
	fuzz_need(!vmb_list_read(&list, &m, 0, buf, sizeof buf - 8) && !external_mapped);
	fuzz_need(!vmb_list_compare(&list, &m, 0, buf, sizeof buf - 8) && !external_mapped);
	words[1 + seed % RING_LONG] = 10;
	fuzz_need(vmb_list_read(&list, &m, 0, buf, sizeof buf - 8) == VMB_EMAP && !external_mapped);
}

void ring_external(const struct vmb_packet *p, const struct fuzz_step *s)
{
	const struct vmb_mapper m = { NULL, ring_external_map, ring_external_unmap };
	uint64_t words[RING_WORDS_MAX], bytes = vmb_packet_bytes(p);
	uint32_t n = s->v % 3000, ranges = 0, cursor = 0;
	uint64_t offset = s->c & 1 ? s->v : bytes ? s->v % bytes : 0;
	struct vmb_list set, whole;
	struct vmb_range range;
	uint8_t *buf = fuzz_alloc(8, n);
	int r;

	ring_list(s->c, 1, words, &set);
	r = vmb_packet_read(p, &set, &m, offset, buf, n);
	fuzz_need(ring_external_result(r) && r != VMB_YES);
	if (!r && !vmb_packet_compare(p, &set, &m, offset, buf, n))
		fuzz_need(offset + n <= bytes);
	if (p->kind != VMB_PKT_GPA && p->kind != VMB_PKT_XFER)
		fuzz_need(r == VMB_EINVAL && !bytes);
	r = vmb_packet_write(p, &set, &m, offset, buf, n);
	fuzz_need(ring_external_result(r) && r != VMB_YES);
	if (!r && n) {
		buf[n - 1] ^= 1; /* the last byte was written last */
		fuzz_need(vmb_packet_compare(p, &set, &m, offset, buf, n) == VMB_YES);
	}
	fuzz_need(ring_external_result(vmb_packet_compare(p, &set, &m, offset, buf, n)));
	if (p->kind == VMB_PKT_GPA) {
		r = vmb_list_check(p->list.words, p->list.count, p->list.ranges, &whole, NULL);
		fuzz_need(!r && whole.count == p->list.count);
		while ((r = vmb_list_next(&p->list, &cursor, &range)) == VMB_YES)
			ranges++;
		fuzz_need(!r && ranges == p->list.ranges);
		r = vmb_list_read(&p->list, &m, offset, buf, n);
		fuzz_need(ring_external_result(r) && r != VMB_YES);
		fuzz_need(ring_external_result(vmb_list_compare(&p->list, &m, offset, buf, n)));
		fuzz_need(ring_external_result(vmb_list_write(&p->list, &m, offset, buf, n)));
	}
	free(buf);
	if (s->c == 255)
		ring_external_long(s->v);
}

void ring_fields(const uint8_t *bytes, uint32_t len)
{
	struct vmb_field f;
	int r = VMB_YES;

	for (uint32_t i = 0; r == VMB_YES; i++) {
		r = vmb_packet_field(bytes, len, i, &f);
		fuzz_need(i <= len + 16);
		if (r == VMB_YES)
			fuzz_need(f.name && f.bytes && f.offset <= len && f.bytes <= len - f.offset);
	}
	fuzz_need(r == VMB_ENOENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size, 0 };
	struct fuzz_step first;

	ring_in_use[0] = ring_in_use[1] = NULL;
	ring_peer_forget();
	if (!fuzz_next(&in, &first))
		return 0;
	if (first.op & 1)
		ring_channels(&in, &first);
	else
		ring_halves(&in, &first);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host's page lists, from the first header to the last use. gpadl.md 5, 8
 *
 * Words lie in chunks, chained by number. A list takes all its chunks when its header comes, so a body never finds the arena
 * full. The quota of pages is charged with all words of a list but its first; then a list of c charged words has c / 32 + 1
 * chunks, and pages / 32 + gpadls chunks are enough for everything that the quotas admit, however it is cut up.
 *
 * A list is parsed while it arrives, one word after the other, out of the private message: no message costs more than its own
 * words and the links of the chunks.
 */
#include "gpadl.h"
#include "ids.h"
#include "list.h"
#include "../protocol/message.h"

#define GPADLS_CHUNK 32u /* words */

struct gpadls_entry {
	uint64_t bytes;
	uint32_t owner;       /* 0: free; then `first` links the free ones */
	uint32_t complete;    /* 0: bodies are missing */
	uint32_t uses, leaving;
	uint32_t words, got;  /* announced, received; once complete: kept, both */
	uint32_t used;        /* of those received, the words that belong to ranges */
	uint32_t ranges;      /* announced */
	uint32_t ranges_left, pages_left; /* not yet seen; of the range at hand */
	uint32_t bad;         /* a range word that is none has been seen */
	uint32_t first, last; /* its chunks */
	uint32_t at;          /* the chunk of the word received last */
};

struct gpadls_owner {
	uint32_t set;         /* its lists in any state, by id */
	uint32_t lists, charged;
};

struct vmbi_gpadl_store {
	struct vmbi_ids ids;
	struct gpadls_entry *entries; /* entries, ids, owners and chunks are numbered from 1 */
	uint32_t *id;
	struct gpadls_owner *owners;
	uint64_t (*chunks)[GPADLS_CHUNK];
	uint32_t *links;              /* the next chunk of the same list, or the next free one */
	struct vmbi_gpadl_limits limits;
	uint32_t free_entry, free_chunk;
	uint32_t building_set;        /* the lists that wait for bodies, by id alone: a body names no channel */
	uint32_t building, lists, charged;
	uint32_t pages;               /* as vmbi_gpadls_count gives them */
};

/* The parts of the store's memory; s NULL: only their size. */
static uint64_t gpadls_layout(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits)
{
	struct vmbi_carve c = { (uint8_t *)s, 0 };
	uint32_t owners = limits->owners ? limits->owners : VMBI_MAX_CHANNEL_ID;
	uint64_t lists = (uint64_t)limits->gpadls + 1, chunks = (uint64_t)limits->pages / GPADLS_CHUNK + lists;
	void *nodes, *part[5];

	vmbi_carve(&c, 1, sizeof *s);
	part[0] = vmbi_carve(&c, lists, sizeof *s->entries);
	part[1] = vmbi_carve(&c, lists, sizeof *s->id);
	part[2] = vmbi_carve(&c, (uint64_t)owners + 1, sizeof *s->owners);
	part[3] = vmbi_carve(&c, chunks, sizeof *s->chunks);
	part[4] = vmbi_carve(&c, chunks, sizeof *s->links);
	nodes = vmbi_carve(&c, 2 * lists, sizeof(struct vmbi_ids_node));
	if (!s)
		return c.used;

	*s = (struct vmbi_gpadl_store){ .entries = part[0], .id = part[1], .owners = part[2], .chunks = part[3], .links = part[4],
					.limits = *limits };
	s->limits.owners = owners;
	vmbi_ids_init(&s->ids, nodes, 2 * limits->gpadls, s->id);
	return c.used;
}

struct vmbi_gpadl_store *vmbi_gpadls_carve(struct vmbi_carve *c, const struct vmbi_gpadl_limits *limits)
{
	return vmbi_carve(c, gpadls_layout(NULL, limits), 1);
}

void vmbi_gpadls_init(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits)
{
	gpadls_layout(s, limits);
	for (uint32_t i = limits->gpadls; i; i--) {
		s->entries[i] = (struct gpadls_entry){ .first = s->free_entry };
		s->id[i] = 0;
		s->free_entry = i;
	}
	for (uint32_t i = limits->pages / GPADLS_CHUNK + limits->gpadls; i; i--) {
		s->links[i] = s->free_chunk;
		s->free_chunk = i;
	}
	for (uint32_t i = 0; i <= s->limits.owners; i++)
		s->owners[i] = (struct gpadls_owner){ 0, 0, 0 };
}

/* What vmbi_gpadls_count counts of a list. */
static uint32_t gpadls_pages(const struct gpadls_entry *e)
{
	return e->words - (e->complete ? e->ranges : 1);
}

static uint32_t gpadls_chunks(uint32_t words)
{
	return (words + GPADLS_CHUNK - 1) / GPADLS_CHUNK;
}

/* Give back all chunks of the chain first ... last. */
static void gpadls_free_chunks(struct vmbi_gpadl_store *s, uint32_t first, uint32_t last)
{
	s->links[last] = s->free_chunk;
	s->free_chunk = first;
}

/* A new list in all the sets, with its chunks. The quotas have been looked at. */
static uint32_t gpadls_new(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, uint32_t words, uint32_t ranges)
{
	uint32_t ref = s->free_entry;
	struct gpadls_entry *e = &s->entries[ref];
	struct gpadls_owner *o = &s->owners[owner];

	s->free_entry = e->first;
	*e = (struct gpadls_entry){ .owner = owner, .words = words, .ranges = ranges, .ranges_left = ranges };
	e->first = e->last = e->at = s->free_chunk;
	for (uint32_t n = gpadls_chunks(words); n > 1; n--)
		e->last = s->links[e->last];
	s->free_chunk = s->links[e->last];
	s->id[ref] = id;
	vmbi_ids_insert(&s->ids, &o->set, ref);
	o->lists++;
	o->charged += words - 1;
	s->lists++;
	s->charged += words - 1;
	s->pages += gpadls_pages(e);
	return ref;
}

static void gpadls_built(struct vmbi_gpadl_store *s, uint32_t ref)
{
	vmbi_ids_remove(&s->ids, &s->building_set, ref);
	s->building--;
}

/* The id stays readable until the reference is used again: vmbi_gpadls_next goes on from there. */
static void gpadls_forget(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];
	struct gpadls_owner *o = &s->owners[e->owner];

	vmbi_ids_remove(&s->ids, &o->set, ref);
	o->lists--;
	o->charged -= e->words - 1;
	s->lists--;
	s->charged -= e->words - 1;
	s->pages -= gpadls_pages(e);
	gpadls_free_chunks(s, e->first, e->last);
	e->owner = 0;
	e->first = s->free_entry;
	s->free_entry = ref;
}

/* Parse and keep one word. Those behind the last range are of no use, but count as received. */
static void gpadls_word(struct vmbi_gpadl_store *s, struct gpadls_entry *e, uint64_t word)
{
	e->got++;
	if (e->pages_left) {
		e->pages_left--;
	} else if (e->ranges_left) {
		e->ranges_left--;
		e->pages_left = vmbi_range_pages(word);
		e->bytes += vmbi_range_bytes(word);
		e->bad |= !e->pages_left;
	} else {
		return;
	}
	if (e->used && e->used % GPADLS_CHUNK == 0)
		e->at = s->links[e->at];
	s->chunks[e->at][e->used++ % GPADLS_CHUNK] = word;
}

/* All words are here: is it a list? Cut off what lies behind its ranges. gpadl.md 3.1 */
static int gpadls_finish(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (e->bad || e->ranges_left || e->pages_left) {
		gpadls_forget(s, ref);
		return VMBI_GPADL_REFUSED;
	}
	if (e->at != e->last) {
		gpadls_free_chunks(s, s->links[e->at], e->last);
		e->last = e->at;
	}
	s->pages -= gpadls_pages(e);
	s->charged -= e->words - e->used;
	s->owners[e->owner].charged -= e->words - e->used;
	e->words = e->got = e->used;
	e->complete = 1;
	s->pages += gpadls_pages(e);
	return VMBI_GPADL_COMPLETE;
}

/* May this owner have one more list of this many words? */
static int gpadls_over_quota(const struct vmbi_gpadl_store *s, const struct gpadls_owner *o, uint32_t words, int building,
			     uint32_t max_gpadls, uint32_t max_pages)
{
	if (s->lists >= s->limits.gpadls || (uint64_t)s->charged + words - 1 > s->limits.pages)
		return 1;
	if (building && s->building >= s->limits.building)
		return 1;
	return (max_gpadls && o->lists >= max_gpadls) || (max_pages && (uint64_t)o->charged + words - 1 > max_pages);
}

int vmbi_gpadls_header(struct vmbi_gpadl_store *s, uint32_t owner, const uint8_t *msg, uint32_t len, uint32_t max_gpadls,
		       uint32_t max_pages, struct vmbi_gpadl_answer *answer)
{
	uint32_t id, bytes, words, ranges, n, ref;

	if (len < VMBI_GPADL_HEADER_DATA)
		return VMBI_GPADL_DROPPED;
	id = vmbi_get32(msg + VMBI_AT(GPADL_HEADER, gpadl_id));
	bytes = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_buflen));
	ranges = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_count));
	words = bytes / 8;
	n = (len - VMBI_GPADL_HEADER_DATA) / 8;
	*answer = (struct vmbi_gpadl_answer){ owner, id, 0 };

	if (!owner || owner > s->limits.owners || bytes % 8 || !ranges || ranges > words)
		return VMBI_GPADL_REFUSED;
	if (vmbi_ids_find(&s->ids, s->owners[owner].set, id))
		return VMBI_GPADL_REFUSED;
	if (n < words && vmbi_ids_find(&s->ids, s->building_set, id))
		return VMBI_GPADL_REFUSED; /* else nobody could tell whose its bodies are */
	if (gpadls_over_quota(s, &s->owners[owner], words, n < words, max_gpadls, max_pages))
		return VMBI_GPADL_QUOTA;

	ref = answer->ref = gpadls_new(s, owner, id, words, ranges);
	for (uint32_t i = 0; i < n && i < words; i++)
		gpadls_word(s, &s->entries[ref], vmbi_get64(msg + VMBI_GPADL_HEADER_DATA + i * 8));
	if (n >= words)
		return gpadls_finish(s, ref);
	vmbi_ids_insert(&s->ids, &s->building_set, ref);
	s->building++;
	return VMBI_GPADL_WAITING;
}

int vmbi_gpadls_body(struct vmbi_gpadl_store *s, const uint8_t *msg, uint32_t len, struct vmbi_gpadl_answer *answer)
{
	struct gpadls_entry *e;
	uint32_t id, n, ref;

	if (len < VMBI_GPADL_BODY_DATA)
		return VMBI_GPADL_DROPPED;
	id = vmbi_get32(msg + VMBI_AT(GPADL_BODY, gpadl_id));
	ref = vmbi_ids_find(&s->ids, s->building_set, id);
	if (!ref)
		return VMBI_GPADL_DROPPED;
	e = &s->entries[ref];
	*answer = (struct vmbi_gpadl_answer){ e->owner, id, ref };
	n = (len - VMBI_GPADL_BODY_DATA) / 8;
	for (uint32_t i = 0; i < n && e->got < e->words; i++)
		gpadls_word(s, e, vmbi_get64(msg + VMBI_GPADL_BODY_DATA + i * 8));
	if (e->got < e->words)
		return VMBI_GPADL_WAITING;
	gpadls_built(s, ref);
	return gpadls_finish(s, ref);
}

uint32_t vmbi_gpadls_find(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id)
{
	uint32_t ref;

	if (!owner || owner > s->limits.owners)
		return 0;
	ref = vmbi_ids_find(&s->ids, s->owners[owner].set, id);
	return ref && s->entries[ref].complete ? ref : 0;
}

void vmbi_gpadls_info(struct vmbi_gpadl_store *s, uint32_t ref, struct vmb_gpadl_info *out)
{
	const struct gpadls_entry *e = &s->entries[ref];

	out->flags = 0;
	out->ranges = e->ranges;
	out->words = e->words;
	out->pages = gpadls_pages(e);
	out->held = e->uses;
	out->bytes = e->bytes;
}

void vmbi_gpadls_words(struct vmbi_gpadl_store *s, uint32_t ref, uint32_t first, uint64_t *words, uint32_t n)
{
	uint32_t chunk = s->entries[ref].first;

	for (; first >= GPADLS_CHUNK; first -= GPADLS_CHUNK)
		chunk = s->links[chunk];
	while (n) {
		uint32_t part = GPADLS_CHUNK - first;

		if (part > n)
			part = n;
		VMBI_MEMCPY(words, &s->chunks[chunk][first], part * sizeof *words);
		words += part;
		n -= part;
		first = 0;
		chunk = s->links[chunk];
	}
}

/* Does a complete list name one of the pages pfn ... pfn + pages - 1? */
static int gpadls_touches(const struct vmbi_gpadl_store *s, const struct gpadls_entry *e, uint64_t pfn, uint64_t pages)
{
	uint32_t chunk = e->first, left = 0;

	for (uint32_t i = 0; i < e->words; i++) {
		uint64_t word = s->chunks[chunk][i % GPADLS_CHUNK];

		if (!left)
			left = vmbi_range_pages(word);
		else if (left--, word - pfn < pages)
			return 1;
		if (i % GPADLS_CHUNK == GPADLS_CHUNK - 1)
			chunk = s->links[chunk];
	}
	return 0;
}

uint32_t vmbi_gpadls_touching(const struct vmbi_gpadl_store *s, uint32_t ref, uint64_t pfn, uint64_t pages, uint32_t *owner)
{
	while (ref < s->limits.gpadls) {
		const struct gpadls_entry *e = &s->entries[++ref];

		if (e->owner && e->complete && e->uses && gpadls_touches(s, e, pfn, pages)) {
			*owner = e->owner;
			return ref;
		}
	}
	return 0;
}

void vmbi_gpadls_use(struct vmbi_gpadl_store *s, uint32_t ref)
{
	s->entries[ref].uses++;
}

int vmbi_gpadls_unuse(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (--e->uses || !e->leaving)
		return 0;
	gpadls_forget(s, ref);
	return 1;
}

int vmbi_gpadls_is_leaving(struct vmbi_gpadl_store *s, uint32_t ref)
{
	return (int)s->entries[ref].leaving;
}

int vmbi_gpadls_leave(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (!e->uses) {
		gpadls_forget(s, ref);
		return 1;
	}
	e->leaving = 1;
	return 0;
}

/* The first list of the owner, in any state, with an id above that of ref; ref 0: the first of all. */
static uint32_t gpadls_step(const struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	uint32_t set = s->owners[owner].set;

	return ref ? vmbi_ids_after(&s->ids, set, s->id[ref]) : vmbi_ids_first(&s->ids, set);
}

uint32_t vmbi_gpadls_building(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	do
		ref = gpadls_step(s, owner, ref);
	while (ref && s->entries[ref].complete);
	return ref;
}

uint32_t vmbi_gpadls_look(const struct vmbi_gpadl_store *s, uint32_t ref, uint32_t *owner)
{
	const struct gpadls_entry *e = &s->entries[ref];

	*owner = e->owner;
	if (!e->owner)
		return VMB_LIST_NONE;
	if (!e->complete)
		return VMB_LIST_BUILDING;
	return e->leaving ? VMB_LIST_LEAVING : VMB_LIST_ALIVE;
}

void vmbi_gpadls_purge(struct vmbi_gpadl_store *s, uint32_t owner)
{
	for (uint32_t ref = gpadls_step(s, owner, 0); ref; ref = gpadls_step(s, owner, ref)) {
		if (s->entries[ref].complete)
			continue;
		gpadls_built(s, ref);
		gpadls_forget(s, ref);
	}
}

uint32_t vmbi_gpadls_next(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	do
		ref = gpadls_step(s, owner, ref);
	while (ref && !s->entries[ref].complete);
	return ref;
}

uint32_t vmbi_gpadls_each(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	return gpadls_step(s, owner, ref);
}

void vmbi_gpadls_state(struct vmbi_gpadl_store *s, uint32_t ref, struct vmbi_gpadl_state *out)
{
	const struct gpadls_entry *e = &s->entries[ref];

	*out = (struct vmbi_gpadl_state){ s->id[ref], e->complete, e->leaving, e->ranges, e->words, e->got, e->used };
}

/* Feed it what it had received: 0, or VMB_EINVAL and it is forgotten. */
static int gpadls_replay(struct vmbi_gpadl_store *s, uint32_t ref, const struct vmbi_gpadl_state *g, const uint8_t *words)
{
	struct gpadls_entry *e = &s->entries[ref];

	for (uint32_t i = 0; i < g->kept; i++)
		gpadls_word(s, e, vmbi_get64(words + i * 8));
	if (g->complete)
		return gpadls_finish(s, ref) == VMBI_GPADL_COMPLETE ? 0 : VMB_EINVAL;
	if (e->used != g->kept || (g->got > g->kept && (e->ranges_left || e->pages_left))) {
		gpadls_forget(s, ref);
		return VMB_EINVAL;
	}
	e->got = g->got;
	vmbi_ids_insert(&s->ids, &s->building_set, ref);
	s->building++;
	return 0;
}

int vmbi_gpadls_load(struct vmbi_gpadl_store *s, uint32_t owner, const struct vmbi_gpadl_state *g, const uint8_t *words,
		     uint32_t max_gpadls, uint32_t max_pages, uint32_t *ref)
{
	int r;

	if (!g->ranges || g->ranges > g->words || g->words > VMBI_GPADL_WORDS_MAX || g->got > g->words || g->kept > g->got ||
	    g->complete != (g->got == g->words) || (g->complete && g->kept != g->words) || (g->leaving && !g->complete))
		return VMB_EINVAL;
	if (vmbi_ids_find(&s->ids, s->owners[owner].set, g->id) ||
	    (!g->complete && vmbi_ids_find(&s->ids, s->building_set, g->id)))
		return VMB_EINVAL;
	if (gpadls_over_quota(s, &s->owners[owner], g->words, !g->complete, max_gpadls, max_pages))
		return VMB_ENOSPACE;
	*ref = gpadls_new(s, owner, g->id, g->words, g->ranges);
	r = gpadls_replay(s, *ref, g, words);
	if (!r)
		s->entries[*ref].leaving = g->leaving;
	return r;
}

uint32_t vmbi_gpadls_id(struct vmbi_gpadl_store *s, uint32_t ref)
{
	return s->id[ref];
}

void vmbi_gpadls_count(const struct vmbi_gpadl_store *s, uint32_t *gpadls, uint32_t *pages)
{
	*gpadls = s->lists;
	*pages = s->pages;
}

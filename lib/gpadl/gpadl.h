/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Page lists on the wire: splitting one into messages (guest), putting it together again and keeping it (host). gpadl.md */
#ifndef VMBI_GPADL_H
#define VMBI_GPADL_H

#include "vmbus.h"
#include "../env.h"
#include "../abi.h"

#define VMBI_GPADL_WORDS_MAX 8191u /* range_buflen is 16 bits of bytes. gpadl.md 4 */
#define VMBI_GPADL_HEADER_WORDS 27u
#define VMBI_GPADL_BODY_WORDS 28u

/* ---- split.c: the guest's side */

/* How many messages announce a list of this many words. */
uint32_t vmbi_gpadl_messages(uint32_t words);
/* Write message number k (0: the header) into out; returns its length. */
uint32_t vmbi_gpadl_message(uint8_t out[VMB_MESSAGE_MAX], uint32_t k, uint32_t channel_id, uint32_t gpadl_id,
			    const uint64_t *words, uint32_t count, uint32_t ranges);

/* ---- store.c: the host's side. A table of lists and an arena of words, in storage carved by the end. `owner` is a number of the
 * end's, from 1 (its channel slot): ids are unique per owner, and over all owners while bodies are missing. gpadl.md 5 */

struct vmbi_gpadl_limits {
	/* Over all owners. Pages: all words of all lists but the first range word of each; for lists of one range that is their
	 * pages. Words announced count from the header on. */
	uint32_t gpadls, building, pages;
	uint32_t owners; /* 1...owners; 0: 2047 */
};

struct vmbi_gpadl_store; /* opaque; its memory is carved below */

/* Carve the store's memory; NULL while only computing. Nothing is written before init. */
struct vmbi_gpadl_store *vmbi_gpadls_carve(struct vmbi_carve *c, const struct vmbi_gpadl_limits *limits);
/* Start empty. */
void vmbi_gpadls_init(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits);

/* What became of a header or body. */
#define VMBI_GPADL_DROPPED 0  /* no answer: too short, or a body of nothing known */
#define VMBI_GPADL_WAITING 1  /* more bodies to come */
#define VMBI_GPADL_COMPLETE 2 /* answer CREATED(0) */
#define VMBI_GPADL_REFUSED 3  /* answer CREATED(failed); nothing is kept, the id is free again */
#define VMBI_GPADL_QUOTA 4    /* the same, for a limit */

struct vmbi_gpadl_answer {
	uint32_t owner, id; /* whom to answer; for DROPPED: undefined */
	uint32_t ref;       /* for WAITING and COMPLETE: the list */
};

/* A GPADL_HEADER of at least 20 bytes for a live owner. max_gpadls, max_pages: the owner's own limits, counted alike; 0: none. */
int vmbi_gpadls_header(struct vmbi_gpadl_store *s, uint32_t owner, const uint8_t *msg, uint32_t len, uint32_t max_gpadls,
		       uint32_t max_pages, struct vmbi_gpadl_answer *answer);
/* A GPADL_BODY of at least 16 bytes. */
int vmbi_gpadls_body(struct vmbi_gpadl_store *s, const uint8_t *msg, uint32_t len, struct vmbi_gpadl_answer *answer);

/* A complete list, leaving or not, or 0. References are numbers from 1 to limits.gpadls, valid until forgotten. */
uint32_t vmbi_gpadls_find(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id);
void vmbi_gpadls_info(struct vmbi_gpadl_store *s, uint32_t ref, struct vmb_gpadl_info *out); /* out->size is not touched */
/* Copy n words from word `first` on; the caller has checked them against info. */
void vmbi_gpadls_words(struct vmbi_gpadl_store *s, uint32_t ref, uint32_t first, uint64_t *words, uint32_t n);

/* Uses of a list: the ring of an open channel, or a hold. */
void vmbi_gpadls_use(struct vmbi_gpadl_store *s, uint32_t ref);
/* 1: that was the last use and the list is leaving: it is forgotten now, answer or count it. */
int vmbi_gpadls_unuse(struct vmbi_gpadl_store *s, uint32_t ref);
int vmbi_gpadls_is_leaving(struct vmbi_gpadl_store *s, uint32_t ref);
/* The guest wants it back, or its owner goes. 1: nobody uses it, it is forgotten at once. 0: it waits for unuse. */
int vmbi_gpadls_leave(struct vmbi_gpadl_store *s, uint32_t ref);
/* The lists of an owner of which bodies are missing, by rising id: start with ref 0; 0 after the last. */
uint32_t vmbi_gpadls_building(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
/* What is at a reference, and whose: VMB_LIST_*; NONE: nothing. */
uint32_t vmbi_gpadls_look(const struct vmbi_gpadl_store *s, uint32_t ref, uint32_t *owner);
/* Forget what is still being built for an owner. */
void vmbi_gpadls_purge(struct vmbi_gpadl_store *s, uint32_t owner);
/* The owner's complete lists, leaving or not, by rising id: start with ref 0; 0 after the last. Safe against forgetting the one
 * just given, or any other; not against new ones. */
uint32_t vmbi_gpadls_next(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
uint32_t vmbi_gpadls_id(struct vmbi_gpadl_store *s, uint32_t ref);
/* The first complete list after `ref` (0: from the start) that is in use and names one of the pages [pfn, pfn + pages), and its
 * owner; 0: none. Reads every word of the lists that it passes. */
uint32_t vmbi_gpadls_touching(const struct vmbi_gpadl_store *s, uint32_t ref, uint64_t pfn, uint64_t pages, uint32_t *owner);
/* The same over lists in any state. */
uint32_t vmbi_gpadls_each(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
/* A list as it is saved. */
struct vmbi_gpadl_state {
	uint32_t id, complete, leaving, ranges;
	uint32_t words, got; /* announced, received */
	uint32_t kept;       /* of those received, how many belong to ranges: vmbi_gpadls_words gives them */
};
void vmbi_gpadls_state(struct vmbi_gpadl_store *s, uint32_t ref, struct vmbi_gpadl_state *out);
/* Take in a saved one, with its kept words as little-endian bytes; nobody uses it yet. 0 and its reference, VMB_EINVAL: it cannot be, or
 * VMB_ENOSPACE. gpadl.md 9 */
int vmbi_gpadls_load(struct vmbi_gpadl_store *s, uint32_t owner, const struct vmbi_gpadl_state *g, const uint8_t *words,
		     uint32_t max_gpadls, uint32_t max_pages, uint32_t *ref);
/* Totals for vmb_bus_info: lists in any state, and their pages (of those still being built: as the quota counts them). */
void vmbi_gpadls_count(const struct vmbi_gpadl_store *s, uint32_t *gpadls, uint32_t *pages);

#endif /* VMBI_GPADL_H */

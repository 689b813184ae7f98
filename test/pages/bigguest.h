/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest whose pages are larger than those of the protocol: its memory comes in frames of 4, 16 or 64 KiB that lie scattered in
 * guest-physical memory, and it lays rings and buffers out in units of them. On the other side a host that can touch what is mapped at
 * that moment and nothing else: the rest of its view of guest memory is inaccessible.
 */
#ifndef TEST_PAGES_BIGGUEST_H
#define TEST_PAGES_BIGGUEST_H

#include <vmbus.h>

enum { BIG_FRAMES = 96, BIG_REGIONS = 16, BIG_MESSAGES = 64, BIG_EVENTS = 64, BIG_FILL = 0xc3 };

struct big_region { /* frames in a row, as the guest sees them */
	uint8_t *at;
	uint32_t frames, frame[BIG_FRAMES];
};

struct big {
	uint32_t page;               /* bytes of a frame */
	uint32_t pages;              /* 4 KiB pages in one */
	int fd;
	uint8_t *host_view;          /* of all memory */
	uint32_t mapped[BIG_FRAMES * 16];   /* 4 KiB pages, how often just now */
	uint8_t touched[BIG_FRAMES * 16];   /* and whether ever */
	uint32_t all_mapped;
	uint32_t next_frame;
	struct big_region region[BIG_REGIONS];
	uint32_t regions;

	struct vmb_host *host;
	struct vmb_guest *guest;
	void *host_mem, *guest_mem;
	struct { uint8_t bytes[VMB_MESSAGE_MAX]; uint32_t len; } message[BIG_MESSAGES]; /* to the guest, on their way */
	uint32_t messages;
	_Alignas(256) uint8_t flags[256], slot[256];
	int interrupt;
	uint32_t host_wakes, guest_wakes;
	struct vmb_event host_event[BIG_EVENTS], guest_event[BIG_EVENTS];
	uint32_t host_events, guest_events;
	struct vmb_mapper host_mapper, guest_mapper; /* how lists are followed on either side */
	vmb_handle offer, channel;                   /* one device, as the host and the guest name it */
};

/* A guest with such pages, connected to a host that offers one device. */
struct big *big_new(uint32_t page);
void big_free(struct big *b);
/* So many frames, no two of them neighbours; all bytes BIG_FILL. twice: mapped a second time behind the first. */
uint8_t *big_alloc(struct big *b, uint32_t frames, int twice);
/* The 4 KiB page at this address. */
uint64_t big_pfn(const struct big *b, const void *at);
/* For vmb_list_build: one frame. */
int big_translate(void *ctx, uint64_t address, uint64_t *gpa);
/* Messages, interrupts and events until there are none. */
void big_run(struct big *b);
/* The event of this kind, which there must be; the status must be 0. It is taken. */
struct vmb_event big_host_event(struct big *b, uint32_t kind);
struct vmb_event big_guest_event(struct big *b, uint32_t kind);

#endif /* TEST_PAGES_BIGGUEST_H */

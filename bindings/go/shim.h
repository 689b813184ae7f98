/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Between Go and the library: what cgo cannot say (functions as callbacks, pointers inside structs), and what saves crossings. Bytes and words
 * are typed pointers: cgo looks through all that a void pointer names.
 */
#ifndef VMBGO_SHIM_H
#define VMBGO_SHIM_H

#include <vmbus.h>

/* Guest memory as the process sees it: regions, none of which overlap. */
struct vmbgo_region { uint64_t pfn, pages; uint8_t *base; };
struct vmbgo_ram { uint32_t count, reserved; struct vmbgo_region region[]; };

/* The first argument of all callbacks: a cgo.Handle, and guest memory for the map callback. */
struct vmbgo_ctx { uintptr_t handle; const struct vmbgo_ram *ram; };

#define VMBGO_TRACE 1u   /* the platform wants traces */
#define VMBGO_MONITOR 2u /* the platform maps monitor pages */
#define VMBGO_MAPPER 4u  /* the platform maps, and not ram */

#define VMBGO_READ 0
#define VMBGO_WRITE 1
#define VMBGO_COMPARE 2

/* A packet without pointers. */
struct vmbgo_packet {
	uint16_t kind, flags, page_set, reserved;
	uint32_t len, words, ranges, head_len;
	uint64_t id, user;
};

int vmbgo_alloc(const struct vmb_storage *need, void **mem);
struct vmbgo_ram *vmbgo_ram_new(uint32_t count);
void vmbgo_ram_set(struct vmbgo_ram *ram, uint32_t i, uint64_t pfn, uint64_t pages, uint8_t *base);
struct vmbgo_ctx *vmbgo_ctx_new(uintptr_t handle, const struct vmbgo_ram *ram);
uintptr_t vmbgo_thread(void);

int vmbgo_guest_new(struct vmb_guest_config *cfg, struct vmbgo_ctx *ctx, uint32_t with, struct vmb_guest **guest, void **mem);
int vmbgo_host_new(struct vmb_host_config *cfg, struct vmbgo_ctx *ctx, uint32_t with, struct vmb_host **host, void **mem);
int vmbgo_guest_open(struct vmb_guest *g, vmb_handle ch, const struct vmb_channel_config *cfg, struct vmb_open *open, const uint64_t *pfns,
		     struct vmb_channel **out, void **mem);
int vmbgo_host_attach(struct vmb_host *h, vmb_handle ch, const struct vmb_channel_config *cfg, struct vmb_channel **out, void **mem);
int vmbgo_channel_new(struct vmb_channel_config *cfg, struct vmbgo_ctx *ctx, int signals, struct vmb_channel **out, void **mem);
int vmbgo_tx_new(const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_tx **tx, void **mem);
int vmbgo_rx_new(const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_rx **rx, void **mem);

int vmbgo_put(struct vmb_channel *ch, int flush, struct vmbgo_packet *p, const uint8_t *payload, const uint64_t *words);
int vmbgo_recv(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *rec);
/* Room in the ring, as spans of which the memory is the ring's. *n: in, how many fit; out, how many there are. */
int vmbgo_reserve(struct vmb_channel *ch, struct vmbgo_packet *p, const uint64_t *words, struct vmb_span *spans, uint32_t *n);
int vmbgo_next(struct vmb_channel *ch, struct vmb_record *rec, struct vmb_span *spans, uint32_t *n);

int vmbgo_tx_put(struct vmb_tx *tx, const struct vmbgo_packet *p, const uint8_t *payload, const uint64_t *words);
int vmbgo_tx_arm(struct vmb_tx *tx, const struct vmbgo_packet *p, const uint64_t *words, uint32_t least);
int vmbgo_rx_get(struct vmb_rx *rx, uint8_t *buf, uint32_t bytes, struct vmb_record *rec);

int vmbgo_list_check(const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *used, uint64_t *bytes);
int vmbgo_list_next(const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *cursor, uint32_t *bytes, uint32_t *offset, uint32_t *pages);
int vmbgo_list_move(int how, const uint64_t *words, uint32_t count, uint32_t ranges, const struct vmbgo_ram *ram, uint64_t offset, uint8_t *buf,
		    uint32_t n);
int vmbgo_list_build(const struct vmb_piece *pieces, uint32_t n, uint64_t *words, uint32_t max, uint32_t *count, uint32_t *ranges);
/* The external memory of a received packet. set NULL: GPA direct. */
int vmbgo_packet_move(int how, const struct vmbgo_packet *p, const uint64_t *words, const uint64_t *set, uint32_t set_words, uint32_t set_ranges,
		      const struct vmbgo_ram *ram, uint64_t offset, uint8_t *buf, uint32_t n);
uint64_t vmbgo_packet_bytes(const struct vmbgo_packet *p, const uint64_t *words);
int vmbgo_gpadl_create(struct vmb_guest *g, vmb_handle ch, const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *gpadl);
int vmbgo_gpadl_hold(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, uint64_t *words, uint32_t max, uint32_t *count, uint32_t *ranges);

#endif

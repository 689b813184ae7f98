/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * libvmbus: Hyper-V's VMBus, both ends, in any program.            One header, the whole public API.
 *
 * FIVE IDEAS
 *
 *   end       struct vmb_guest or vmb_host: one end of one bus. It speaks the control plane (messages, offers, GPADLs).
 *   handle    vmb_handle: a number that names a channel on an end. Never reused while the end lives: a stale one
 *             gives VMB_EHANDLE, never somebody else's channel. It is not the wire's channel id.
 *   channel   struct vmb_channel: the data plane of one open channel, in your memory: two rings and the requests in
 *             flight. It belongs to your device threads from the call that makes it until the call that gives it back.
 *   event     what an end has to tell you. You pull events; so you handle them with no frame of the library below you.
 *   callback  what an end needs of the platform, in its config: post, interrupt, map, wake. Leaves: do it and return.
 *
 * WHO MAY CALL WHAT. Every function says in brackets
 *
 *   [control]  one caller at a time per end, from any thread, below whatever lock you like. The library takes none.
 *              It notices two callers at once, or a call out of a callback, and refuses: VMB_EREENTRY.
 *   [tx]       one caller at a time per sending side: channel or struct vmb_tx.  Never needs the control lock.
 *   [rx]       one caller at a time per receiving side: channel or struct vmb_rx. Runs beside [tx] and [control].
 *   [owner]    [tx] and [rx] both, and nobody else in the object.
 *   [any]      any thread, vCPU or interrupt handler, beside everything else, from init to end. Lock-free, bounded.
 *   [pure]     touches its arguments only.
 *
 *   callback   | called from                         | beside itself | may call
 *   post       | [control]                           | no            | nothing of its end
 *   message    | [control]                           | no            | nothing of its end
 *   map, unmap | [control]; of a mapper: its caller  | no            | nothing of its end
 *   signal     | [tx] [rx] [any] [control]           | yes           | nothing of its end
 *   interrupt  | [tx] [rx] [any] [control]           | yes           | nothing of its end
 *   wake       | [any], and [control] to say "stop"  | yes           | [tx] and [rx] calls, if it runs on their thread
 *   poke       | anything                            | yes           | nothing of its end
 *   trace      | [control], in the middle of a change | no           | nothing of its end
 *
 * THE ONE RULE OF OWNERSHIP. An open channel's rings belong to its device threads. The control side never touches them; it can
 * only ask: it sets a flag (data calls then return VMB_ESTOPPED), calls wake, and queues an event. The memory stays
 * mapped and every data call stays safe until the owner gives the channel back with vmb_guest_close, vmb_guest_release
 * or vmb_host_detach. No data call may be running then, or start later. VMB_EV_CLOSED says when to free.
 *
 * RESULTS. int: 0, or facts (positive, bits), or VMB_E* (negative, in four groups by whose fault it is).
 * STRUCTS that begin with `size`: set it to sizeof. An older caller's missing tail counts as 0; a newer caller's tail that this
 * library does not know must be 0, and is cleared where the struct is output. All other structs are frozen. Fields called
 * `reserved` or `spare` are 0.
 * ZERO in a config field is always a usable default. All storage is yours; nothing is allocated after an init.
 * MISUSE. [control], [pure] and init calls check their arguments: NULL, ranges, state. Data calls ([tx] [rx]) check lengths,
 * counts and state; a library built with VMB_CHECKED also catches null and foreign objects there (VMB_EINVAL).
 * Bytes received are copies, in the byte order of the wire unless a comment says otherwise.
 * Section names such as "ring.md 8.2" refer to the protocol specification that this project was built from.
 */
#ifndef VMBUS_H
#define VMBUS_H

#include <stddef.h>
#include <stdint.h>

#ifndef VMB_API /* a function that the library exports */
# if defined(__GNUC__)
#  define VMB_API __attribute__((visibility("default")))
# else
#  define VMB_API
# endif
#endif
#ifndef VMB_MUST /* a result that must not be dropped */
# if defined(__GNUC__)
#  define VMB_MUST __attribute__((warn_unused_result))
# else
#  define VMB_MUST
# endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define VMB_VERSION 0x000100u /* of this header: major << 16 | minor << 8 | patch */

/* ================================================================================================== results */

/* Facts: bits of a positive result. */
#define VMB_YES 0x1    /* there was one: a packet, an event, a message, a range, room */
#define VMB_SIGNAL 0x2 /* the peer must be signalled, now; only where the caller asked to do that itself */
#define VMB_EOM 0x4    /* write the end-of-message register of this VP */

/* Informative: nothing is wrong. */
#define VMB_EFULL (-1)     /* no room in the ring; wake will be called when it fits */
#define VMB_EAGAIN (-2)    /* not now; the library, or you, will try again */
#define VMB_ESTOPPED (-3)  /* the control side asks for the channel: stop, give it back */
#define VMB_ENOSLOT (-4)   /* as many requests in flight as the channel was sized for */
#define VMB_ETOOSMALL (-5) /* your buffer is too small; the size needed has been told */
#define VMB_ENOENT (-6)    /* no such request, GPADL, field or name: late, twice, or never there */
#define VMB_EFOREIGN (-7)  /* a SynIC message that is not VMBus's; left in place */

/* Caller: fix the program. State is unchanged. */
#define VMB_EINVAL (-16)   /* an argument is out of its stated range */
#define VMB_ESTRUCT (-17)  /* size too small, or an unknown tail that is not zero */
#define VMB_EHANDLE (-18)  /* no such channel any more */
#define VMB_ESTATE (-19)   /* not in this state; the comment says which */
#define VMB_EREENTRY (-20) /* a second [control] call at once, or one from a callback */
#define VMB_ENOSPACE (-21) /* over a limit of your config, or storage too small or misaligned */
#define VMB_ETOOBIG (-22)  /* this packet or list can never be sent */

/* Peer: its fault, contained in one channel or one connection. */
#define VMB_EPEER (-32)     /* violation; sticky for that channel; reason in vmb_channel_info */
#define VMB_EREFUSED (-33)  /* it said no; event.peer_status tells what it said */
#define VMB_ERESCINDED (-34) /* the device went away before it answered */
#define VMB_EVERSION (-35)  /* no version in common, or not in this version */
#define VMB_ETIMEDOUT (-36) /* no answer in the time your config gives */

/* Platform: a callback failed. */
#define VMB_EPLATFORM (-48) /* post failed for good */
#define VMB_EMAP (-49)      /* map or translate refused a page */
#define VMB_ELEAK (-50)     /* the peer may still write this memory: keep it until VMB_EV_DISCONNECTED says 0 */

/* Whose fault a VMB_E* is. */
#define VMB_GROUP_INFO 0
#define VMB_GROUP_CALLER 1
#define VMB_GROUP_PEER 2
#define VMB_GROUP_PLATFORM 3
#define VMB_GROUP(err) (-(err) >> 4)

VMB_API const char *vmb_strerror(int err); /* [pure] static text, also for unknown codes */
VMB_API int vmb_version(void);             /* [pure] VMB_VERSION of the library */

/* ================================================================================ small types, all frozen */

typedef uint32_t vmb_handle; /* 0 is none */

struct vmb_guid { uint8_t byte[16]; }; /* in the order of the wire; compare with memcmp */

struct vmb_storage { size_t bytes, align; }; /* align: a power of two, at most 64 */

struct vmb_span { void *base; size_t len; }; /* same layout as struct iovec */

/* A byte string inside a ring. It is no pointer: it may wrap and may cross pages. Valid until commit, discard or release. */
struct vmb_view { uint32_t pos, len; }; /* pos: the ring's own, to be left alone; len: bytes */

#define VMB_PAGE 4096u        /* pages of the protocol, on every machine */
#define VMB_MESSAGE_MAX 240u  /* bytes of one control message */

/* ================================================================================================ page lists
 * Guest memory as packets and GPADLs name it: for each range one word VMB_RANGE(bytes, offset), then the numbers (GPA / 4096)
 * of the ceil((offset + bytes) / 4096) pages that it covers. Words are in the byte order of the CPU. A transfer-page packet's
 * list has the range words only, their offset counting from the start of its set. gpadl.md 3, ring.md 5.3, 5.4
 */
struct vmb_list {            /* frozen */
	const uint64_t *words;
	uint32_t count;      /* words */
	uint32_t ranges;     /* of which so many begin a range */
};
/* The word that begins a range. */
#define VMB_RANGE(bytes, offset) ((uint64_t)(uint32_t)(offset) << 32 | (uint32_t)(bytes))

struct vmb_range {           /* frozen; one range of a list, as vmb_list_next gives it */
	uint32_t bytes;      /* > 0 */
	uint32_t offset;     /* into the first page, 0...4095 */
	const uint64_t *pfns; /* the numbers of its pages, in the list */
	uint32_t pages;      /* how many */
	uint32_t reserved;
};

/* How list calls reach guest memory. Frozen. map makes n guest pages accessible and pages[i] point at them, or none of them and
 * returns VMB_EMAP; unmap takes back exactly what one map gave. At most 32 pages are asked for at once. */
struct vmb_mapper {
	void *ctx; /* first argument of both */
	int (*map)(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages);
	void (*unmap)(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages);
};
#define VMB_MAP_WRITE 0x1u   /* will be written; in unmap: has been written, all of these pages are dirty */
#define VMB_MAP_ALWAYS 0x2u  /* stays mapped and is written at any time without a report: dirty whenever you look */
#define VMB_MAP_RING 0x4u    /* a ring: what is written is reported by vmb_channel_dirty, not by unmap */
#define VMB_MAP_PRIVATE 0x8u /* confidential VM: private memory */

/* [pure] Check a list that came from outside: every range > 0 bytes, offset < 4096, all its pages there, at least one range,
 * no sum overflowing. Words beyond the last range are cut off (out->count). VMB_EINVAL: not a list. *bytes (may be NULL): the
 * sum. */
VMB_API int vmb_list_check(const uint64_t *words, uint32_t count, uint32_t ranges, struct vmb_list *out, uint64_t *bytes);
/* [pure] VMB_YES and the next range, 0 after the last, VMB_EINVAL where the list is none. Start with *cursor = 0. */
VMB_API int vmb_list_next(const struct vmb_list *list, uint32_t *cursor, struct vmb_range *out);
/* Read, write, or compare n bytes at `offset` of the memory that the list names, across ranges and pages, through the mapper.
 * Read and write: 0; compare: 0 equal, VMB_YES different. VMB_EINVAL: not all of [offset, offset + n) is in the list, nothing
 * was touched. VMB_EMAP: what lies before the refused page may have been transferred. Thread: the caller's; list words must
 * not change. */
VMB_API VMB_MUST int vmb_list_read(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, void *dst, uint32_t n);
VMB_API VMB_MUST int vmb_list_write(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, const void *src, uint32_t n);
VMB_API VMB_MUST int vmb_list_compare(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, const void *with, uint32_t n);

/* Memory as its owner sees it, to be named in a list. Frozen. */
struct vmb_piece { uint64_t address, bytes; }; /* address: where, in the owner's own terms, as translate takes it */
/* [pure, but for translate] Name pieces in a list of at most `max` words: translate gives the guest-physical address of a
 * page-aligned `address`; it is called once per page of `page_bytes` (4096, 16384, 65536: the guest's own page). Neighbours
 * merge to one range wherever the wire allows. VMB_ENOSPACE: out->count words are needed. VMB_EMAP: translate refused
 * (non-zero). VMB_EINVAL: no piece, an empty one, a sum that overflows. */
VMB_API VMB_MUST int vmb_list_build(const struct vmb_piece *pieces, uint32_t n, uint32_t page_bytes,
				    int (*translate)(void *ctx, uint64_t address, uint64_t *gpa), void *ctx,
				    uint64_t *words, uint32_t max, struct vmb_list *out);

/* ================================================================================================== packets */

#define VMB_PKT_INBAND 6     /* payload only */
#define VMB_PKT_XFER 7       /* transfer pages: host to guest */
#define VMB_PKT_GPA 9        /* GPA direct: guest to host */
#define VMB_PKT_COMPLETION 11 /* the answer to a request */
#define VMB_PKT_WANTS_REPLY 0x1 /* flags: the sender wants a completion */
#define VMB_PKT_LATE 0x8000     /* flags, received completions only: the request had been cancelled; its pages are yours again */

/* One packet, either way. Frozen. To send, fill it; a received one points into the buffer that you gave. ring.md 4, 5 */
struct vmb_packet {
	uint16_t kind, flags;        /* VMB_PKT_* */
	uint32_t len;                /* payload bytes. Received: a multiple of 8 with up to 7 of padding, exact on pipes */
	uint64_t id;                 /* completion: the request's. Request: 0 lets the library choose, and store it here */
	uint64_t user;               /* with a request: yours; with its completion: back */
	const void *payload;         /* may be NULL where len is 0. Received: buf + head_len */
	struct vmb_list list;        /* GPA direct: the pages; transfer pages: the windows. Received: validated, in buf */
	uint32_t head_len;           /* received: the variable header is the first head_len bytes of buf. To send: 0 */
	uint16_t page_set;           /* transfer pages: the set id */
	uint16_t reserved;
};

/* Read, write, or compare n bytes at `offset` of the external memory of a received packet, as vmb_list_read and so on. GPA
 * direct: its pages; set is NULL. Transfer pages: its windows into `set`, the list of the GPADL that the set was made of. */
VMB_API VMB_MUST int vmb_packet_read(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
				     void *dst, uint32_t n);
VMB_API VMB_MUST int vmb_packet_write(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
				      const void *src, uint32_t n);
VMB_API VMB_MUST int vmb_packet_compare(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
					const void *with, uint32_t n);
/* [pure] How many bytes of external memory it names; 0 for other kinds. */
VMB_API uint64_t vmb_packet_bytes(const struct vmb_packet *p);

/* ==================================================================================== names, GUIDs, versions */

VMB_API int vmb_guid_parse(const char *text, struct vmb_guid *out);     /* [pure] "f8615163-df3e-..."; VMB_EINVAL */
VMB_API int vmb_guid_format(const struct vmb_guid *guid, char out[37]); /* [pure] */

/* Class GUIDs of well-known devices, for vmb_guid_parse. devices.md 1 */
#define VMB_CLASS_NET "f8615163-df3e-46c5-913f-f2d2f965ed0e"
#define VMB_CLASS_IDE "32412632-86cb-44a2-9b5c-50d1417354f5"
#define VMB_CLASS_SCSI "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"
#define VMB_CLASS_FC "2f9bcc4a-0069-4af3-b76b-6fd0be528cda"
#define VMB_CLASS_KEYBOARD "f912ad6d-2b17-48ea-bd65-f927a61c7684"
#define VMB_CLASS_MOUSE "cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a"
#define VMB_CLASS_VIDEO "da0a7802-e377-4aac-8e77-0558eb1073f8"
#define VMB_CLASS_HEARTBEAT "57164f39-9115-4e78-ab55-382f3bd5422d"
#define VMB_CLASS_SHUTDOWN "0e0b6031-5213-4934-818b-38d90ced39db"
#define VMB_CLASS_TIMESYNC "9527e630-d0ae-497b-adce-e80ab0175caf"
#define VMB_CLASS_KVP "a9a0f4e7-5a45-4d96-b827-8a841e8c03e6"
#define VMB_CLASS_VSS "35fa2e29-ea23-4236-96ae-3a6ebacba440"
#define VMB_CLASS_FCOPY "34d14be3-dee4-41c8-9ae7-6b174977c192"
#define VMB_CLASS_BALLOON "525074dc-8985-46e2-8057-a307dc18a502"
#define VMB_CLASS_VPCI "44c4f61d-4444-4400-9d52-802e27ede19f"

struct vmb_class {           /* frozen; one row of the registry of well-known device classes */
	const char *name;    /* static, short: "scsi" */
	const char *text;    /* static, the GUID as text */
	struct vmb_guid guid; /* the same */
	uint32_t pipe;       /* 1: its packets carry the pipe header (offer flag VMB_OFFER_PIPE) */
	uint32_t reserved;
};
/* [pure] Row `index` of the registry: 0, or VMB_ENOENT after the last. devices.md 1 */
VMB_API int vmb_class_at(uint32_t index, struct vmb_class *out);
/* [pure] The row of a class GUID: 0, or VMB_ENOENT. */
VMB_API int vmb_class_find(const struct vmb_guid *guid, struct vmb_class *out);

/* Versions of the protocol: major << 16 | minor. control-plane.md 3 */
#define VMB_V0_13 0x0000000du
#define VMB_V1_1 0x00010001u
#define VMB_V2_4 0x00020004u
#define VMB_V3_0 0x00030000u
#define VMB_V4_0 0x00040000u
#define VMB_V4_1 0x00040001u
#define VMB_V5_0 0x00050000u
#define VMB_V5_1 0x00050001u
#define VMB_V5_2 0x00050002u
#define VMB_V5_3 0x00050003u
#define VMB_V6_0 0x00060000u
/* [pure] The index-th protocol version, oldest first; 0 after the last. control-plane.md 3 */
VMB_API uint32_t vmb_version_at(uint32_t index);

/* Features of 6.0. control-plane.md 3.1 */
#define VMB_FEATURE_SIGNAL_PARAMETERS 0x01u /* the guest chooses a channel's connection id and event flag */
#define VMB_FEATURE_REDIRECT 0x02u /* interrupts of a channel to SINT 7 of VTL 2 */
#define VMB_FEATURE_MODIFY_CONNECTION 0x04u /* other monitor pages while connected */
#define VMB_FEATURE_CLIENT_ID 0x08u /* the guest says who it is, by a GUID */
#define VMB_FEATURE_CONFIDENTIAL 0x10u /* private rings and memory; on a trusted connection only */
#define VMB_FEATURE_PAUSE 0x20u /* the guest can stop messages for a while */
#define VMB_FEATURE_SERVER_MONITOR 0x40u /* the host brings the monitor pages */
#define VMB_FEATURE_PINNING 0x80u /* VMB_OFFER_PINNED */
#define VMB_FEATURE_NONE 0x80000000u /* in a host's config: none at all */
#define VMB_FEATURES_DEFAULT 0x2fu    /* of a host: all that need nothing of the embedder; more where its config allows */
/* [pure] Name of one feature bit, static; "?" for others. control-plane.md 3.1 */
VMB_API const char *vmb_feature_name(uint32_t bit);

#define VMB_VP_NONE 0xffffffffu /* no interrupts for this channel: the guest polls */

/* Results of the two hypercalls, as post returns them and vmb_host_post and vmb_host_signal give them. platform.md 4.5 */
#define VMB_HV_SUCCESS 0x00
#define VMB_HV_INVALID_PARAMETER 0x05
#define VMB_HV_NO_MEMORY 0x0b
#define VMB_HV_INVALID_CONNECTION 0x12
#define VMB_HV_NO_BUFFERS 0x13
#define VMB_HV_TIMEOUT 0x78

/* ======================================================================================= rings, one direction
 * For harnesses, and for device threads that build or read packets in place. Needs nothing but memory, calls nobody.
 */

/* Where one ring lies. Frozen. The control page and data pages may lie anywhere; three kinds of data memory: */
struct vmb_ring_mem {
	void *control;        /* 4096 bytes, 4096-aligned (only the first 128 are touched, all are cleared by VMB_RING_FRESH) */
	void *data;           /* plain: data_pages pages. VMB_RING_TWICE: those pages mapped twice in a row */
	void *const *pages;   /* page list, if data is NULL: data_pages pointers, each 4096-aligned; copied */
	uint32_t data_pages;  /* 1...8188; any number, no power of two */
	uint32_t flags;       /* VMB_RING_* */
};
#define VMB_RING_TWICE 0x1u /* every view is one span */
#define VMB_RING_FRESH 0x2u /* clear the control page and start at 0 (guest); else go on from the indexes found (host) */
#define VMB_RING_LOOSE 0x4u /* receive unknown packet types and flags instead of VMB_EPEER: for dumpers */

/* Where one side stands in its ring: what its end gives back, and what lets another object go on. Frozen, for any process. */
struct vmb_cursor {
	uint32_t valid;       /* 1; 0: none */
	uint32_t index;       /* own published index: In of a producer, Out of a consumer */
	uint32_t armed;       /* producer: the pending size it stored; consumer: the mask it stored */
	uint32_t reserved;    /* 0 */
};

struct vmb_tx; /* the sending side of one ring */
struct vmb_rx; /* the receiving side */
/* Make one side of a ring. from: NULL, or a cursor (then nothing is read from or cleared in shared memory but the peer's
 * index). A bad index found in the control page: VMB_EPEER. VMB_EINVAL, VMB_ENOSPACE. */
VMB_API int vmb_tx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need);                         /* [pure] */
VMB_API int vmb_tx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from,
			struct vmb_tx **tx);                                                                    /* [owner] */
VMB_API int vmb_rx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need);                         /* [pure] */
VMB_API int vmb_rx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from,
			struct vmb_rx **rx);                                                                    /* [owner] */
/* [tx] [rx] Give the storage back; *at (may be NULL) says where this side stands. What was not committed or released is as if it
 * had not been. Shared memory is not touched. */
VMB_API int vmb_tx_end(struct vmb_tx *tx, struct vmb_cursor *at);
VMB_API int vmb_rx_end(struct vmb_rx *rx, struct vmb_cursor *at);

/* [tx] Reserve room for one packet. Writes descriptor, ranges, padding and footer. Copies no payload (p->payload is not
 * read): fill *payload, then reserve more or commit. p->id is written as it is. VMB_EFULL, VMB_ETOOBIG, VMB_EPEER, VMB_EINVAL. */
VMB_API VMB_MUST int vmb_tx_reserve(struct vmb_tx *tx, const struct vmb_packet *p, struct vmb_view *payload);
/* [tx] As reserve, for nearly all packets: where the payload goes, p->len bytes of it. NULL: it has a list or does not lie in a row, or there may be
 * no room, or something is wrong, and nothing has happened: vmb_tx_reserve does it, or says what. */
VMB_API VMB_MUST void *vmb_tx_place(struct vmb_tx *tx, const struct vmb_packet *p);
/* [tx] The same with the payload copied. */
VMB_API VMB_MUST int vmb_tx_put(struct vmb_tx *tx, const struct vmb_packet *p);
/* [tx] The same with the payload gathered from n parts, whose lengths must sum up to p->len. */
VMB_API VMB_MUST int vmb_tx_putv(struct vmb_tx *tx, const struct vmb_packet *p, const struct vmb_span *parts, uint32_t n);
/* [tx] Publish all that was reserved: one index store, one fence, one decision. 0, VMB_SIGNAL, VMB_EPEER. ring.md 8.2, 10.1 */
VMB_API VMB_MUST int vmb_tx_commit(struct vmb_tx *tx);
/* [tx] Forget all that was reserved since the last commit. */
VMB_API int vmb_tx_discard(struct vmb_tx *tx);
/* [tx] Ask to be signalled once a packet as large as p fits, or, to have fewer wake-ups, once `least` bytes are free (0: just
 * p; cut to what the ring holds). What was reserved is taken into account, yet commit first. VMB_YES: it fits already, nothing
 * is armed. 0: armed. VMB_ETOOBIG, VMB_EPEER. ring.md 8.4 */
VMB_API VMB_MUST int vmb_tx_arm(struct vmb_tx *tx, const struct vmb_packet *p, uint32_t least);

/* [rx] The next packet, in place: *all is its variable header (p->head_len bytes) and payload. VMB_YES, 0 when empty,
 * VMB_EPEER. The bytes stay the peer's to change: read each once, or vmb_rx_copy. p->payload is where the payload of nearly all packets is, as long
 * as it is not released; NULL if there is a header or it does not lie in a row: vmb_rx_spans. p->list is only counted: copy the header, then
 * vmb_list_check. The first packet after a sleep masks the peer's signals. ring.md 8.3 */
VMB_API VMB_MUST int vmb_rx_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all);
/* [rx] The next packet, copied into buf, which is 8-aligned: variable header and payload, where p->payload points. VMB_YES, 0 when empty, VMB_EPEER,
 * as vmb_rx_next; VMB_ETOOSMALL: p->head_len + p->len say what it needs, and it stays. p->list is only counted, by the word that buf now begins
 * with: vmb_list_check. ring.md 8.3 */
VMB_API VMB_MUST int vmb_rx_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p);
/* [rx] Publish that everything returned so far is free. 0, VMB_SIGNAL, VMB_EPEER. */
VMB_API VMB_MUST int vmb_rx_release(struct vmb_rx *rx);
/* [rx] Go back to the first packet not released. They come again and are validated again. */
VMB_API int vmb_rx_rewind(struct vmb_rx *rx);
/* [rx] Release, ask for signals, look once more. 0: sleep, a signal will come. VMB_YES: do not, there is more. |
 * VMB_SIGNAL. ring.md 10.3 */
VMB_API VMB_MUST int vmb_rx_sleep(struct vmb_rx *rx);
/* [rx] Ask for no signals: for those who poll. Until the next sleep. */
VMB_API int vmb_rx_mask(struct vmb_rx *rx);

/* [tx] [rx] The view's bytes from `offset` on as at most n spans; returns how many. Plain rings need 2, VMB_RING_TWICE 1, page
 * lists 2 + len / 4096. Call again with a larger offset for the rest. VMB_EINVAL: offset beyond the view, or no view of this
 * ring. */
VMB_API int vmb_tx_spans(const struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n);
VMB_API int vmb_rx_spans(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n);
/* [tx] [rx] Copy n bytes into or out of a view. VMB_EINVAL if they do not lie within it. */
VMB_API int vmb_tx_copy(struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, const void *src, uint32_t n);
VMB_API int vmb_rx_copy(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, void *dst, uint32_t n);

/* [any] Why a side refuses: VMB_R_* and the ring offset of the violation; 0 while all is well. Sticky. */
VMB_API uint32_t vmb_tx_reason(const struct vmb_tx *tx, uint32_t *at);
VMB_API uint32_t vmb_rx_reason(const struct vmb_rx *rx, uint32_t *at);

struct vmb_ring_info { /* frozen; what the control page says at this moment, not checked. ring.md 2.2 */
	uint32_t data_bytes, in, out; /* size of the data; the producer's index, the consumer's */
	uint32_t interrupt_mask, pending_send, features; /* 1: no signals wanted; bytes the producer waits for; feature bits */
};
VMB_API int vmb_ring_inspect(const struct vmb_ring_mem *ring, struct vmb_ring_info *out); /* [any] each word read once */

#define VMB_R_INDEX 1    /* In or Out outside the ring or unaligned */
#define VMB_R_LENGTH 2   /* a packet longer than what is there, or shorter than itself */
#define VMB_R_HEADER 3   /* header and payload disagree */
#define VMB_R_TYPE 4     /* unknown packet type */
#define VMB_R_FLAGS 5    /* unknown flag bits */
#define VMB_R_RANGES 6   /* ranges that do not fit their header, are empty, or overflow */
#define VMB_R_PIPE 7     /* pipe header */
#define VMB_R_PAYLOAD 8  /* above max_payload */
VMB_API const char *vmb_reason_name(uint32_t reason); /* [pure] static text; "?" for others */

/* ================================================================================================= channels
 * A pair of rings, the requests in flight, and the way to signal the peer. The same object on both ends. Made by vmb_guest_open,
 * vmb_host_attach, or, without a bus (a device process, a harness), by vmb_channel_init.
 *
 * Waiting needs no thought: after recv gave 0, and after put or send gave VMB_EFULL, wake will be called when there is a reason
 * to try again. In all other cases come back by yourself. VMB_ESTOPPED and VMB_EPEER are for good, and for both sides: once one
 * call has returned either, no later call succeeds.
 */
struct vmb_channel;

/* What a channel is made for. */
struct vmb_channel_config {
	uint32_t size;
	uint32_t flags;        /* VMB_CHANNEL_* */
	uint32_t requests;     /* requests in flight that the library numbers and matches, up to 65535. 0: ids are yours */
	uint32_t ring_pages;   /* page-list rings mapped by the library: pages of both (vmb_open_info.ring_pages), else 0 */
	uint32_t max_payload;  /* receiving more is a violation (rounded up to 8, exact on pipes); 0: what the ring holds */
	uint32_t least_free;   /* after VMB_EFULL: bytes that shall be free before wake (hysteresis); 0: a quarter of the ring. Never less
				* than the packet needs. ring.md 8.4 */
	struct vmb_ring_mem tx, rx; /* control NULL: the maker finds the memory itself, see there */
	struct vmb_cursor tx_at, rx_at; /* valid: go on from here (vmb_channel_init only) */
	void *ctx;                  /* for the callback below, without a bus only */
	void (*signal)(void *ctx);  /* signal the peer. [tx] [rx]. NULL: nobody is signalled */
};
#define VMB_CHANNEL_DEFER 0x1u /* [tx] calls return VMB_SIGNAL instead of signalling: drop your lock, then vmb_channel_signal */
#define VMB_CHANNEL_PIPE 0x2u  /* pipe framing: the pipe header of in-band data is added and taken off. The bus sets it for pipe offers */
#define VMB_CHANNEL_RAW 0x4u   /* a pipe offer without that */
#define VMB_CHANNEL_POLLED 0x8u/* never ask for signals: neither 0 nor VMB_EFULL promises a wake */
#define VMB_CHANNEL_DIRTY 0x10u/* log ring pages written, for vmb_channel_dirty */
#define VMB_CHANNEL_LOOSE 0x20u/* VMB_RING_LOOSE */

VMB_API int vmb_channel_storage(const struct vmb_channel_config *cfg, struct vmb_storage *need);                    /* [pure] */
/* [owner] Both ring memories given, by cfg->tx and cfg->rx. VMB_EINVAL, VMB_ESTRUCT, VMB_ENOSPACE, VMB_EPEER (a bad index
 * found). */
VMB_API int vmb_channel_init(void *mem, size_t bytes, const struct vmb_channel_config *cfg, struct vmb_channel **ch);
/* [owner] Flush and release what is queued, unless the channel is broken (which may signal), give the storage of a
 * vmb_channel_init back, and say where both sides stand (may be NULL). VMB_ESTATE: it is a bus's, or has been ended. */
VMB_API int vmb_channel_end(struct vmb_channel *ch, struct vmb_cursor *tx_at, struct vmb_cursor *rx_at);
/* [any] Make all later [tx] and [rx] calls return VMB_ESTOPPED: how another thread asks for a channel without a bus. */
VMB_API int vmb_channel_stop(struct vmb_channel *ch);

/* [tx] Queue one packet; the peer does not see it before a flush. A request (VMB_PKT_WANTS_REPLY) with id 0 takes a slot where
 * cfg.requests > 0 (else VMB_EINVAL: id 0 is no request's), and p->id tells the id. VMB_EFULL: what was queued is flushed and
 * wake will come; until then the ring counts as full for every packet. VMB_SIGNAL: with VMB_CHANNEL_DEFER, where room had to
 * be made; a call that ends in an error, and send_batch, have signalled themselves. VMB_ENOSLOT, VMB_ETOOBIG, VMB_EINVAL,
 * VMB_ESTOPPED, VMB_EPEER. */
VMB_API VMB_MUST int vmb_channel_put(struct vmb_channel *ch, struct vmb_packet *p);
/* [tx] The same with the payload gathered from n parts, whose lengths must sum up to p->len. */
VMB_API VMB_MUST int vmb_channel_putv(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_span *parts, uint32_t n);
/* [tx] Show the peer what was put, and signal it if it must be. 0, VMB_SIGNAL (DEFER only), VMB_ESTOPPED, VMB_EPEER */
VMB_API VMB_MUST int vmb_channel_flush(struct vmb_channel *ch);
/* [tx] put and flush. */
VMB_API VMB_MUST int vmb_channel_send(struct vmb_channel *ch, struct vmb_packet *p);

/* [rx] Copy the next packet into buf (8-aligned) and describe it in *p. VMB_YES: a packet. 0: empty; all has been released and
 * signals are on: sleep. VMB_ETOOSMALL: head_len + len say what it needs, and it stays. VMB_ESTOPPED, VMB_EPEER. Completions
 * that match no request are counted and passed over; VMB_EAGAIN: so many that this call ends here, call again. A cancelled
 * request's completion comes with VMB_PKT_LATE. Space goes back to the peer now and then, and at 0; sooner by
 * vmb_channel_release. Does not return VMB_SIGNAL: it signals. */
VMB_API VMB_MUST int vmb_channel_recv(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p);
/* [rx] Pass over the packet that VMB_ETOOSMALL told of (else VMB_ESTATE); a completion ends its request all the same. */
VMB_API int vmb_channel_skip(struct vmb_channel *ch);
/* [rx] Give space back now: before you wait for anything but this channel. */
VMB_API VMB_MUST int vmb_channel_release(struct vmb_channel *ch);
/* [any] VMB_CHANNEL_DEFER: do what VMB_SIGNAL asked for. Counts as a data call for the rule of ownership. A call that no VMB_SIGNAL
 * asked for is counted as needless (vmb_channel_info). */
VMB_API int vmb_channel_signal(struct vmb_channel *ch);
/* [any] Without a bus: a signal of the peer's has come for this channel. It only counts (vmb_channel_info); a bus does that itself.
 * Counts as a data call for the rule of ownership. ring.md 10.5 */
VMB_API int vmb_channel_signalled(struct vmb_channel *ch);

/* Several packets in one call, without a pointer in them: for languages where a call is dear. Frozen. */
struct vmb_record {
	uint16_t kind, flags;  /* as in vmb_packet */
	uint32_t offset;       /* in the buffer, 8-aligned: variable header, then payload */
	uint32_t head_len;     /* bytes of variable header: 0, or 8 (reserved u32, ranges or set u32) and the list's words */
	uint32_t len;          /* bytes of payload */
	uint64_t id, user;     /* as in vmb_packet */
	uint32_t ranges;       /* of the list */
	uint16_t page_set, reserved; /* as in vmb_packet */
};
/* [rx] As many packets as there are, or as fit into buf (8-aligned) or recs, at most n, and n at least 1. Returns how many; 0:
 * as recv. Errors as recv, and only if there was no packet before. All of the space is given back, with one signal at most. */
VMB_API VMB_MUST int vmb_channel_recv_batch(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n);
/* [tx] Put n packets and flush once. Returns how many were taken (rec.id is set for requests); fewer than n: VMB_EFULL or
 * VMB_ENOSLOT stopped it, and the next call with the rest says which. Errors as put, and only if none was taken. It signals
 * itself, whatever DEFER says. head_len: 8 + 8 * words, in CPU order; the first 8 bytes are not read. buf: 8-aligned. */
VMB_API VMB_MUST int vmb_channel_send_batch(struct vmb_channel *ch, const uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n);

/* [tx] Give up a request. Its slot and the buffers that it named stay the peer's until its completion comes (recv gives it
 * once, with VMB_PKT_LATE) or the channel ends (vmb_channel_outstanding). VMB_ENOENT: already completed. *user (may be NULL):
 * its user. */
VMB_API int vmb_channel_cancel(struct vmb_channel *ch, uint64_t id, uint64_t *user);
/* [owner] VMB_YES and one request in flight per call, cancelled ones too, 0 after the last; start with *cursor = 0. To save,
 * or to fail them: a guest does that at VMB_EV_CLOSED, for until then the host may write to the buffers. This call, _info and
 * _dirty are legal until you free the memory. *flags (may be NULL): VMB_PKT_LATE where it was cancelled. */
VMB_API int vmb_channel_outstanding(const struct vmb_channel *ch, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags);
/* [owner] Know a request that was in flight before a restore. VMB_EINVAL: not an id that this table could have given, or
 * taken. */
VMB_API int vmb_channel_adopt(struct vmb_channel *ch, uint64_t id, uint64_t user);

/* [tx] As put, but the payload is yours to fill in place (vmb_tx_spans, vmb_tx_copy) before the next [tx] call. */
VMB_API VMB_MUST int vmb_channel_reserve(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *payload);
/* [rx] As recv, but in place (vmb_rx_spans, vmb_rx_copy; p->payload as vmb_rx_next): header and payload, the peer's to change. Valid
 * until release, 0, or the next recv or skip. A completion is matched here. VMB_EAGAIN as recv. */
VMB_API VMB_MUST int vmb_channel_next(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *all);
/* [tx] [rx] The rings, for the span and copy calls. Using more of them goes behind the channel's back. */
VMB_API int vmb_channel_tx(struct vmb_channel *ch, struct vmb_tx **tx);
VMB_API int vmb_channel_rx(struct vmb_channel *ch, struct vmb_rx **rx);

/* [any] OR into bits[] the ring pages written since the last call, and forget them. Bit n is page n of the ring's GPADL: the
 * guest's sending ring first, each with its control page. Written first, logged second: clear the page's mark, then copy the
 * page. A vmb_channel_init counts as the host's. VMB_ETOOSMALL: too few words. VMB_ESTATE: no log. */
VMB_API int vmb_channel_dirty(struct vmb_channel *ch, uint64_t *bits, uint32_t words);

/* What a channel is, and counts. */
struct vmb_channel_info {
	uint32_t size;
	int32_t error;                  /* 0, VMB_ESTOPPED or VMB_EPEER */
	uint32_t reason, reason_at;     /* VMB_R_* and the ring offset of a violation */
	uint32_t requests, zombies;     /* in flight; of them cancelled */
	struct vmb_ring_info tx, rx;    /* of both rings */
	uint64_t sent, received;        /* packets */
	uint64_t signals_data, signals_room; /* signals sent: ring no longer empty; room for a waiting peer */
	uint64_t full, unmatched;       /* times the ring was full; completions without a request */
	uint64_t masked;                /* publications that would have signalled had the peer not masked */
	uint64_t bytes_sent, bytes_received; /* of the rings: with descriptors, headers, padding and footers */
	uint64_t requests_sent;         /* requests that took a slot, in all */
	uint32_t cancelled, late;       /* of them: given up, and given up and completed all the same */
	/* Signals that are not needed, and how often they went over the budget; see VMB_SIGNAL_BUDGET */
	uint32_t signals_in, signals_in_needless; /* of the peer: all, and those that it had no reason for */
	uint32_t signals_out_needless;  /* own ones: calls of vmb_channel_signal that no VMB_SIGNAL had asked for */
	uint32_t over_in, over_out;     /* times over the budget */
	uint32_t over;                  /* VMB_OVER_*: it has been, since the object was made */
};
#define VMB_OVER_IN 0x1u  /* the peer signals without need */
#define VMB_OVER_OUT 0x2u /* we do: on a guest, Hyper-V would throttle it */
/*
 * What a signal is needed for is counted as Hyper-V does: the receiver expects 2 signals to begin with, one more each time that it has
 * emptied its ring and waits, and one more each time that it waits for room; it remembers 64 at most, and one beyond those is needless.
 * ring.md 10.5. Now and then one is (ring.md 10.2 C6); a stream of them is a bug of the sender's, and Windows delays a guest for it by
 * seconds. More than signal_budget of them in signal_ms are over the budget: VMB_OVER_* and a trace point say so. The library does no more.
 */
#define VMB_SIGNAL_BUDGET 64u
#define VMB_SIGNAL_BUDGET_NONE 0xffffffffu /* signal_budget: never over it */
/* [any] A racy snapshot; until the channel is given back a data call for the rule of ownership, then the last values. */
VMB_API int vmb_channel_info(const struct vmb_channel *ch, struct vmb_channel_info *out);

/* ================================================================================================== events */

/* Frozen; 64 bytes; yours to copy and keep. */
struct vmb_event {
	uint32_t kind;        /* VMB_EV_* */
	uint32_t flags;       /* VMB_EVF_* */
	vmb_handle ch;        /* 0: of the connection */
	int32_t status;       /* 0 or VMB_E* */
	uint64_t user;        /* of the channel: from offer or open */
	uint32_t gpadl;       /* GPADL events */
	uint32_t peer_status; /* what the wire said, with VMB_EREFUSED; the hypercall's status with VMB_EPLATFORM */
	uint32_t vp;          /* VMB_EV_TARGET */
	uint32_t reserved;
	uint64_t token;       /* host: makes an answer match its question, and only that */
	uint64_t deadline;    /* always, also when poll returns 0: poll again at this time at the latest. UINT64_MAX: never */
	uint64_t spare;
};
#define VMB_EVF_ASK 0x1u      /* host: wants one answer; take your time */
#define VMB_EVF_RESTORED 0x2u /* told or asked again after a restore */
#define VMB_EVF_OPEN 0x4u     /* guest, with EV_OFFER and VMB_EVF_RESTORED: it is open; vmb_guest_open with the same memory goes on */

/*                               guest                                    | host */
#define VMB_EV_CONNECTED 1    /* the host answered, or status             | a guest has made contact */
#define VMB_EV_DISCONNECTED 2 /* over; no memory is the host's any more   | the guest left; channels go on being offered */
#define VMB_EV_OFFER 3        /* a new channel: open it or release it     | - */
#define VMB_EV_OFFERS_DONE 4  /* that was all there is today              | - */
#define VMB_EV_OPEN 5         /* -                                        | ASK: attach, or answer why not */
#define VMB_EV_OPENED 6       /* open worked, or status: close or release | - */
#define VMB_EV_RESCINDED 7    /* stop, then vmb_guest_release             | - */
#define VMB_EV_CLOSE 8        /* -                                        | ASK: stop, then vmb_host_detach */
#define VMB_EV_CLOSED 9       /* channel object and rings are yours again | the channel object is */
#define VMB_EV_GONE 10        /* the last event of this handle            | the same */
#define VMB_EV_GPADL 11       /* created, or status: then it is over      | - */
#define VMB_EV_GPADL_DOWN 12  /* its memory is yours again                | ASK if held: stop, then vmb_host_gpadl_release */
#define VMB_EV_TARGET 13      /* no interrupt comes to the old VP, or status | - */
#define VMB_EV_RESET 14       /* -                                        | vmb_host_reset is done */
#define VMB_EV_MONITOR 15     /* other monitor pages are in use, or status | - */
#define VMB_EV_PAUSED 16      /* no message comes before vmb_guest_resume | - */
#define VMB_EV_HVSOCK 17      /* connected, a new channel; or status     | ASK: the guest connects; offer a channel, or refuse */

/* ================================================================================================ watching
 * What an end does, told as it happens by the callback `trace` of its config: each message either way with its fate, each change of state
 * of the connection, of each channel and of each GPADL. Numbers only; vmb_name has the words. doc/trace-points.txt is the list. Numbers keep
 * their meaning in later releases; new ones may come. The callback is in the middle of a change: it looks and returns. A [control] call
 * from inside is refused (VMB_EREENTRY), others are not to be made. It is told nothing by [tx], [rx] and [any] calls: those count.
 */
struct vmb_trace {            /* frozen; 32 bytes */
	uint32_t point;       /* VMB_TRACE_* */
	vmb_handle ch;        /* the channel; 0: none, or, with messages, see `channel` */
	uint32_t channel;     /* its id on the wire; 0: none */
	uint32_t gpadl;       /* id on the wire; 0: none */
	uint32_t a, b, c, d;  /* by the point: */
};
/* A message comes after what it changed, when its fate is known. */
#define VMB_TRACE_MESSAGE_IN 1  /* a type, 0 if too short for one; b bytes; c VMB_FATE_*; d VMB_BUS_* when it came */
#define VMB_TRACE_MESSAGE_OUT 2 /* the same, but d: what the callback said */
#define VMB_TRACE_CONNECTION 3  /* a VMB_BUS_* before, b now; c version, d features now */
#define VMB_TRACE_CHANNEL 4     /* a VMB_STATE_* before, b now; c VMB_HAS_* before, d now */
#define VMB_TRACE_DEVICE 5      /* host: a VMB_DEVICE_* before, b now */
#define VMB_TRACE_GPADL 6       /* a VMB_LIST_* before, b now; c words, d ranges */
#define VMB_TRACE_SIGNALS 7     /* over the budget: a VMB_OVER_*; b needless ones, c the budget, d times over it so far */

/* What became of a message. In and out: */
#define VMB_FATE_TAKEN 1      /* acted on; out: delivered */
/* In, dropped without an answer: */
#define VMB_FATE_LATE 2       /* an answer that nobody waits for any more, or about a channel that is being rescinded */
#define VMB_FATE_MALFORMED 3  /* unknown type, or too short */
#define VMB_FATE_VERSION 4    /* not in this version, or not with these features */
#define VMB_FATE_DIRECTION 5  /* for the other end */
#define VMB_FATE_UNTRUSTED 6  /* by a path that this connection does not trust */
#define VMB_FATE_STATE 7      /* not in this state of the connection or channel; out: withdrawn, the connection is over */
#define VMB_FATE_UNKNOWN 8    /* it names a channel or GPADL that is not there */
#define VMB_FATE_VALUE 9      /* a value in it that cannot be */
/* In, answered with no: */
#define VMB_FATE_REFUSED 10   /* by its own fault */
#define VMB_FATE_QUOTA 11     /* for a limit of the config */
/* Not yet: */
#define VMB_FATE_AGAIN 12     /* in: NO_BUFFERS, it comes again; out: busy, it is sent again */
/* Out: */
#define VMB_FATE_LOST 13      /* the callback failed for good */

/* What the two ends have of a channel: one list for both */
#define VMB_STATE_FREE 0       /* there is none */
#define VMB_STATE_UNOFFERED 1  /* host: the guest knows nothing of it */
#define VMB_STATE_OFFERED 2    /* not open */
#define VMB_STATE_ANNOUNCING 3 /* guest: its ring's GPADL is being announced */
#define VMB_STATE_OPENING 4    /* asked for, not answered yet */
#define VMB_STATE_OPEN 5       /* for data */
#define VMB_STATE_FAILED 6     /* guest: the open did not work; the object is still out */
#define VMB_STATE_CLOSING 7    /* on its way to being closed */
#define VMB_STATE_CLOSED 8     /* guest: EV_CLOSED is to be pulled */
#define VMB_STATE_REOPENING 9  /* host: CLOSING, and the guest has asked to open it again */
#define VMB_STATE_REVOKED 10   /* host: removed, the guest has not let go of it */

#define VMB_HAS_SEEN 0x1u      /* guest: EV_OFFER was pulled */
#define VMB_HAS_RELEASED 0x2u  /* guest: by the embedder */
#define VMB_HAS_RESCINDED 0x4u /* guest: by the host; host: RESCIND is queued or sent */
#define VMB_HAS_REMOVED 0x8u   /* host: by the embedder */
#define VMB_HAS_RESERVED 0x10u /* open as a reserved channel */
#define VMB_HAS_OBJECT 0x20u   /* a channel object is out */
#define VMB_HAS_ABANDONED 0x40u /* guest: its owner has been asked to stop */
#define VMB_HAS_KEPT 0x80u     /* guest: it outlives its connection */
#define VMB_HAS_RING 0x100u    /* guest, GPADL: that of a ring */

#define VMB_DEVICE_NONE 0     /* nothing is open */
#define VMB_DEVICE_ASKING 1   /* EV_OPEN is to be pulled */
#define VMB_DEVICE_ASKED 2    /* EV_OPEN was pulled, and not answered yet */
#define VMB_DEVICE_STALE 3    /* asked, and the question has lost its sense */
#define VMB_DEVICE_ATTACHED 4 /* a channel object is out */
#define VMB_DEVICE_REMOTE 5   /* somebody else serves the rings */
#define VMB_DEVICE_DRAINING 6 /* given back; a signaller is still inside */

#define VMB_LIST_NONE 0     /* there is none */
#define VMB_LIST_BUILDING 1 /* messages are missing */
#define VMB_LIST_SENT 2     /* guest: all are sent, none is answered */
#define VMB_LIST_ALIVE 3    /* packets may name it */
#define VMB_LIST_LEAVING 4  /* guest: TEARDOWN is to be sent; host: the guest wants it back, and it is in use */
#define VMB_LIST_TEARING 5  /* guest: TEARDOWN is sent */
#define VMB_LIST_SETTLED 6  /* guest: the host has nothing of it; that is to be told */
#define VMB_LIST_BURNT 7    /* guest: the host may have a part of it for ever */

/* [pure] The name of a number, static text: "opening"; "?" for others. */
VMB_API const char *vmb_name(uint32_t set, uint32_t value);
/* Sets of names: of VMB_TRACE_*, VMB_FATE_* and so on; of VMB_HAS_* one bit. */
#define VMB_NAMES_TRACE 1
#define VMB_NAMES_FATE 2
#define VMB_NAMES_BUS 3
#define VMB_NAMES_STATE 4
#define VMB_NAMES_DEVICE 5
#define VMB_NAMES_LIST 6
#define VMB_NAMES_HAS 7

/* =================================================================================================== offers */

/* An offer: what a device is and wants. control-plane.md 8 */
struct vmb_offer {
	uint32_t size;
	uint32_t flags;                /* VMB_OFFER_*, as on the wire; a guest sees those that were negotiated */
	struct vmb_guid class_id, instance; /* what kind of device, and which one */
	uint8_t user_defined[120];     /* the device's; pipe and hvsock have layouts here. control-plane.md 8.2 */
	uint32_t subchannel;           /* 0: primary */
	uint32_t mmio_mb, mmio_optional_mb; /* up to 65535 */
	uint32_t order;                /* host: rank among offers of one class */
	uint32_t max_gpadls;           /* host: live GPADLs of this channel; 0: no limit of its own */
	uint32_t max_gpadl_pages;      /* host: pages in them; 0: no limit of its own */
	uint32_t channel_id;           /* guest: the wire's. host: 0, or the one wanted */
	uint32_t connection_id;        /* guest: for hypercall offload. host: 0 */
	uint32_t monitor_id;           /* guest: 0...127, or 255: none. host: 0 */
	uint32_t reserved;
	uint64_t user;                 /* host: yours, in events and wake. guest: 0 */
};
#define VMB_OFFER_ENUMERATE 0x0001u      /* the guest's system lists it among its devices; usual */
#define VMB_OFFER_PRIVATE_RING 0x0002u   /* guest: do not make the ring visible to the host */
#define VMB_OFFER_PRIVATE_MEMORY 0x0004u /* guest: nor the buffers */
#define VMB_OFFER_PINNED 0x0008u         /* the memory that packets name stays pinned; with VMB_FEATURE_PINNING */
#define VMB_OFFER_PIPE 0x0010u           /* its packets carry the pipe header */
#define VMB_OFFER_HVSOCK 0x2000u         /* a Hyper-V socket, as below */
#define VMB_OFFER_NO_MONITOR 0x10000u /* host, not on the wire: low latency, no monitor id */
#define VMB_OFFER_RENEW 0x20000u      /* host, not on the wire: when the guest closes it, rescind it and offer it again; not while it
				       * has subchannels */

/* Hyper-V sockets: a connect names a service of the other end and its own endpoint, and becomes a pipe channel offered with both.
 * control-plane.md 15 */
struct vmb_hvsock {              /* frozen */
	struct vmb_guid endpoint, service, silo; /* silo: 0, none */
	uint32_t flags;          /* VMB_HVSOCK_* */
	uint32_t reserved;
};
#define VMB_HVSOCK_TO_GUEST 0x1u  /* the host connects to a listener of the guest; else it accepts what the guest asked for */
#define VMB_HVSOCK_CONTAINER 0x2u /* for a container in the guest */
#define VMB_HVSOCK_SILO 0x4u      /* the guest knows silos */
/* [pure] Fill class, instance, flags and user_defined of an offer (size is set by you), or read them: VMB_ENOENT: no hvsock offer. */
VMB_API int vmb_hvsock_offer(const struct vmb_hvsock *socket, struct vmb_offer *offer);
VMB_API int vmb_hvsock_of(const struct vmb_offer *offer, struct vmb_hvsock *out);
/* [pure] The service id of a port of AF_VSOCK, as Linux maps it. */
VMB_API int vmb_hvsock_port(uint32_t port, struct vmb_guid *service);

/* ==================================================================================================== guest
 *
 *   init -> connect -> EV_CONNECTED -> EV_OFFER... -> open -> EV_OPENED -> (data) -> close -> EV_CLOSED -> release -> EV_GONE
 *
 * Every EV_OFFER ends with your release; every open that returned 0 ends with one EV_CLOSED.
 */
struct vmb_guest;

/* What a guest end is made with. */
struct vmb_guest_config {
	uint32_t size;
	uint32_t flags;           /* 0 */
	uint32_t min_version, max_version; /* VMB_V*; 0: any. Versions are tried from the highest down. control-plane.md 7.1 */
	uint32_t features;        /* VMB_FEATURE_* to ask for at 6.0; 0: none. vmb_bus_info tells what was granted. control-plane.md 3.1 */
	uint32_t message_vp;      /* VP index that shall get messages; its SINT must be unmasked before connect */
	uint32_t sint;            /* 0: SINT 2 */
	uint32_t vtl;             /* that this guest runs in; 2: the redirected message connection is tried first. control-plane.md 7.1 */
	uint32_t max_channels;    /* 1...2047; 0: 64. Offers above are declined and counted */
	uint32_t max_gpadls;      /* up to 65535; 0: two for each channel */
	uint32_t max_gpadl_pages; /* pages in lists being announced, with range words beyond the first, up to 2^24; 0: 8190 */
	uint32_t connect_ms;      /* for the answer to each version tried; 0: wait for ever */
	uint32_t reply_ms;        /* for each answer about a channel or GPADL; 0: wait for ever */
	uint32_t unload_ms;       /* for UNLOAD_COMPLETE; 0: wait for ever */
	uint32_t max_hvsock;      /* connects under way at once, up to 65535; 0: none */
	uint32_t reserved;
	struct vmb_guid client_id; /* with VMB_FEATURE_CLIENT_ID */
	uint64_t interrupt_gpa;   /* the interrupt page, below 2.4; 0: those versions are not tried */
	uint64_t monitor_gpa[2];  /* host-to-guest, guest-to-host; 0: no monitor pages */
	void *interrupt_page;     /* the same pages as you see them; visible to the host in a confidential VM; cleared by connect */
	void *monitor_page[2];    /* all four or none */
	void *ctx;                /* first argument of all callbacks */

	/* HvPostMessage with message type 1. Returns the hypercall's status, 0...0xffff. The library retries what is worth it. */
	int (*post)(void *ctx, uint32_t connection, const void *payload, uint32_t len);
	/* HvSignalEvent. The result is not looked at: nothing can be done about it. */
	int (*signal)(void *ctx, uint32_t connection, uint32_t flag);
	/* The channel opened with `user` has something: let its thread call recv, and send if it had VMB_EFULL. Never after EV_CLOSED. */
	void (*wake)(void *ctx, uint64_t user);
	/* Call vmb_guest_poll soon. May be NULL, as wake may, if you poll after every control call and every interrupt. */
	void (*poke)(void *ctx);
	/* Map the host's own monitor pages, of host-to-guest (gpa 0: there is none) and guest-to-host: 0, or < 0 to do without. Needed with
	 * VMB_FEATURE_SERVER_MONITOR. [control]; calls nothing of its end. They are out of use at EV_DISCONNECTED. */
	int (*monitor)(void *ctx, const uint64_t gpa[2], void *page[2]);
	/* From here on a struct of an older caller may end. */
	uint32_t signal_budget;   /* needless signals of one channel, each way, within signal_ms; 0: VMB_SIGNAL_BUDGET. ring.md 10.5 */
	uint32_t signal_ms;       /* 0: 1000. Without a clock: all there ever are */
	/* What the end does, as it does it; see struct vmb_trace. NULL: nobody looks. [control]; calls nothing of its end. */
	void (*trace)(void *ctx, const struct vmb_trace *what);
};

VMB_API int vmb_guest_storage(const struct vmb_guest_config *cfg, struct vmb_storage *need);                       /* [pure] */
VMB_API int vmb_guest_init(void *mem, size_t bytes, const struct vmb_guest_config *cfg, struct vmb_guest **guest);
/* [control] VMB_ESTATE while connected or while a channel object is out. Then the storage is yours. */
VMB_API int vmb_guest_end(struct vmb_guest *g);

/* ---- what comes in */

/* [any] From the SINT's handler, on each VP, with the 256 bytes of event flags and the 256-byte slot of this SINT and
 * VP: clears the flags and wakes; if the slot holds a message, pokes and returns VMB_YES: somebody must call vmb_guest_slot
 * for this VP. control-plane.md 9, ring.md 10.4 R12 */
VMB_API int vmb_guest_interrupt(struct vmb_guest *g, void *flags, const void *slot);
/* [control] One message out of the 256-byte slot of this SINT and VP, copied once, slot freed. 0: empty. VMB_YES: had one;
 * | VMB_EOM: now write that register. VMB_EFOREIGN: not ours. Loop while VMB_YES. control-plane.md 1.3 */
VMB_API VMB_MUST int vmb_guest_slot(struct vmb_guest *g, void *slot);
/* [control] The same for a payload that came another way. */
VMB_API int vmb_guest_message(struct vmb_guest *g, const void *payload, uint32_t len);
/* [control] Do what is due at `now` (nanoseconds from any start, never backwards) and give one event. VMB_YES, or 0:
 * none left. Without a clock pass 0: nothing times out, and each poll retries what is pending. Events never overflow: each
 * object remembers its own; an offer that was rescinded before you saw it is not shown. After your release only EV_CLOSED,
 * EV_GPADL_DOWN and EV_GONE come. */
VMB_API VMB_MUST int vmb_guest_poll(struct vmb_guest *g, uint64_t now, struct vmb_event *ev);

/* ---- the connection */

/* [control] Negotiate from the highest version down, then ask for offers -> EV_CONNECTED, EV_OFFER..., EV_OFFERS_DONE.
 * VMB_ESTATE: not disconnected. */
VMB_API int vmb_guest_connect(struct vmb_guest *g);
/* [control] Rescinds every channel locally (EV_RESCINDED), waits for your releases, then UNLOAD -> EV_DISCONNECTED. An open reserved channel
 * stays open, and goes on working. */
VMB_API int vmb_guest_disconnect(struct vmb_guest *g);
/* [any] For a dying system, whatever holds the locks; no other call of this end may be started any more. slot NULL: post UNLOAD: 0;
 * VMB_EAGAIN: call again in a moment; VMB_EPLATFORM: post failed for good; VMB_ESTATE: there is nothing to unload. Then look into this slot,
 * of this SINT, on every VP, again and again (at Azure up to 50 s): VMB_YES: completed, which hosts below 1.1 never say; 0: not yet;
 * | VMB_EOM as vmb_guest_slot. control-plane.md 11, 19 */
VMB_API VMB_MUST int vmb_guest_crash(struct vmb_guest *g, void *slot);
/* [control] Other monitor pages for this connection, with VMB_FEATURE_MODIFY_CONNECTION (else VMB_EVERSION) -> EV_MONITOR. gpa[0] and gpa[1]
 * both 0: none. The old ones are yours again with status 0. VMB_ESTATE: not connected, the event of such a request or of a pause still to
 * come, the host's own pages in use, or an open channel has a monitor id. control-plane.md 13 */
VMB_API int vmb_guest_monitor(struct vmb_guest *g, const uint64_t gpa[2], void *const page[2]);
/* [control] Have no message come, with VMB_FEATURE_PAUSE (else VMB_EVERSION) -> EV_PAUSED. What you ask for meanwhile is sent after
 * vmb_guest_resume, and no answer is waited for. Interrupts go on. VMB_ESTATE as above. control-plane.md 13 */
VMB_API int vmb_guest_pause(struct vmb_guest *g);
VMB_API int vmb_guest_resume(struct vmb_guest *g); /* [control] VMB_ESTATE: not paused, or EV_PAUSED is still to come */
/* [control] Connect to a service of the host (>= 4.0, else VMB_EVERSION): socket->endpoint is an id of your choice that no other connection
 * has; flags are 0. -> EV_HVSOCK with `user`: with status 0 its ch is a new channel, as after EV_OFFER; else why not, after reply_ms at the
 * latest. VMB_ENOSPACE: max_hvsock. control-plane.md 15.1 */
VMB_API int vmb_guest_hvsock(struct vmb_guest *g, const struct vmb_hvsock *socket, uint64_t user);
/* [control] Close a reserved channel that an earlier system has left open; connected or not; the answer comes to `sint` of `vp`. -> EV_CLOSED
 * with ch 0. VMB_ESTATE: one is under way. control-plane.md 10.5 */
VMB_API int vmb_guest_close_reserved(struct vmb_guest *g, uint32_t channel_id, uint32_t vp, uint32_t sint);
/* [control] Which open channels interrupt this VP? VMB_YES and one per call, 0 after the last; start with *cursor = 0. Before a VP is stopped
 * they are to be retargeted; the one of vmb_bus_info.message_vp can never be. control-plane.md 14 */
VMB_API int vmb_guest_targets(struct vmb_guest *g, uint32_t vp, uint32_t *cursor, vmb_handle *ch);

/* [control] Write all that this end knows in `format` (0: the newest; VMB_EVERSION), as vmb_host_save does: see there. VMB_ETOOSMALL. Interrupts
 * are off, the slots have been emptied by vmb_guest_slot. VMB_ESTATE: not now, poll and try again: a packet is put and not flushed, or received
 * and not released; a signaller is still inside a channel that is being closed; a post is being repeated that may have arrived; monitor
 * pages are being changed; or channels from before a sleep have not been offered again. Changes nothing. It is for relays that are serviced,
 * and for systems that sleep. control-plane.md 14, 18 */
VMB_API int vmb_guest_save(struct vmb_guest *g, uint32_t format, void *buf, size_t bytes, size_t *used);
/* [control] Go on from there, in an end that has done nothing yet (VMB_ESTATE) and whose config names the same VP, SINT, VTL and pages. Handles,
 * GPADL ids and `user` are what they were. EV_OFFER with VMB_EVF_RESTORED comes for each channel that is not released; with VMB_EVF_OPEN, too,
 * vmb_guest_open with the same sizes, flags and memory goes on where it was (nothing is cleared, requests: vmb_channel_adopt) and EV_OPENED comes
 * as ever, or close or release it. Without that flag close what had been opened and was not closed (vmb_guest_open: VMB_ESTATE): its open had
 * failed, its ring was bad, or it is rescinded. Waits begin anew. An error changes nothing; its meaning is as for vmb_host_restore.
 * VMB_RESTORE_ANEW: the host has a new connection to give, as after hibernation. Nothing of the old one is left but the handles of primary
 * channels, but sockets, that were not released. vmb_guest_connect asks for the version of before and no other; a channel offered for the
 * same device gets its old handle back (EV_OFFER with VMB_EVF_RESTORED: open it as a new one), whatever its id is now; EV_RESCINDED comes for
 * the others before EV_OFFERS_DONE, at once for those that were rescinded before. VMB_ESTATE: it was not connected when it was saved. */
VMB_API int vmb_guest_restore(struct vmb_guest *g, const void *buf, size_t bytes, uint32_t flags);
#define VMB_RESTORE_ANEW 0x1u /* with a new connection */

/* ---- channels */

VMB_API int vmb_guest_offer(struct vmb_guest *g, vmb_handle ch, struct vmb_offer *out); /* [control] what EV_OFFER announced */

/* How a guest opens a channel. */
struct vmb_open {
	uint32_t size;
	uint32_t flags;           /* VMB_OPEN_* */
	uint32_t tx_pages, rx_pages; /* each with its control page, >= 2; together <= 8190 */
	uint32_t target_vp;       /* whose SINT gets the interrupts (>= 2.4); VMB_VP_NONE: none */
	uint32_t target_sint;     /* reserved channels: where the answer goes, with target_vp; else 0 */
	uint32_t connection_id, event_flag; /* with VMB_FEATURE_SIGNAL_PARAMETERS; 0: as offered, the channel's id */
	uint64_t user;            /* for wake and events */
	uint64_t ring_gpa;        /* of a ring in consecutive pages */
	const uint64_t *pfns;     /* or: all tx_pages + rx_pages of them, 4 KiB each; copied; with shared bit where the VM has one */
	void *ring;               /* tx control, tx data, rx control, rx data, as you see them; NULL: cfg->tx and cfg->rx tell */
	uint8_t user_data[120];   /* the device's */
};

#define VMB_OPEN_RESERVED 0x1u /* a reserved channel (>= 4.0): no interrupts, and it outlives this connection. control-plane.md 10.5 */
#define VMB_OPEN_REDIRECT 0x2u /* with VMB_FEATURE_REDIRECT: interrupts to SINT 7 of VTL 2 */

/* [control] Clear the rings, build the channel in mem, announce its GPADL, open. 0 promises one EV_OPENED (0 or status),
 * unless you close or release before, and, after your close or release, one EV_CLOSED. The ring must be visible to the host
 * already, unless VMB_OFFER_PRIVATE_RING. wake may come, and *out may be used, before EV_OPENED. An error: nothing has
 * happened, mem is yours. control-plane.md 10.1, gpadl.md 7 */
VMB_API int vmb_guest_open(struct vmb_guest *g, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
			   const struct vmb_open *open, struct vmb_channel **out);
/* [control] Give the channel object back, in any state since open. -> EV_CLOSED; its status VMB_ELEAK: see there. */
VMB_API int vmb_guest_close(struct vmb_guest *g, vmb_handle ch);
/* [control] Done with this channel: closes it if need be, tears down what GPADLs are left (EV_GPADL_DOWN each), tells
 * the host. -> EV_GONE. */
VMB_API int vmb_guest_release(struct vmb_guest *g, vmb_handle ch);
/* [control] Interrupts to another VP, >= 4.1 (else VMB_EVERSION) -> EV_TARGET; below 5.3 it
 * says only that the host was asked: interrupts may still come to the old VP. VMB_ESTATE: not open, no interrupts, or one
 * under way. */
VMB_API int vmb_guest_target(struct vmb_guest *g, vmb_handle ch, uint32_t vp);

/* ---- memory that packets name by a GPADL */

/* [control] Announce it; the list is copied. *gpadl is set at once, usable after EV_GPADL with status 0. VMB_ENOSPACE,
 * VMB_ETOOBIG (over 8191 words), VMB_EINVAL (not a list), VMB_ESTATE (rescinded). */
VMB_API int vmb_guest_gpadl_create(struct vmb_guest *g, vmb_handle ch, const struct vmb_list *list, uint32_t *gpadl);
/* [control] -> EV_GPADL_DOWN; its status VMB_ELEAK: the host may still write there. VMB_ENOENT: no such, or going already. */
VMB_API int vmb_guest_gpadl_destroy(struct vmb_guest *g, uint32_t gpadl);

/* ==================================================================================================== host
 *
 *   init -> offer... -> (guest) -> EV_OPEN -> attach -> (data) -> EV_CLOSE -> detach -> EV_CLOSED ... -> remove -> EV_GONE
 *
 * Per channel there is never more than one question without an answer: OPEN, your answer, CLOSE, your detach, CLOSED, OPEN ...,
 * whatever the guest does meanwhile (close, unload, crash, new contact). A question that has lost its sense is still answered:
 * the answer changes nothing.
 */
struct vmb_host;

/* What a host end is made with. */
struct vmb_host_config {
	uint32_t size;
	uint32_t flags;           /* VMB_HOST_* */
	uint32_t max_version;     /* VMB_V*; 0: all there are */
	uint32_t features;        /* VMB_FEATURE_* that a guest may have; 0: VMB_FEATURES_DEFAULT; VMB_FEATURE_NONE */
	uint32_t vps;             /* VP indexes below this exist; 0: not checked */
	uint32_t vtl;             /* whose server this is: 0, or 2 for a paravisor's; first argument of message and interrupt */
	uint32_t first_channel_id; /* 0: 1 */
	uint32_t max_channels;    /* offers at once, 1...2047; 0: 64 */
	uint32_t max_gpadls;      /* live ones; 0: 256 */
	uint32_t max_gpadl_pages; /* over all, with their range words; 0: 65536, which is 256 MiB of guest memory and 512 KiB of storage */
	uint32_t max_gpadls_building; /* of max_gpadls: header seen, bodies missing; 0: 64 */
	uint32_t max_messages;    /* waiting for the guest's slot; above it the guest is told NO_BUFFERS; 0: 64 more than channels */
	uint32_t max_hvsock;      /* connects of the guest waiting for your answer; 0: all are refused. control-plane.md 15 */
	uint32_t hvsock_ms;       /* an hvsock channel that the guest does not open for so long is removed; 0: 5000 */
	uint32_t monitor_latency; /* of monitored notifications, in 100 ns; 0: 1000 */
	uint32_t reserved;
	uint64_t monitor_gpa[2];  /* host-to-guest (may be 0), guest-to-host: the server's own pages, with VMB_FEATURE_SERVER_MONITOR */
	void *monitor_page[2];    /* the same as you see them */
	void *ctx;                /* first argument of all callbacks */

	/* Put a message into SINT's slot of this VP: vmb_synic_post and an interrupt. VMB_EAGAIN: occupied, vmb_host_eom will follow. */
	int (*message)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len);
	/* Set an event flag of this VP and SINT: vmb_synic_set and an interrupt. */
	void (*interrupt)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag);
	/* The channel offered with `user` has something: let its thread look. Never after EV_CLOSED. */
	void (*wake)(void *ctx, uint64_t user);
	/* Call vmb_host_poll soon. May be NULL as in the guest. */
	void (*poke)(void *ctx);
	/* As in vmb_mapper: rings (VMB_MAP_RING), the interrupt and monitor pages of old and of asking guests (VMB_MAP_ALWAYS). */
	int (*map)(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages);
	void (*unmap)(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages);
	/* The same as in the guest's. */
	uint32_t signal_budget, signal_ms;
	void (*trace)(void *ctx, const struct vmb_trace *what);
};
#define VMB_HOST_MONITOR 0x1u  /* give monitor ids out; vmb_host_monitor, or each vmb_host_poll, looks at the triggers */
#define VMB_HOST_REDIRECT 0x2u /* channels opened with VMB_OPEN_REDIRECT interrupt SINT 7 of VTL 2 */
#define VMB_HOST_TRUSTED 0x4u  /* a paravisor's server: what comes by vmb_host_post_trusted may be confidential. control-plane.md 16.2 */
/* max_gpadl_pages as Hyper-V limits guests: 384 MiB before Server 2019, 1280 MiB since. gpadl.md 8 */
#define VMB_GPADL_PAGES_2016 98304u
#define VMB_GPADL_PAGES_2019 327680u

VMB_API int vmb_host_storage(const struct vmb_host_config *cfg, struct vmb_storage *need);                     /* [pure] */
VMB_API int vmb_host_init(void *mem, size_t bytes, const struct vmb_host_config *cfg, struct vmb_host **host);
VMB_API int vmb_host_end(struct vmb_host *h); /* [control] VMB_ESTATE while a channel object is out. Stop the vCPUs first */

/* ---- what comes in */

/* [control] HvPostMessage: the hypercall's input, copied out of guest memory, header included, <= 256 bytes. Returns the
 * VMB_HV_* status to give to the guest, or a caller's error. control-plane.md 1.2 */
VMB_API VMB_MUST int vmb_host_post(struct vmb_host *h, const void *input, uint32_t len);
/* [control] The same where the path is one that only guest and paravisor see. Once such a connection stands, what comes by
 * vmb_host_post is dropped. */
VMB_API VMB_MUST int vmb_host_post_trusted(struct vmb_host *h, const void *input, uint32_t len);
/* [any] HvSignalEvent, on whatever vCPU thread: no lock needed. Returns the status, never an error. Calls wake. */
VMB_API VMB_MUST int vmb_host_signal(struct vmb_host *h, uint32_t connection, uint32_t flag);
/* [any] Look at the monitor page: wakes the channels whose bits are set, and clears them. VMB_YES: there were some. Call it
 * when the page was written, or at least every monitor_latency; vmb_host_poll does it too, and its deadline allows for it.
 * control-plane.md 9.4 */
VMB_API int vmb_host_monitor(struct vmb_host *h);
/* [control] This VP has freed a slot (EOM written, SynIC enabled), or may have. */
VMB_API int vmb_host_eom(struct vmb_host *h, uint32_t vp);
/* [control] As vmb_guest_poll. */
VMB_API VMB_MUST int vmb_host_poll(struct vmb_host *h, uint64_t now, struct vmb_event *ev);

/* ---- devices */

/* [control] Offer a channel, now or when a guest asks. A device that does not fit in the limits gets VMB_ENOSPACE, a
 * second one with the same class, instance and subchannel, or a taken channel_id, VMB_EINVAL. A subchannel without its primary:
 * VMB_EINVAL. A removed device counts until its EV_GONE was given out. control-plane.md 8 */
VMB_API int vmb_host_offer(struct vmb_host *h, const struct vmb_offer *offer, vmb_handle *ch);
/* [control] Take it away, subchannels first. EV_CLOSE if it is attached; then RESCIND; EV_GONE when the guest let go of the id
 * (or does not know it). The same device may be offered again at once: it gets the same id, after the guest let go.
 * control-plane.md 12 */
VMB_API int vmb_host_remove(struct vmb_host *h, vmb_handle ch);

/* What a guest opened a channel with. */
struct vmb_open_info {
	uint32_t size;
	uint32_t flags;           /* VMB_OFFER_PRIVATE_* and VMB_OFFER_PINNED as in force for this open */
	uint32_t open_flags;      /* VMB_OPEN_* */
	uint32_t version;         /* negotiated; a reserved channel keeps that of its open */
	uint32_t ring_gpadl, ring_pages, rx_pages; /* rx: the guest sends here: control page and data */
	uint32_t target_vp, target_vtl, target_sint, event_flag; /* where interrupts go: VMB_VP_NONE: nowhere */
	uint32_t connection_id;   /* that the guest signals */
	uint32_t reserved[3];
	uint8_t user_data[120];   /* the device's */
};
VMB_API int vmb_host_open_info(struct vmb_host *h, vmb_handle ch, struct vmb_open_info *out); /* [control] from EV_OPEN on */

/* [control] Say yes to EV_OPEN: map the rings (cfg->tx.control NULL: by the callback; else you have done it), build the
 * channel in mem, tell the guest. If it fails the guest has been told no, mem is yours, and no EV_CLOSED comes: VMB_EMAP,
 * VMB_EPEER (bad ring), VMB_ESTOPPED (the guest has gone meanwhile), caller's errors and VMB_EAGAIN (pull the last EV_CLOSED
 * first): these change nothing. Also legal while the guest has the channel open and nobody serves it, after a detach: goes on
 * where that one stopped. Use *out from any thread you hand it to. */
VMB_API int vmb_host_attach(struct vmb_host *h, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
			    struct vmb_channel **out);
/* [control] Give the channel object back: after EV_CLOSE, or by yourself (VMB_ESTOPPED, VMB_EPEER, removal, to pause or to move).
 * Unmaps. -> EV_CLOSED. */
VMB_API int vmb_host_detach(struct vmb_host *h, vmb_handle ch);
/* [control] What EV_HVSOCK asks. VMB_ENOENT: it has been answered, or its connection is over. */
VMB_API int vmb_host_hvsock(struct vmb_host *h, const struct vmb_event *question, struct vmb_hvsock *out);
/* [control] Answer a question otherwise. EV_HVSOCK: 0 once you have offered the channel (vmb_hvsock_offer), else no: the guest hears of that
 * from 4.1 on. EV_OPEN: no, with the status the guest shall see (VMB_E* become 0x8000FFFF), or 0 where
 * someone else serves the rings: EV_CLOSE will come, answer that with 0 when they are off the memory. EV_GPADL_DOWN: 0. Late or
 * twice: VMB_ENOENT, harmless. */
VMB_API int vmb_host_answer(struct vmb_host *h, const struct vmb_event *question, int32_t status);

/* ---- GPADLs that packets name */

/* What a host knows of a GPADL. */
struct vmb_gpadl_info {
	uint32_t size;
	uint32_t flags;                /* 0 */
	uint32_t ranges, words, pages; /* of its list */
	uint32_t held;                 /* how often it is held */
	uint64_t bytes;                /* that it names */
};
VMB_API int vmb_host_gpadl_info(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, struct vmb_gpadl_info *out);  /* [control] VMB_ENOENT */
/* [control] Copy its list into words (max of them) and hold it: the guest's tear-down, close, rescind or unload then asks
 * (EV_GPADL_DOWN) and waits for release. *list (its words are yours) serves vmb_list_read and vmb_packet_read from any thread
 * meanwhile. Holds count. VMB_ENOENT, VMB_ETOOSMALL. */
VMB_API int vmb_host_gpadl_hold(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, uint64_t *words, uint32_t max, struct vmb_list *list);
VMB_API int vmb_host_gpadl_release(struct vmb_host *h, vmb_handle ch, uint32_t gpadl); /* [control] VMB_ENOENT: not held */

/* [control] Who uses this memory? Before guest pages pfn ... pfn + pages - 1 are taken away (hot-unplug, a change of
 * visibility): VMB_YES and one use per call, 0 after the last; start with *cursor = 0. A use is the ring of an open channel or
 * a hold, of GPADL *gpadl of *ch. Detach it, remove the channel, or release the hold, and ask again. Maps that a mapper's
 * caller has just now are the mapper's to wait for. VMB_EINVAL: no pages, or their numbers overflow. */
VMB_API int vmb_host_users(struct vmb_host *h, uint64_t pfn, uint64_t pages, uint32_t *cursor, vmb_handle *ch, uint32_t *gpadl);

/* [control] Lower what the next contact may have; 0: as the config says. For relays. control-plane.md 3.1 */
VMB_API int vmb_host_limit(struct vmb_host *h, uint32_t max_version, uint32_t features);
VMB_API int vmb_host_reset(struct vmb_host *h); /* [control] the VM is reset: EV_CLOSE for all that is attached -> EV_RESET, which
						* comes when all channels and holds have been given back; vmb_host_users says who has what */

/* ---- save and restore: doc/SAVED.md has the bytes. control-plane.md 18 */

#define VMB_SAVED_FORMAT 3u /* the newest format. 1: all control state; 2: counters of vmb_bus_info, too; 3: all of those, and of vmb_part */
/* [control] Write what this end knows of its guest in `format` (0: the newest; VMB_EVERSION: there is none such), little-endian on every
 * processor. *used is set to its size; buf NULL: no more than that. VMB_ETOOSMALL. The vCPUs are stopped, the threads of each device have
 * flushed, released and wait (else VMB_ESTATE: a packet is put and not flushed, or received and not released). It changes nothing: go on if
 * the migration fails. Not in it: guest memory, what the message callback took, handles, config, offers, and a device's own: its requests
 * (vmb_channel_outstanding, vmb_channel_adopt), and the answers to vmb_host_limit. */
VMB_API int vmb_host_save(struct vmb_host *h, uint32_t format, void *buf, size_t bytes, size_t *used);
/* [control] Go on from there, in a host that has had no guest (VMB_ESTATE), after all devices were offered again (the same class, instance
 * and subchannel). What waits for a device comes as an event with VMB_EVF_RESTORED: EV_CONNECTED; EV_OPEN for each channel that was open or to
 * be opened (attach as ever: the rings go on where they were, and a guest that had heard of its open hears nothing; answering no rescinds the
 * channel and offers it anew); EV_CLOSE; EV_GPADL_DOWN (the holds of before are held: the next vmb_host_gpadl_hold takes them over). Channels
 * that nobody offers are rescinded, devices that the guest has not seen are offered if it asked for offers, connects that waited for an answer
 * are refused. Each open channel is signalled once both ways when it is attached. An error changes nothing: VMB_EINVAL: no such blob, damaged,
 * or about a host of another VTL, monitor pages or channel ids; VMB_EVERSION: its format, version or features are not among yours;
 * VMB_ENOSPACE: over your limits; VMB_EMAP: interrupt or monitor page. */
VMB_API int vmb_host_restore(struct vmb_host *h, const void *buf, size_t bytes);

/* ---- looking at an end */

/* What an end is, and counts. */
struct vmb_bus_info {
	uint32_t size;
	uint32_t state;            /* VMB_BUS_* */
	uint32_t version, features; /* negotiated; 0 while not connected */
	uint32_t channels, attached, gpadls, gpadl_pages; /* offers alive; channel objects out */
	uint32_t message_vp, queued; /* messages waiting to be delivered */
	uint64_t messages_in, messages_out, dropped; /* dropped: wrong type, size, direction, state or version */
	uint64_t refused_quota, post_retries; /* what was refused for a limit of the config; posts that were repeated */
	uint64_t stray_events, late_answers; /* signals for no channel; answers that nobody waited for */
	uint64_t monitor_gpa[2];   /* the pages in use, host-to-guest and guest-to-host; 0: none */
	struct vmb_guid client_id; /* as the guest told it; else 0 */
	uint32_t paused;           /* 1: between VMB_EV_PAUSED, or the guest's PAUSE, and resume */
	uint32_t trusted;          /* host: 1: the connection is */
	uint64_t fate[16];         /* messages that came, by VMB_FATE_*. Without VMB_FATE_AGAIN their sum is messages_in */
	uint64_t post_failed;      /* messages that were lost on their way to the peer: the callback failed for good, or another place was busy */
	uint64_t over_budget;      /* over_in and over_out of all channels there ever were */
	uint32_t queued_most;      /* most messages that waited at once */
	uint32_t events, events_most; /* objects that have events to tell, now and at most */
	uint32_t reserved;
};
#define VMB_BUS_NONE 0       /* no connection */
#define VMB_BUS_CONNECTING 1 /* the version is being negotiated */
#define VMB_BUS_CONNECTED 2  /* a version was negotiated */
#define VMB_BUS_RUNNING 3   /* offers delivered */
#define VMB_BUS_LEAVING 4   /* until all channels were given back */
#define VMB_BUS_RESETTING 5 /* the same, for a reset */
#define VMB_BUS_UNLOADING 6 /* guest: UNLOAD was sent. In traces and snapshots; vmb_bus_info says LEAVING */
VMB_API int vmb_guest_info(struct vmb_guest *g, struct vmb_bus_info *out); /* [control] */
VMB_API int vmb_host_info(struct vmb_host *h, struct vmb_bus_info *out);   /* [control] */

/* One part of an end, for people to look at: the connection, a channel or a GPADL. */
struct vmb_part {
	uint32_t size;
	uint32_t kind;             /* VMB_PART_* */
	uint32_t state;            /* VMB_BUS_*, VMB_STATE_* or VMB_LIST_*, by kind */
	uint32_t flags;            /* VMB_HAS_* */
	uint32_t device;           /* host, channel: VMB_DEVICE_* */
	vmb_handle ch;             /* channel and GPADL; 0: not told to the embedder yet */
	uint32_t channel, gpadl;   /* ids on the wire; 0: none. channel: its ring's gpadl */
	/* channel */
	uint32_t subchannel, monitor_id, target_vp, event_flag, connection_id; /* as in vmb_offer and vmb_open */
	uint32_t opens, refused, closes, lost; /* opens that worked, that did not; ends of them by the guest's close, and otherwise */
	/* GPADL */
	uint32_t words, ranges, held; /* announced; held: uses, of the ring too */
	uint64_t user;              /* of the channel: from offer or open */
	struct vmb_guid class_id, instance; /* of the channel's offer */
	struct vmb_channel *object; /* channel: for vmb_channel_info; NULL: none is out */
	void *reserved;
};
/* Kinds of parts. */
#define VMB_PART_CONNECTION 1
#define VMB_PART_CHANNEL 2
#define VMB_PART_GPADL 3
/* [control] VMB_YES and one part per call, the connection first, then channels, then GPADLs; 0 after the last; start with *cursor = 0.
 * Nothing is allocated, nothing changes; what has changed between two calls may be missed. */
VMB_API int vmb_guest_snapshot(struct vmb_guest *g, uint32_t *cursor, struct vmb_part *out);
VMB_API int vmb_host_snapshot(struct vmb_host *h, uint32_t *cursor, struct vmb_part *out);

/* ============================================================================== SynIC pages, both sides, [any]
 * slot: 256 bytes of a message page; flags: 256 bytes of an event-flags page; both of one SINT. control-plane.md 1.3, 9.3
 */
/* Host: write one message; one caller per slot at a time, as the message callback is. 0: raise the SINT. VMB_EAGAIN: occupied;
 * the guest will write EOM when it is free. VMB_EINVAL: over 240 bytes. */
VMB_API VMB_MUST int vmb_synic_post(void *slot, const void *payload, uint32_t len);
/* Host: set a flag, 0...2047. VMB_YES: raise the SINT. 0: it was set. */
VMB_API VMB_MUST int vmb_synic_set(void *flags, uint32_t flag);

/* ====================================================================== the wire as named fields, [pure]
 * One message or packet as named fields, for dumpers, dissectors, mutators, and to build any message. control-plane.md 2, 6
 */
struct vmb_field {           /* frozen */
	const char *name;    /* static */
	uint64_t value;      /* of numbers; of GUID and BYTES: 0 */
	uint32_t offset, bytes; /* where it lies in the message */
	uint32_t kind;       /* VMB_FIELD_* */
	uint32_t reserved;
};
#define VMB_FIELD_NUMBER 1 /* its value */
#define VMB_FIELD_GUID 2  /* 16 bytes at its offset */
#define VMB_FIELD_BYTES 3 /* bytes at its offset */
#define VMB_FIELD_GPA 4   /* a number: a guest-physical address */
#define VMB_FIELD_PFN 5   /* a number: a page frame number */
#define VMB_FIELD_RANGE 6 /* a number: VMB_RANGE */

VMB_API const char *vmb_message_name(uint32_t type); /* "OPEN_CHANNEL"; unknown: "?" */
/* Bytes of the form of `type` that a sender uses at this version and these features (GPADL messages: without data).
 * VMB_EINVAL: no such type; VMB_EVERSION: not in this version or without a feature it lacks. */
VMB_API int vmb_message_size(uint32_t type, uint32_t version, uint32_t features);
/* Is this a message that an end may act on: type, size, version, features, direction (to_host != 0: guest to host)? 0,
 * VMB_EPEER (unknown type, short), VMB_EVERSION, VMB_EINVAL (the other direction). Total over any bytes. control-plane.md 2,
 * 17, 19 */
VMB_API int vmb_message_check(const void *msg, uint32_t len, uint32_t version, uint32_t features, int to_host);
/* Field number `index` of a message: VMB_YES, or VMB_ENOENT after the last that lies within len. version and features pick the
 * form; version 0: by length. INITIATE_CONTACT is read by the version that it asks for. Total over any bytes. */
VMB_API int vmb_message_field(const void *msg, uint32_t len, uint32_t version, uint32_t features, uint32_t index, struct vmb_field *out);
/* Write the header and zeros of a message as long as vmb_message_size says into buf; returns that length, VMB_ETOOSMALL, or
 * its errors. */
VMB_API int vmb_message_init(void *buf, uint32_t bytes, uint32_t type, uint32_t version, uint32_t features);
/* Set the number called `name`. VMB_ENOENT: no such number in this form; VMB_EINVAL: it does not fit. GUIDs and bytes: copy to
 * its offset. */
VMB_API int vmb_message_set(void *msg, uint32_t len, uint32_t version, uint32_t features, const char *name, uint64_t value);
/* The same for a whole ring packet, from its descriptor on (without footer); one packet type name. ring.md 4, 5 */
VMB_API int vmb_packet_field(const void *packet, uint32_t len, uint32_t index, struct vmb_field *out);
VMB_API const char *vmb_packet_name(uint32_t kind);

#ifdef __cplusplus
}
#endif
#endif /* VMBUS_H */

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #include "shim.h"
import "C"

import (
	"iter"
	"unsafe"
)

// Kind is the kind of a packet.
type Kind uint16

// Kinds of packets.
const (
	InBand     Kind = C.VMB_PKT_INBAND
	Transfer   Kind = C.VMB_PKT_XFER // host to guest: windows into a set of pages
	Direct     Kind = C.VMB_PKT_GPA  // guest to host: pages
	Completion Kind = C.VMB_PKT_COMPLETION
)

// String is the name of the kind; "?" for others.
func (k Kind) String() string { return C.GoString(C.vmb_packet_name(C.uint32_t(k))) }

// Flags of packets.
const (
	WantsReply uint16 = C.VMB_PKT_WANTS_REPLY // a request: the sender wants a completion
	Late       uint16 = C.VMB_PKT_LATE        // received completions only: the request had been cancelled; its pages are yours again
)

// Packet is one packet, either way. A received one lies in the [Inbox] that it was received into, and is valid until that receives again.
type Packet struct {
	Kind    Kind
	Flags   uint16
	PageSet uint16 // transfer pages: the set
	ID      uint64 // of a completion: the request's. Of a request to send: 0 lets the channel choose
	User    uint64 // with a request: yours; with its completion: back
	// Payload, received, is a multiple of 8 bytes with up to 7 of padding; exact on pipes.
	Payload []byte
	// List of a direct packet: its pages; of transfer pages: the windows. Received ones are checked copies.
	List List
}

// Wants says whether the sender wants a completion.
func (p *Packet) Wants() bool { return p.Flags&WantsReply != 0 }

func (p *Packet) c() C.struct_vmbgo_packet {
	return C.struct_vmbgo_packet{kind: C.uint16_t(p.Kind), flags: C.uint16_t(p.Flags), page_set: C.uint16_t(p.PageSet),
		len: C.uint32_t(len(p.Payload)), words: C.uint32_t(len(p.List.Words)), ranges: C.uint32_t(p.List.Ranges),
		id: C.uint64_t(p.ID), user: C.uint64_t(p.User)}
}

func bytesOf(w []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), 8*len(w))
}

// Batch is packets to send in one call. Fill it, give it to [Sender.SendBatch] until it is empty, and again. One goroutine at a time.
type Batch struct {
	words []uint64
	used  int // bytes of words
	recs  []C.struct_vmb_record
	sent  int // of recs
}

// NewBatch has room for so many packets and bytes without growing.
func NewBatch(packets, bytes int) *Batch {
	return &Batch{words: make([]uint64, (max(bytes, 0)+7)/8), recs: make([]C.struct_vmb_record, 0, max(packets, 0))}
}

// Len is how many packets are left to send.
func (b *Batch) Len() int { return len(b.recs) - b.sent }

// Reset forgets all packets, sent or not.
func (b *Batch) Reset() { b.used, b.recs, b.sent = 0, b.recs[:0], 0 }

// ID of the i-th packet since the last Reset: of a request that was sent, the channel's.
func (b *Batch) ID(i int) uint64 { return uint64(b.recs[i].id) }

// Room for n bytes, 8-aligned.
func (b *Batch) room(n int) (at int) {
	at = b.used
	b.used = at + (n+7)&^7
	if b.used > 8*len(b.words) {
		w := make([]uint64, max(2*len(b.words), b.used/8))
		copy(w, b.words)
		b.words = w
	}
	return at
}

// Reserve adds a packet without external memory, of n bytes of payload, which are to be filled in before the batch is used again. What they hold
// until then is anything.
func (b *Batch) Reserve(kind Kind, flags uint16, id, user uint64, n int) []byte {
	at := b.room(n)
	b.recs = append(b.recs, C.struct_vmb_record{kind: C.uint16_t(kind), flags: C.uint16_t(flags), offset: C.uint32_t(at),
		len: C.uint32_t(n), id: C.uint64_t(id), user: C.uint64_t(user)})
	return bytesOf(b.words)[at : at+n : at+n]
}

// Request adds an in-band packet that wants a completion; user comes back with it.
func (b *Batch) Request(payload []byte, user uint64) {
	copy(b.Reserve(InBand, WantsReply, 0, user, len(payload)), payload)
}

// InBand adds an in-band packet that wants none.
func (b *Batch) InBand(payload []byte) { copy(b.Reserve(InBand, 0, 0, 0, len(payload)), payload) }

// Complete adds the completion of a request.
func (b *Batch) Complete(id uint64, payload []byte) {
	copy(b.Reserve(Completion, 0, id, 0, len(payload)), payload)
}

// Add adds a copy of any packet.
func (b *Batch) Add(p *Packet) {
	if len(p.List.Words) == 0 && p.List.Ranges == 0 {
		copy(b.Reserve(p.Kind, p.Flags, p.ID, p.User, len(p.Payload)), p.Payload)
		b.recs[len(b.recs)-1].page_set = C.uint16_t(p.PageSet)
		return
	}
	head := 8 + 8*len(p.List.Words)
	at := b.room(head + len(p.Payload))
	copy(b.words[at/8+1:], p.List.Words)
	copy(bytesOf(b.words)[at+head:], p.Payload)
	b.recs = append(b.recs, C.struct_vmb_record{kind: C.uint16_t(p.Kind), flags: C.uint16_t(p.Flags), offset: C.uint32_t(at),
		head_len: C.uint32_t(head), len: C.uint32_t(len(p.Payload)), id: C.uint64_t(p.ID), user: C.uint64_t(p.User),
		ranges: C.uint32_t(p.List.Ranges), page_set: C.uint16_t(p.PageSet)})
}

// Inbox is what packets are received into, several in one call. It grows where a packet needs it, up to what a ring holds. One goroutine at a time.
type Inbox struct {
	words []uint64
	recs  []C.struct_vmb_record
	n     int
}

// NewInbox takes up to so many packets, with so many bytes without growing.
func NewInbox(packets, bytes int) *Inbox {
	return &Inbox{words: make([]uint64, max(bytes+7, 8)/8), recs: make([]C.struct_vmb_record, max(packets, 1))}
}

// Len is how many packets the last call received.
func (in *Inbox) Len() int { return in.n }

// Packet is the i-th of them. It lies in the inbox.
func (in *Inbox) Packet(i int) Packet {
	r := &in.recs[:in.n][i]
	at, head, n := int(r.offset), int(r.head_len), int(r.len)
	p := Packet{Kind: Kind(r.kind), Flags: uint16(r.flags), PageSet: uint16(r.page_set), ID: uint64(r.id), User: uint64(r.user),
		Payload: bytesOf(in.words)[at+head : at+head+n : at+head+n]}
	if head > 8 {
		p.List = List{in.words[at/8+1 : (at+head)/8 : (at+head)/8], uint32(r.ranges)}
	}
	return p
}

// All are the packets, in order.
func (in *Inbox) All() iter.Seq[Packet] {
	return func(yield func(Packet) bool) {
		for i := range in.n {
			if !yield(in.Packet(i)) {
				return
			}
		}
	}
}

func (in *Inbox) grow(bytes int) {
	if bytes > 8*len(in.words) {
		in.words = make([]uint64, (bytes+7)/8)
	}
}

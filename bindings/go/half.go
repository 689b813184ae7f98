// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// The calls that signal the peer call back; a receiver's do, too, where the peer waits for room.

// #cgo noescape vmb_channel_send_batch
// #cgo noescape vmb_channel_recv_batch
// #cgo noescape vmbgo_put
// #cgo noescape vmbgo_recv
// #cgo noescape vmb_channel_cancel
// #cgo nocallback vmb_channel_cancel
// #include "shim.h"
import "C"

import (
	"context"
	"sync"
	"unsafe"
)

// Sender is the sending half of a channel. Any goroutine may use it; calls take turns. [ErrStopped] and [ErrPeer] are for good: close the channel.
type Sender struct {
	mu   sync.Mutex
	ch   *Channel
	raw  *C.struct_vmb_channel // nil: given back
	owes bool
	wake chan struct{}
	in   spans
}

func (s *Sender) lock() error {
	if err := s.ch.calls.lock(&s.mu); err != nil {
		return err
	}
	if s.raw == nil {
		s.mu.Unlock()
		return ErrClosed
	}
	return nil
}

func (s *Sender) result(r C.int) error {
	s.owes = s.owes || r > 0 && r&C.VMB_SIGNAL != 0
	return s.ch.calls.result(r)
}

// SendBatch puts the packets of a batch, in one call, and shows them to the peer. It takes them off the batch, and says how many: fewer than there
// are where [ErrFull] or [ErrNoSlot] stopped it, which the next call says.
func (s *Sender) SendBatch(b *Batch) (int, error) {
	if b.Len() == 0 {
		return 0, s.Flush()
	}
	if err := s.lock(); err != nil {
		return 0, err
	}
	r := C.vmb_channel_send_batch(s.raw, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b.words))), C.uint32_t(8*len(b.words)), &b.recs[b.sent],
		C.uint32_t(b.Len()))
	err := s.ch.calls.result(r)
	s.mu.Unlock()
	if r > 0 {
		b.sent += int(r)
	}
	return max(int(r), 0), err
}

// SendAll sends all of a batch, and waits for room and for slots as often as needed. Slots come free where the receiving half takes completions.
func (s *Sender) SendAll(ctx context.Context, b *Batch) error {
	for b.Len() > 0 {
		_, err := s.SendBatch(b)
		if err == ErrFull || err == ErrNoSlot || err == ErrAgain {
			err = s.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Wait waits for a reason to send again: after [ErrFull], and, as the receiving half takes completions, [ErrNoSlot].
func (s *Sender) Wait(ctx context.Context) error { return s.ch.wait(ctx, s.wake) }

func (ch *Channel) wait(ctx context.Context, wake chan struct{}) error {
	select {
	case <-ch.done:
		return ErrClosed
	default:
	}
	select {
	case <-wake:
		return nil
	case <-ch.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sender) put(p *Packet, flush C.int) (uint64, error) {
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	c := p.c()
	err := s.result(C.vmbgo_put(s.raw, flush, &c, cBytes(p.Payload), cWords(p.List.Words)))
	return uint64(c.id), err
}

// Put queues one packet, which the peer sees once it is flushed; tells its id. A request with id 0 gets one of the channel's. [ErrFull]: what was
// queued has been flushed. For many packets use a batch.
func (s *Sender) Put(p *Packet) (uint64, error) { return s.put(p, 0) }

// Send is Put and Flush.
func (s *Sender) Send(p *Packet) (uint64, error) { return s.put(p, 1) }

// Flush shows the peer what was put, and signals it if it must be.
func (s *Sender) Flush() error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.result(C.vmb_channel_flush(s.raw))
}

// Cancel gives a request up, and tells its user. What it names stays the peer's until its completion comes, which is [Late], or the channel ends.
// [ErrNotFound]: it has been completed.
func (s *Sender) Cancel(id uint64) (uint64, error) {
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	var user C.uint64_t
	err := s.ch.calls.result(C.vmb_channel_cancel(s.raw, C.uint64_t(id), &user))
	return uint64(user), err
}

// Owes says, with [ChannelDefer], whether a call has asked for a signal since this was last asked: then call Signal.
func (s *Sender) Owes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	owes := s.owes
	s.owes = false
	return owes
}

// Signal signals the peer, with [ChannelDefer].
func (s *Sender) Signal() error {
	return s.ch.any(func() C.int { return C.vmb_channel_signal(s.ch.raw) })
}

// PutInPlace queues a packet of n bytes that fill writes in the ring; p has no payload. The bytes come as several slices where the
// ring wraps. They are not to be kept, and the peer may write there, too. fill must not use the half.
func (s *Sender) PutInPlace(p *Packet, n int, fill func(parts [][]byte)) (uint64, error) {
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	info, err := channelInfo(s.raw)
	if err != nil {
		return 0, err
	}
	c := p.c()
	c.len = C.uint32_t(n)
	count := s.in.room(info.Tx.DataBytes)
	if err = s.result(C.vmbgo_reserve(s.raw, &c, cWords(p.List.Words), &s.in[0], &count)); err == nil {
		fill(s.in.parts(count))
	}
	return uint64(c.id), err
}

// Receiver is the receiving half of a channel. Any goroutine may use it; calls take turns. [ErrStopped] and [ErrPeer] are for good: close the channel.
type Receiver struct {
	mu   sync.Mutex
	ch   *Channel
	raw  *C.struct_vmb_channel // nil: given back
	wake chan struct{}
	in   spans
}

func (r *Receiver) lock() error {
	if err := r.ch.calls.lock(&r.mu); err != nil {
		return err
	}
	if r.raw == nil {
		r.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// ReceiveBatch receives, in one call, as many packets as there are or as fit, and says how many. 0: there is none; a wake comes with the next one,
// see Wait. [ErrAgain]: so many completions without a request that the call ended; call again.
func (r *Receiver) ReceiveBatch(in *Inbox) (int, error) {
	in.n = 0
	if err := r.lock(); err != nil {
		return 0, err
	}
	defer r.mu.Unlock()
	n := r.batch(in)
	if n == C.VMB_ETOOSMALL {
		// The first packet is larger than the inbox; asked for it alone, the library says what it needs.
		var rec C.struct_vmb_record
		if C.vmbgo_recv(r.raw, nil, 0, &rec) == C.VMB_ETOOSMALL {
			in.grow(int(rec.head_len) + int(rec.len))
			n = r.batch(in)
		}
	}
	if n > 0 {
		in.n = int(n)
		poke(r.ch.tx.wake) // a completion has freed a slot
	}
	return in.n, r.ch.calls.result(n)
}

func (r *Receiver) batch(in *Inbox) C.int {
	return C.vmb_channel_recv_batch(r.raw, (*C.uint8_t)(unsafe.Pointer(&in.words[0])), C.uint32_t(8*len(in.words)), &in.recs[0],
		C.uint32_t(len(in.recs)))
}

// Receive is ReceiveBatch that waits for at least one packet.
func (r *Receiver) Receive(ctx context.Context, in *Inbox) (int, error) {
	for {
		n, err := r.ReceiveBatch(in)
		if n > 0 || err != nil && err != ErrAgain {
			return n, err
		}
		if err == nil {
			err = r.Wait(ctx)
		} else {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
	}
}

// Wait waits for a reason to look again, after ReceiveBatch gave 0.
func (r *Receiver) Wait(ctx context.Context) error { return r.ch.wait(ctx, r.wake) }

// Release gives space back now, before you wait for anything but this channel. ReceiveBatch gives all of it back itself.
func (r *Receiver) Release() error {
	if err := r.lock(); err != nil {
		return err
	}
	defer r.mu.Unlock()
	return r.ch.calls.result(C.vmb_channel_release(r.raw))
}

// NextInPlace gives the next packet to look, in the ring: its variable header and then its payload, as several slices where the ring wraps. p has neither
// payload nor list. The bytes stay the peer's to change: read each once, and keep no slice. false: there is none. look must not use the half.
func (r *Receiver) NextInPlace(look func(p Packet, head int, parts [][]byte)) (bool, error) {
	if err := r.lock(); err != nil {
		return false, err
	}
	defer r.mu.Unlock()
	info, err := channelInfo(r.raw)
	if err != nil {
		return false, err
	}
	var rec C.struct_vmb_record
	count := r.in.room(info.Rx.DataBytes)
	n := C.vmbgo_next(r.raw, &rec, &r.in[0], &count)
	if n > 0 {
		look(Packet{Kind: Kind(rec.kind), Flags: uint16(rec.flags), PageSet: uint16(rec.page_set), ID: uint64(rec.id),
			User: uint64(rec.user)}, int(rec.head_len), r.in.parts(count))
	}
	return n > 0, r.ch.calls.result(n)
}

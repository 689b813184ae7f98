// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_channel_info
// #cgo nocallback vmb_channel_info
// #cgo noescape vmb_channel_outstanding
// #cgo nocallback vmb_channel_outstanding
// #cgo noescape vmb_channel_dirty
// #cgo nocallback vmb_channel_dirty
// #cgo nocallback vmb_channel_stop
// #cgo nocallback vmb_channel_signalled
// #cgo nocallback vmb_channel_adopt
// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"context"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// ChannelOptions is how a channel works; the zero value is usable.
type ChannelOptions struct {
	Flags      ChannelFlags
	Requests   uint32 // in flight, that the channel numbers and matches, up to 65535; 0: ids are yours
	MaxPayload uint32 // receiving more is a violation; 0: what the ring holds
	LeastFree  uint32 // after ErrFull: bytes that shall be free before a wake; 0: a quarter of the ring
}

// ChannelFlags are flags of a channel.
type ChannelFlags uint32

// Flags of a channel.
const (
	// ChannelDefer: no call of the sender signals; [Sender.Signal] does, where [Sender.Owes] says so.
	ChannelDefer ChannelFlags = C.VMB_CHANNEL_DEFER
	// ChannelPipe adds the pipe header of in-band data, and takes it off. A bus sets it for pipe offers.
	ChannelPipe ChannelFlags = C.VMB_CHANNEL_PIPE
	// ChannelRaw: a pipe offer without that.
	ChannelRaw ChannelFlags = C.VMB_CHANNEL_RAW
	// ChannelPolled asks for no signals: nothing promises a wake.
	ChannelPolled ChannelFlags = C.VMB_CHANNEL_POLLED
	// ChannelDirty logs ring pages written, for [Channel.Dirty].
	ChannelDirty ChannelFlags = C.VMB_CHANNEL_DIRTY
	// ChannelLoose receives unknown packet types.
	ChannelLoose ChannelFlags = C.VMB_CHANNEL_LOOSE
)

func (o *ChannelOptions) c() C.struct_vmb_channel_config {
	return C.struct_vmb_channel_config{size: C.sizeof_struct_vmb_channel_config, flags: C.uint32_t(o.Flags), requests: C.uint32_t(o.Requests),
		max_payload: C.uint32_t(o.MaxPayload), least_free: C.uint32_t(o.LeastFree)}
}

// Channel is a pair of rings, the requests in flight, and the way to signal the peer. [Sender] and [Receiver] are its halves; all methods here
// may be called by any goroutine. After Close all of them give [ErrClosed] or the last values.
type Channel struct {
	tx Sender
	rx Receiver

	life sync.RWMutex // of raw and mem: calls of any goroutine inside, against the end of it
	raw  *C.struct_vmb_channel
	mem  unsafe.Pointer
	gone bool // given back

	calls  *callbacks // of the end, or its own
	end    *end       // nil: without a bus
	handle Handle
	user   uint64    // what wake says
	rings  []*Memory // kept mapped
	done   chan struct{}

	// Without a bus.
	own    callbacks
	ctx    *C.struct_vmbgo_ctx
	self   cgo.Handle
	signal func()

	// Last values, once done is closed.
	status error
	left   []Request
	last   ChannelInfo
}

// Request is a request that was in flight.
type Request struct {
	ID, User  uint64
	Cancelled bool
}

func newChannel(calls *callbacks) *Channel {
	ch := &Channel{calls: calls, done: make(chan struct{})}
	ch.tx.ch, ch.rx.ch = ch, ch
	ch.tx.wake, ch.rx.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return ch
}

// made: the library has made it.
func (ch *Channel) made(raw *C.struct_vmb_channel, mem unsafe.Pointer) {
	ch.tx.mu.Lock()
	ch.rx.mu.Lock()
	ch.life.Lock()
	ch.raw, ch.mem, ch.tx.raw, ch.rx.raw = raw, mem, raw, raw
	ch.life.Unlock()
	ch.rx.mu.Unlock()
	ch.tx.mu.Unlock()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// woken is the wake callback: there is a reason to look at the channel.
func (ch *Channel) woken() {
	poke(ch.tx.wake)
	poke(ch.rx.wake)
}

// giveBack takes the halves: no data call is running any more, and none begins. [ErrClosed]: they have been taken.
func (ch *Channel) giveBack() error {
	if err := ch.calls.lock(&ch.tx.mu); err != nil {
		return err
	}
	if err := ch.calls.lock(&ch.rx.mu); err != nil {
		ch.tx.mu.Unlock()
		return err
	}
	ch.life.Lock()
	gone := ch.gone
	ch.gone, ch.tx.raw, ch.rx.raw = true, nil, nil
	ch.life.Unlock()
	ch.rx.mu.Unlock()
	ch.tx.mu.Unlock()
	if gone {
		return ErrClosed
	}
	return nil
}

// finish: the storage is ours. Keeps the last values, and wakes all who wait.
func (ch *Channel) finish(status error) {
	ch.life.Lock()
	defer ch.life.Unlock()
	if ch.raw == nil {
		return
	}
	ch.gone, ch.status = true, status
	ch.last, _ = channelInfo(ch.raw)
	ch.left = outstanding(ch.raw)
	C.free(ch.mem)
	ch.raw, ch.mem = nil, nil
	if status != ErrLeak {
		ch.release()
	}
	close(ch.done)
}

// release lets the ring memory go.
func (ch *Channel) release() {
	for _, m := range ch.rings {
		m.done()
	}
	ch.rings = nil
}

// Handle of the channel on its bus; 0 without one.
func (ch *Channel) Handle() Handle { return ch.handle }

// Sender is the sending half.
func (ch *Channel) Sender() *Sender { return &ch.tx }

// Receiver is the receiving half.
func (ch *Channel) Receiver() *Receiver { return &ch.rx }

// Done is closed when the channel is over: closed, and its memory free.
func (ch *Channel) Done() <-chan struct{} { return ch.done }

// Close gives the channel back, and waits until it is over: calls that are running are waited for, later ones fail. On a guest that is a close, on a
// host a detach. [ErrLeak]: the host may still write to the rings, their memory stays in use until the guest is disconnected. If ctx ends before, the
// channel goes on closing; Done tells.
func (ch *Channel) Close(ctx context.Context) error {
	if ch.calls.here() {
		return ErrReentry // before anything is given back
	}
	if err := ch.giveBack(); err != nil {
		return err
	}
	if ch.end == nil {
		_, _, err := ch.finishOwn()
		return err
	}
	if err := ch.end.closeChannel(ctx, ch); err != nil {
		return err
	}
	return ch.status
}

// Info is what the channel counts: a racy snapshot; after it is over, the last one.
func (ch *Channel) Info() (ChannelInfo, error) {
	ch.life.RLock()
	defer ch.life.RUnlock()
	if ch.raw == nil {
		return ch.last, nil
	}
	return channelInfo(ch.raw)
}

// Outstanding is the requests that were in flight when the channel ended, cancelled ones too; nil before. Then nobody will complete them.
func (ch *Channel) Outstanding() []Request {
	ch.life.RLock()
	defer ch.life.RUnlock()
	return ch.left
}

// InFlight is the requests that are in flight now, to save them. No other call may use the channel's halves: it waits for those that run.
func (ch *Channel) InFlight() ([]Request, error) {
	var all []Request
	err := ch.owned(func() C.int {
		all = outstanding(ch.raw)
		return 0
	})
	return all, err
}

// Adopt knows a request that was in flight before a restore. [ErrInvalid]: no id that this channel could have given, or taken.
func (ch *Channel) Adopt(id, user uint64) error {
	return ch.owned(func() C.int { return C.vmb_channel_adopt(ch.raw, C.uint64_t(id), C.uint64_t(user)) })
}

// owned calls f with both halves taken.
func (ch *Channel) owned(f func() C.int) error {
	if err := ch.calls.lock(&ch.tx.mu); err != nil {
		return err
	}
	defer ch.tx.mu.Unlock()
	if err := ch.calls.lock(&ch.rx.mu); err != nil {
		return err
	}
	defer ch.rx.mu.Unlock()
	if ch.tx.raw == nil {
		return ErrClosed
	}
	return ch.calls.result(f())
}

// any calls f while the channel cannot be given back.
func (ch *Channel) any(f func() C.int) error {
	ch.life.RLock()
	defer ch.life.RUnlock()
	if ch.gone || ch.raw == nil {
		return ErrClosed
	}
	return ch.calls.result(f())
}

// Stop has all later calls of both halves give [ErrStopped], and wakes who waits: how another goroutine asks for a channel without a bus.
func (ch *Channel) Stop() error {
	err := ch.any(func() C.int { return C.vmb_channel_stop(ch.raw) })
	ch.woken()
	return err
}

// Signalled says that a signal of the peer's has come, to a channel without a bus: wakes who waits. A bus does that itself.
func (ch *Channel) Signalled() error {
	err := ch.any(func() C.int { return C.vmb_channel_signalled(ch.raw) })
	ch.woken()
	return err
}

// Dirty ORs into bits the ring pages written since the last call, and forgets them; with [ChannelDirty], else [ErrState]. [ErrTooSmall]: too few words.
func (ch *Channel) Dirty(bits []uint64) error {
	ch.life.RLock()
	defer ch.life.RUnlock()
	if ch.raw == nil {
		return ErrClosed
	}
	return check(C.vmb_channel_dirty(ch.raw, cWords(bits), C.uint32_t(len(bits))))
}

func outstanding(raw *C.struct_vmb_channel) (all []Request) {
	var cursor, flags C.uint32_t
	var id, user C.uint64_t
	for C.vmb_channel_outstanding(raw, &cursor, &id, &user, &flags) > 0 {
		all = append(all, Request{uint64(id), uint64(user), flags&C.VMB_PKT_LATE != 0})
	}
	return
}

// RingInfo is what a control page says at this moment, not checked.
type RingInfo struct {
	DataBytes, In, Out, InterruptMask, PendingSend, Features uint32
}

func goRingInfo(c *C.struct_vmb_ring_info) RingInfo {
	return RingInfo{uint32(c.data_bytes), uint32(c.in), uint32(c.out), uint32(c.interrupt_mask), uint32(c.pending_send), uint32(c.features)}
}

// ChannelInfo is what a channel counts.
type ChannelInfo struct {
	Err                                              error     // nil, ErrStopped or ErrPeer
	Violation                                        Violation // with ErrPeer
	Requests, Zombies                                uint32    // in flight; of them cancelled
	Tx, Rx                                           RingInfo
	Sent, Received                                   uint64 // packets
	SignalsData, SignalsRoom                         uint64 // sent: ring no longer empty; room for a waiting peer
	Full, Unmatched, Masked                          uint64
	BytesSent, BytesReceived                         uint64
	RequestsSent                                     uint64
	Cancelled, Late                                  uint32
	SignalsIn, SignalsInNeedless, SignalsOutNeedless uint32
	OverIn, OverOut                                  uint32 // times over the budget
	PeerSignalsWithoutNeed, SignalsWithoutNeed       bool   // has been over the budget
}

// Violation is what the peer did to a ring.
type Violation struct {
	Reason Reason
	At     uint32 // the ring offset
}

// Reason of a violation; 0: none.
type Reason uint32

// Reasons.
const (
	ReasonIndex   Reason = C.VMB_R_INDEX
	ReasonLength  Reason = C.VMB_R_LENGTH
	ReasonHeader  Reason = C.VMB_R_HEADER
	ReasonType    Reason = C.VMB_R_TYPE
	ReasonFlags   Reason = C.VMB_R_FLAGS
	ReasonRanges  Reason = C.VMB_R_RANGES
	ReasonPipe    Reason = C.VMB_R_PIPE
	ReasonPayload Reason = C.VMB_R_PAYLOAD
)

// String is the library's text; "?" for others.
func (r Reason) String() string { return C.GoString(C.vmb_reason_name(C.uint32_t(r))) }

func channelInfo(raw *C.struct_vmb_channel) (ChannelInfo, error) {
	c := C.struct_vmb_channel_info{size: C.sizeof_struct_vmb_channel_info}
	if err := check(C.vmb_channel_info(raw, &c)); err != nil {
		return ChannelInfo{}, err
	}
	return ChannelInfo{
		Err: check(C.int(c.error)), Violation: Violation{Reason(c.reason), uint32(c.reason_at)},
		Requests: uint32(c.requests), Zombies: uint32(c.zombies), Tx: goRingInfo(&c.tx), Rx: goRingInfo(&c.rx),
		Sent: uint64(c.sent), Received: uint64(c.received), SignalsData: uint64(c.signals_data), SignalsRoom: uint64(c.signals_room),
		Full: uint64(c.full), Unmatched: uint64(c.unmatched), Masked: uint64(c.masked),
		BytesSent: uint64(c.bytes_sent), BytesReceived: uint64(c.bytes_received), RequestsSent: uint64(c.requests_sent),
		Cancelled: uint32(c.cancelled), Late: uint32(c.late), SignalsIn: uint32(c.signals_in),
		SignalsInNeedless: uint32(c.signals_in_needless), SignalsOutNeedless: uint32(c.signals_out_needless),
		OverIn: uint32(c.over_in), OverOut: uint32(c.over_out),
		PeerSignalsWithoutNeed: c.over&C.VMB_OVER_IN != 0, SignalsWithoutNeed: c.over&C.VMB_OVER_OUT != 0,
	}, nil
}

// ChannelConfig makes a channel without a bus: of a device process, or of a test.
type ChannelConfig struct {
	ChannelOptions
	Tx, Rx     RingMemory
	TxAt, RxAt Cursor // valid ones: go on from there
	// Signal signals the peer. It is called by calls of both halves, and may call nothing of the channel; nil: nobody is signalled.
	Signal func()
}

// NewChannel makes a channel without a bus. [ErrPeer]: a bad index was found.
func NewChannel(cfg *ChannelConfig) (*Channel, error) {
	ch := newChannel(nil)
	ch.calls, ch.signal = &ch.own, cfg.Signal
	c := cfg.ChannelOptions.c()
	for _, ring := range []struct {
		m  *RingMemory
		to *C.struct_vmb_ring_mem
	}{{&cfg.Tx, &c.tx}, {&cfg.Rx, &c.rx}} {
		mem, err := ring.m.use(ring.to)
		if err != nil {
			ch.release()
			return nil, err
		}
		ch.rings = append(ch.rings, mem...)
	}
	c.tx_at, c.rx_at = cfg.TxAt.c(), cfg.RxAt.c()
	ch.self = cgo.NewHandle(ch)
	ch.ctx = C.vmbgo_ctx_new(C.uintptr_t(ch.self), nil)
	var raw *C.struct_vmb_channel
	var mem unsafe.Pointer
	var signals C.int
	if cfg.Signal != nil {
		signals = 1
	}
	err := error(ErrNoSpace)
	if ch.ctx != nil {
		err = check(C.vmbgo_channel_new(&c, ch.ctx, signals, &raw, &mem))
	}
	if err != nil {
		ch.release()
		ch.forget()
		return nil, err
	}
	ch.made(raw, mem)
	return ch, nil
}

func (ch *Channel) forget() {
	C.free(unsafe.Pointer(ch.ctx))
	ch.ctx = nil
	ch.self.Delete()
}

// finishOwn ends a channel without a bus whose halves are here.
func (ch *Channel) finishOwn() (tx, rx Cursor, err error) {
	var a, b C.struct_vmb_cursor
	if err = ch.calls.result(C.vmb_channel_end(ch.raw, &a, &b)); err != nil && ch.own.failed.Load() == nil {
		return
	}
	ch.finish(nil)
	ch.forget()
	return goCursor(&a), goCursor(&b), err
}

// End is Close for a channel without a bus (else [ErrState]), and says where both sides stand: what lets another one go on.
func (ch *Channel) End() (tx, rx Cursor, err error) {
	if ch.end != nil {
		return tx, rx, ErrState
	}
	if err = ch.giveBack(); err != nil {
		return
	}
	return ch.finishOwn()
}

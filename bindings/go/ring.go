// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// The calls of a single ring call nobody.

// #cgo noescape vmbgo_tx_put
// #cgo nocallback vmbgo_tx_put
// #cgo noescape vmbgo_tx_arm
// #cgo nocallback vmbgo_tx_arm
// #cgo nocallback vmb_tx_commit
// #cgo nocallback vmb_tx_discard
// #cgo noescape vmb_tx_reason
// #cgo nocallback vmb_tx_reason
// #cgo noescape vmbgo_rx_get
// #cgo nocallback vmbgo_rx_get
// #cgo nocallback vmb_rx_release
// #cgo nocallback vmb_rx_rewind
// #cgo nocallback vmb_rx_sleep
// #cgo nocallback vmb_rx_mask
// #cgo noescape vmb_rx_reason
// #cgo nocallback vmb_rx_reason
// #cgo noescape vmb_ring_inspect
// #cgo nocallback vmb_ring_inspect
// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"sync"
	"unsafe"
)

// RingMemory is where one ring lies: a control page, and data pages in a row or, with Pages, anywhere.
type RingMemory struct {
	Memory  *Memory
	Control int  // page of Memory
	Data    int  // first data page
	Count   int  // of data pages, 1...8188
	Twice   bool // at Data they are mapped twice in a row
	Fresh   bool // clear the control page, and begin at 0: a guest's. Else go on from the indexes found
	Loose   bool // receive unknown packet types and flags: for dumpers
}

func (r *RingMemory) use(to *C.struct_vmb_ring_mem) ([]*Memory, error) {
	pages := r.Count
	if r.Twice {
		pages *= 2
	}
	control, err := r.Memory.use(r.Control, 1)
	if err != nil {
		return nil, err
	}
	data, err := r.Memory.use(r.Data, pages)
	if err != nil {
		r.Memory.done()
		return nil, err
	}
	*to = C.struct_vmb_ring_mem{control: control, data: data, data_pages: C.uint32_t(r.Count)}
	for bit, on := range map[C.uint32_t]bool{C.VMB_RING_TWICE: r.Twice, C.VMB_RING_FRESH: r.Fresh, C.VMB_RING_LOOSE: r.Loose} {
		if on {
			to.flags |= bit
		}
	}
	return []*Memory{r.Memory, r.Memory}, nil
}

// Inspect says what the control page holds at this moment, not checked. Any goroutine.
func (r *RingMemory) Inspect() (RingInfo, error) {
	var c C.struct_vmb_ring_mem
	used, err := r.use(&c)
	if err != nil {
		return RingInfo{}, err
	}
	defer func() {
		for _, m := range used {
			m.done()
		}
	}()
	var info C.struct_vmb_ring_info
	err = check(C.vmb_ring_inspect(&c, &info))
	return goRingInfo(&info), err
}

// Cursor is where one side stands in its ring: what lets another object go on, in any process.
type Cursor struct {
	Valid bool
	Index uint32 // own published index
	Armed uint32 // producer: the pending size that it stored; consumer: the mask
}

func (at Cursor) c() C.struct_vmb_cursor {
	c := C.struct_vmb_cursor{index: C.uint32_t(at.Index), armed: C.uint32_t(at.Armed)}
	if at.Valid {
		c.valid = 1
	}
	return c
}

func goCursor(c *C.struct_vmb_cursor) Cursor {
	return Cursor{c.valid != 0, uint32(c.index), uint32(c.armed)}
}

// Spans of ring memory: two, or one for each page and two.
type spans []C.struct_vmb_span

func (s *spans) room(ring uint32) C.uint32_t {
	if n := int(ring/Page) + 3; len(*s) < n {
		*s = make(spans, n)
	}
	return C.uint32_t(len(*s))
}

func (s spans) parts(n C.uint32_t) [][]byte {
	parts := make([][]byte, 0, n)
	for _, at := range s[:n] {
		parts = append(parts, unsafe.Slice((*byte)(at.base), int(at.len)))
	}
	return parts
}

// RingTx is the sending half of one ring, without requests or signals of its own. Any goroutine may use it; calls take turns.
type RingTx struct {
	mu     sync.Mutex
	raw    *C.struct_vmb_tx
	mem    unsafe.Pointer
	memory []*Memory
}

// NewRingTx makes a sending half; at, if valid, is where an earlier one stood. [ErrPeer]: a bad index was found.
func NewRingTx(memory RingMemory, at Cursor) (*RingTx, error) {
	var c C.struct_vmb_ring_mem
	used, err := memory.use(&c)
	if err != nil {
		return nil, err
	}
	t := &RingTx{memory: used}
	from := at.c()
	if err = check(C.vmbgo_tx_new(&c, &from, &t.raw, &t.mem)); err != nil {
		release(used)
		return nil, err
	}
	return t, nil
}

func release(used []*Memory) {
	for _, m := range used {
		m.done()
	}
}

func (t *RingTx) do(f func() C.int) (C.int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw == nil {
		return 0, ErrClosed
	}
	r := f()
	return r, check(r)
}

// Put reserves room and copies one packet; the peer sees it after Commit. Its id is sent as it is. [ErrFull], [ErrTooBig], [ErrPeer].
func (t *RingTx) Put(p *Packet) error {
	c := p.c()
	_, err := t.do(func() C.int { return C.vmbgo_tx_put(t.raw, &c, cBytes(p.Payload), cWords(p.List.Words)) })
	return err
}

// Commit publishes all that was put. true: the peer must be signalled.
func (t *RingTx) Commit() (signal bool, err error) {
	r, err := t.do(func() C.int { return C.vmb_tx_commit(t.raw) })
	return r > 0 && r&C.VMB_SIGNAL != 0, err
}

// Discard forgets all that was put since the last Commit.
func (t *RingTx) Discard() error {
	_, err := t.do(func() C.int { return C.vmb_tx_discard(t.raw) })
	return err
}

// Arm asks to be signalled once a packet as large as p fits, or, if that is more, least bytes are free. true: it fits already, and nothing is armed.
func (t *RingTx) Arm(p *Packet, least uint32) (fits bool, err error) {
	c := p.c()
	r, err := t.do(func() C.int { return C.vmbgo_tx_arm(t.raw, &c, cWords(p.List.Words), C.uint32_t(least)) })
	return r > 0 && r&C.VMB_YES != 0, err
}

// Violation says why this half refuses, if it does.
func (t *RingTx) Violation() (v Violation, err error) {
	_, err = t.do(func() C.int {
		var at C.uint32_t
		v = Violation{Reason(C.vmb_tx_reason(t.raw, &at)), uint32(at)}
		return 0
	})
	return
}

// End gives the half back, and says where it stands. What was not committed was never there.
func (t *RingTx) End() (Cursor, error) {
	var at C.struct_vmb_cursor
	_, err := t.do(func() C.int {
		r := C.vmb_tx_end(t.raw, &at)
		C.free(t.mem)
		release(t.memory)
		t.raw, t.mem = nil, nil
		return r
	})
	return goCursor(&at), err
}

// RingRx is the receiving half of one ring. Any goroutine may use it; calls take turns.
type RingRx struct {
	mu     sync.Mutex
	raw    *C.struct_vmb_rx
	mem    unsafe.Pointer
	memory []*Memory
}

// NewRingRx makes a receiving half; at, if valid, is where an earlier one stood. [ErrPeer]: a bad index was found.
func NewRingRx(memory RingMemory, at Cursor) (*RingRx, error) {
	var c C.struct_vmb_ring_mem
	used, err := memory.use(&c)
	if err != nil {
		return nil, err
	}
	r := &RingRx{memory: used}
	from := at.c()
	if err = check(C.vmbgo_rx_new(&c, &from, &r.raw, &r.mem)); err != nil {
		release(used)
		return nil, err
	}
	return r, nil
}

func (r *RingRx) do(f func() C.int) (C.int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.raw == nil {
		return 0, ErrClosed
	}
	n := f()
	return n, check(n)
}

// Next copies the next packet into the inbox, which has that one then. false: the ring is empty.
func (r *RingRx) Next(in *Inbox) (bool, error) {
	in.n = 0
	n, err := r.do(func() C.int {
		rec := &in.recs[0]
		n := C.vmbgo_rx_get(r.raw, cBytes(bytesOf(in.words)), C.uint32_t(8*len(in.words)), rec)
		if n == C.VMB_ETOOSMALL {
			in.grow(int(rec.head_len) + int(rec.len))
			n = C.vmbgo_rx_get(r.raw, cBytes(bytesOf(in.words)), C.uint32_t(8*len(in.words)), rec)
		}
		return n
	})
	if n > 0 {
		in.n = 1
	}
	return n > 0, err
}

// Release gives the space of all that was received back. true: the peer must be signalled.
func (r *RingRx) Release() (signal bool, err error) {
	n, err := r.do(func() C.int { return C.vmb_rx_release(r.raw) })
	return n > 0 && n&C.VMB_SIGNAL != 0, err
}

// Rewind goes back to the first packet not released.
func (r *RingRx) Rewind() error {
	_, err := r.do(func() C.int { return C.vmb_rx_rewind(r.raw) })
	return err
}

// Sleep releases, asks for signals, and looks once more. more: do not sleep. signal: the peer must be signalled.
func (r *RingRx) Sleep() (more, signal bool, err error) {
	n, err := r.do(func() C.int { return C.vmb_rx_sleep(r.raw) })
	return n > 0 && n&C.VMB_YES != 0, n > 0 && n&C.VMB_SIGNAL != 0, err
}

// Mask asks for no signals, until the next Sleep.
func (r *RingRx) Mask() error {
	_, err := r.do(func() C.int { return C.vmb_rx_mask(r.raw) })
	return err
}

// Violation says why this half refuses, if it does.
func (r *RingRx) Violation() (v Violation, err error) {
	_, err = r.do(func() C.int {
		var at C.uint32_t
		v = Violation{Reason(C.vmb_rx_reason(r.raw, &at)), uint32(at)}
		return 0
	})
	return
}

// End gives the half back, and says where it stands. What was not released comes again.
func (r *RingRx) End() (Cursor, error) {
	var at C.struct_vmb_cursor
	_, err := r.do(func() C.int {
		n := C.vmb_rx_end(r.raw, &at)
		C.free(r.mem)
		release(r.memory)
		r.raw, r.mem = nil, nil
		return n
	})
	return goCursor(&at), err
}

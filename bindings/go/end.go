// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"context"
	"errors"
	"math"
	"runtime/cgo"
	"slices"
	"sync"
	"time"
	"unsafe"
)

// Events that nobody takes stay in the library beyond so many: it forgets none, and needs no memory for them.
const queueMost = 4096

// What both ends of a bus have. mu serialises [control]; life keeps the end alive for [any].
type end struct {
	callbacks
	mu    sync.Mutex
	life  sync.RWMutex
	ended bool // by mu and life
	over  chan struct{}

	mem  unsafe.Pointer
	ctx  *C.struct_vmbgo_ctx
	self cgo.Handle
	ram  *RAM

	poll     func(now C.uint64_t, ev *C.struct_vmb_event) C.int
	give     func(ch Handle) C.int // a channel back
	start    time.Time
	channels map[Handle]*Channel // not over yet; by mu
	leaked   []*Channel          // their memory is the host's until the guest is disconnected
	wakes    sync.Map            // uint64 to *Channel: what wake says of them
	waiters  []*waiter
	queue    []Event
	poked    chan struct{}
	deadline C.uint64_t
	tracer   Tracer
}

// Somebody who waits for an event: the first for which want says yes.
type waiter struct {
	want   func(*Event) bool
	got    chan Event
	anyway bool // waits on after a panic in a callback
}

func (e *end) init(owner any, ram *RAM) error {
	c, err := ram.use(1)
	if err != nil {
		return err
	}
	e.ram, e.start = ram, time.Now()
	e.failing = func() { poke(e.poked) }
	e.channels, e.poked, e.over = map[Handle]*Channel{}, make(chan struct{}, 1), make(chan struct{})
	e.self = cgo.NewHandle(owner)
	e.ctx = C.vmbgo_ctx_new(C.uintptr_t(e.self), c)
	if e.ctx == nil {
		e.forget()
		return ErrNoSpace
	}
	return nil
}

func (e *end) forget() {
	C.free(unsafe.Pointer(e.ctx))
	e.ctx = nil
	e.self.Delete()
	_, _ = e.ram.use(-1)
}

// lock for [control].
func (e *end) lock() error {
	if err := e.callbacks.lock(&e.mu); err != nil {
		return err
	}
	if e.ended {
		e.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// control makes one [control] call.
func (e *end) control(f func() C.int) error {
	_, err := e.controlled(f)
	return err
}

func (e *end) controlled(f func() C.int) (C.int, error) {
	if err := e.lock(); err != nil {
		return 0, err
	}
	defer e.mu.Unlock()
	r := f()
	return r, e.result(r)
}

// any makes one [any] call.
func (e *end) any(f func() C.int) (C.int, error) {
	e.life.RLock()
	defer e.life.RUnlock()
	if e.ended {
		return 0, ErrClosed
	}
	r := f()
	return r, e.result(r)
}

// finish ends it, where the library agrees or is not asked. [ErrState]: connected, or a channel is not over.
func (e *end) finish(anyway bool, call func() C.int) error {
	if err := e.lock(); err != nil {
		return err
	}
	defer e.mu.Unlock()
	e.life.Lock()
	defer e.life.Unlock()
	if len(e.channels) > 0 {
		return ErrState
	}
	if err := check(call()); err != nil && !anyway {
		return err
	}
	e.ended = true
	C.free(e.mem)
	e.free()
	e.forget()
	close(e.over)
	return nil
}

func (e *end) free() {
	for _, ch := range e.leaked {
		ch.release()
	}
	e.leaked = nil
}

// ---- events

// pump takes events out of the library, and gives each to who waits for it. Below mu.
func (e *end) pump() error {
	for len(e.queue) < queueMost {
		var ev Event
		r := e.poll(C.uint64_t(time.Since(e.start))+1, &ev.c)
		if r < 0 {
			return check(r)
		}
		e.deadline = ev.c.deadline
		if r == 0 {
			return nil
		}
		e.see(&ev)
		if !e.deliver(ev) {
			e.queue = append(e.queue, ev)
		}
	}
	return nil
}

func (e *end) see(ev *Event) {
	switch ev.Kind() {
	case EventClosed:
		if ch := e.channels[ev.Handle()]; ch != nil {
			delete(e.channels, ev.Handle())
			e.wakes.CompareAndDelete(ch.user, ch)
			ch.finish(ev.Err())
			if errors.Is(ch.status, ErrLeak) {
				e.leaked = append(e.leaked, ch)
			}
		}
	case EventDisconnected:
		if ev.Err() == nil {
			e.free()
		}
	}
}

func (e *end) deliver(ev Event) bool {
	for i, w := range e.waiters {
		if w.want(&ev) {
			e.waiters = append(e.waiters[:i:i], e.waiters[i+1:]...)
			w.got <- ev
			return true
		}
	}
	return false
}

// begin makes a [control] call, after which an event will come. anyway: even after a panic in a callback.
func (e *end) begin(anyway bool, want func(*Event) bool, call func() C.int) (*waiter, error) {
	if err := e.lock(); err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	w := &waiter{want, make(chan Event, 1), anyway}
	// An operation begins before those that wait for just any event.
	e.waiters = append([]*waiter{w}, e.waiters...)
	r := call()
	err := check(r)
	if !anyway && err == nil {
		err = e.result(r)
	}
	if err != nil {
		e.drop(w)
		return nil, err
	}
	return w, nil
}

func (e *end) drop(w *waiter) {
	for i := range e.waiters {
		if e.waiters[i] == w {
			e.waiters = append(e.waiters[:i:i], e.waiters[i+1:]...)
			return
		}
	}
}

// wait waits for the waiter's event, and keeps the end going meanwhile.
func (e *end) wait(ctx context.Context, w *waiter) (Event, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := e.lock(); err != nil {
			return Event{}, err
		}
		err := e.pump()
		if err == nil && !w.anyway {
			err = e.result(0)
		}
		if err != nil {
			e.drop(w)
		}
		deadline, others := e.deadline, len(e.waiters) > 0
		e.mu.Unlock()
		select {
		case ev := <-w.got:
			if others {
				poke(e.poked) // somebody else has to keep the end going
			}
			return ev, nil
		default:
		}
		if err != nil {
			if others {
				poke(e.poked)
			}
			return Event{}, err
		}
		timer.Reset(e.until(deadline))
		select {
		case ev := <-w.got:
			if others {
				poke(e.poked)
			}
			return ev, nil
		case <-e.poked:
		case <-timer.C:
		case <-e.over:
			return Event{}, ErrClosed
		case <-ctx.Done():
			return e.giveUp(ctx, w)
		}
	}
}

func (e *end) until(deadline C.uint64_t) time.Duration {
	if deadline > math.MaxInt64 {
		return time.Hour
	}
	return min(max(time.Duration(deadline)-time.Since(e.start), 0), time.Hour)
}

func (e *end) giveUp(ctx context.Context, w *waiter) (Event, error) {
	e.mu.Lock()
	e.drop(w)
	others := len(e.waiters) > 0
	e.mu.Unlock()
	if others {
		poke(e.poked)
	}
	select {
	case ev := <-w.got: // just now
		return ev, nil
	default:
		return Event{}, ctx.Err()
	}
}

// do is begin and wait, and the event's own error.
func (e *end) do(ctx context.Context, want func(*Event) bool, call func() C.int) (Event, error) {
	return e.finishing(ctx, false, want, call)
}

func (e *end) finishing(ctx context.Context, anyway bool, want func(*Event) bool, call func() C.int) (Event, error) {
	w, err := e.begin(anyway, want, call)
	if err != nil {
		return Event{}, err
	}
	ev, err := e.wait(ctx, w)
	if err == nil {
		err = ev.Err()
	}
	if err == nil && !anyway {
		err = e.result(0)
	}
	return ev, err
}

// next is the next event that no call waits for.
func (e *end) next(ctx context.Context) (Event, error) {
	if err := e.lock(); err != nil {
		return Event{}, err
	}
	err := e.pump()
	if len(e.queue) > 0 && err == nil {
		ev := e.queue[0]
		e.queue = slices.Delete(e.queue, 0, 1)
		e.mu.Unlock()
		return ev, nil
	}
	if err == nil {
		err = e.result(0)
	}
	if err != nil {
		e.mu.Unlock()
		return Event{}, err
	}
	w := &waiter{func(*Event) bool { return true }, make(chan Event, 1), false}
	e.waiters = append(e.waiters, w)
	e.mu.Unlock()
	return e.wait(ctx, w)
}

func of(kind EventKind, ch Handle) func(*Event) bool {
	return func(ev *Event) bool { return ev.Kind() == kind && ev.Handle() == ch }
}

// ---- channels

// closeChannel gives a channel back whose halves are here, and waits until it is over.
func (e *end) closeChannel(ctx context.Context, ch *Channel) error {
	w, err := e.begin(true, of(EventClosed, ch.handle), func() C.int { return e.give(ch.handle) })
	if err != nil {
		return err // it has been released meanwhile, which closes it, too
	}
	_, err = e.wait(ctx, w)
	return err
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmbgo_thread
// #cgo nocallback vmbgo_thread
// #include "shim.h"
import "C"

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// What callbacks of one end, or of a channel without one, have in common. A callback runs on the goroutine, and so on the thread, of the call that it
// is made for: a lock that it would wait for is then one that it holds.
type callbacks struct {
	inside  [16]atomic.Uintptr // threads that are in a callback; more than these are not looked after
	failed  atomic.Pointer[PanicError]
	failing func() // wakes who waits; may be nil
}

// In a callback of this thread?
func (c *callbacks) here() bool {
	var me uintptr
	for i := range c.inside {
		if t := c.inside[i].Load(); t != 0 {
			if me == 0 {
				me = uintptr(C.vmbgo_thread())
			}
			if t == me {
				return true
			}
		}
	}
	return false
}

// lock takes m; [ErrReentry]: from a callback that is below it. The error of a panic, once there was one.
func (c *callbacks) lock(m *sync.Mutex) error {
	if !m.TryLock() {
		if c.here() {
			return ErrReentry
		}
		m.Lock()
	}
	return nil
}

// result of a call of the library: an error of its own, or that of a callback.
func (c *callbacks) result(r C.int) error {
	if p := c.failed.Load(); p != nil {
		return p
	}
	return check(r)
}

// call runs a callback. false: it panicked, and nothing of that gets out.
func (c *callbacks) call(thread C.uintptr_t, name string, f func()) (ok bool) {
	at := -1
	for i := range c.inside {
		if c.inside[i].CompareAndSwap(0, uintptr(thread)) {
			at = i
			break
		}
	}
	defer func() {
		if at >= 0 {
			c.inside[at].Store(0)
		}
		if !ok {
			c.failed.CompareAndSwap(nil, &PanicError{name, recover(), debug.Stack()})
			if c.failing != nil {
				c.failing()
			}
		}
	}()
	f()
	return true
}

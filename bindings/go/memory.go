// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_synic_post
// #cgo nocallback vmb_synic_post
// #cgo noescape vmb_synic_set
// #cgo nocallback vmb_synic_set
// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"sync"
	"syscall"
	"unsafe"
)

// Memory is pages that the process has by mmap: guest memory, or that of rings. The peer writes there at any time, so that it is never of the Go
// heap. Any goroutine may use it.
type Memory struct {
	mu    sync.Mutex
	bytes []byte // nil: closed
	users int    // what keeps it mapped
}

// NewMemory has so many pages of its own, all 0, shared with child processes.
func NewMemory(pages int) (*Memory, error) { return newMemory(-1, pages, syscall.MAP_ANON) }

// MapMemory has the first pages of a file: of a memfd that another process has, too.
func MapMemory(fd, pages int) (*Memory, error) { return newMemory(fd, pages, 0) }

func newMemory(fd, pages, flags int) (*Memory, error) {
	if pages <= 0 || pages > int(^uint(0)>>1)/Page {
		return nil, ErrInvalid
	}
	b, err := syscall.Mmap(fd, 0, pages*Page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|flags)
	if err != nil {
		return nil, err
	}
	return &Memory{bytes: b}, nil
}

// Bytes is all of it; not to be used after Close. The peer may write there meanwhile.
func (m *Memory) Bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// Pages is how many pages it has; 0 once it is closed.
func (m *Memory) Pages() int { return len(m.Bytes()) / Page }

// Close unmaps it. [ErrState]: an end, a channel, a ring or a [RAM] uses it.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes == nil {
		return ErrClosed
	}
	if m.users > 0 {
		return ErrState
	}
	err := syscall.Munmap(m.bytes)
	m.bytes = nil
	return err
}

// Use so many pages from page on: keeps it mapped until done.
func (m *Memory) use(page, pages int) (unsafe.Pointer, error) {
	if m == nil {
		return nil, ErrInvalid
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes == nil {
		return nil, ErrClosed
	}
	if all := len(m.bytes) / Page; page < 0 || pages <= 0 || page > all || pages > all-page {
		return nil, ErrInvalid
	}
	m.users++
	return unsafe.Pointer(&m.bytes[page*Page]), nil
}

func (m *Memory) done() {
	if m != nil {
		m.mu.Lock()
		m.users--
		m.mu.Unlock()
	}
}

// MemoryPage is one page of a [Memory]: what a [Mapper] gives.
type MemoryPage struct{ at unsafe.Pointer }

// Page is page n of it. It is valid until Close.
func (m *Memory) Page(n int) (MemoryPage, error) {
	p, err := m.use(n, 1)
	if err != nil {
		return MemoryPage{}, err
	}
	m.done()
	return MemoryPage{p}, nil
}

// Region is where memory lies in the guest.
type Region struct {
	GPA    uint64 // a multiple of Page
	Memory *Memory
}

// RAM is guest memory: what a host maps rings from, and what page lists name. Any goroutine may use it.
type RAM struct {
	life    sync.RWMutex
	c       *C.struct_vmbgo_ram
	regions []Region
	users   int
}

// NewRAM is of regions that do not overlap. They stay mapped until Close.
func NewRAM(regions ...Region) (*RAM, error) {
	r := &RAM{regions: append([]Region(nil), regions...)}
	if r.c = C.vmbgo_ram_new(C.uint32_t(len(regions))); r.c == nil {
		return nil, ErrNoSpace
	}
	for i, at := range regions {
		pages := 0
		if at.Memory != nil {
			pages = at.Memory.Pages()
		}
		p, err := at.Memory.use(0, pages)
		if err == nil && (at.GPA%Page != 0 || r.overlap(i, pages)) {
			at.Memory.done()
			err = ErrInvalid
		}
		if err != nil {
			r.regions = r.regions[:i]
			_ = r.Close()
			return nil, err
		}
		C.vmbgo_ram_set(r.c, C.uint32_t(i), C.uint64_t(at.GPA/Page), C.uint64_t(pages), (*C.uint8_t)(p))
	}
	return r, nil
}

func (r *RAM) overlap(i, pages int) bool {
	end := r.regions[i].GPA + uint64(pages)*Page
	if end < r.regions[i].GPA {
		return true
	}
	for _, other := range r.regions[:i] {
		if r.regions[i].GPA < other.GPA+uint64(other.Memory.Pages())*Page && other.GPA < end {
			return true
		}
	}
	return false
}

// hold keeps it from being closed, until life.RUnlock.
func (r *RAM) hold() error {
	if r == nil {
		return ErrInvalid
	}
	r.life.RLock()
	if r.c == nil {
		r.life.RUnlock()
		return ErrClosed
	}
	return nil
}

// Close lets its memory go. [ErrState]: a host uses it.
func (r *RAM) Close() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.c == nil {
		return ErrClosed
	}
	if r.users > 0 {
		return ErrState
	}
	for _, at := range r.regions {
		at.Memory.done()
	}
	C.free(unsafe.Pointer(r.c))
	r.c = nil
	return nil
}

// A host keeps it, by +1, until it ends.
func (r *RAM) use(n int) (*C.struct_vmbgo_ram, error) {
	if r == nil {
		return nil, nil
	}
	r.life.Lock()
	defer r.life.Unlock()
	if r.c == nil {
		return nil, ErrClosed
	}
	r.users += n
	return r.c, nil
}

// SINT is the message slot and the event flags that one SINT of one VP has. Any goroutine may use it.
type SINT struct {
	life        sync.RWMutex
	memory      *Memory
	slot, flags unsafe.Pointer
}

// NewSINT is SINT number sint, 0...15, of a message page and an event-flags page. It keeps the memory mapped until Close.
func NewSINT(m *Memory, messages, flags int, sint uint32) (*SINT, error) {
	if sint > 15 {
		return nil, ErrInvalid
	}
	slot, err := m.use(messages, 1)
	if err != nil {
		return nil, err
	}
	event, err := m.use(flags, 1)
	m.done() // one use is enough
	if err != nil {
		return nil, err
	}
	return &SINT{memory: m, slot: unsafe.Add(slot, sint*256), flags: unsafe.Add(event, sint*256)}, nil
}

// Close lets its memory go.
func (s *SINT) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.memory == nil {
		return ErrClosed
	}
	s.memory.done()
	s.memory, s.slot, s.flags = nil, nil, nil
	return nil
}

// Post is the host's: writes one message; one caller at a time. nil: raise the SINT. [ErrAgain]: the slot is occupied, the guest will write
// end-of-message when it is free.
func (s *SINT) Post(message []byte) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.memory == nil {
		return ErrClosed
	}
	return check(C.vmb_synic_post(s.slot, unsafe.Pointer(unsafe.SliceData(message)), C.uint32_t(len(message))))
}

// Set is the host's: sets an event flag, 0...2047. true: raise the SINT.
func (s *SINT) Set(flag uint32) (bool, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.memory == nil {
		return false, ErrClosed
	}
	r := C.vmb_synic_set(s.flags, C.uint32_t(flag))
	return r > 0, check(r)
}

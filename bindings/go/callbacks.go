// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #include "shim.h"
import "C"

import (
	"errors"
	"runtime/cgo"
	"unsafe"
)

func guestOf(h C.uintptr_t) *Guest { return cgo.Handle(h).Value().(*Guest) }

func hostOf(h C.uintptr_t) *Host { return cgo.Handle(h).Value().(*Host) }

func endOf(h C.uintptr_t) *end {
	switch of := cgo.Handle(h).Value().(type) {
	case *Guest:
		return &of.end
	case *Host:
		return &of.end
	}
	return nil
}

func goBytes(p *C.uint8_t, n C.uint32_t) []byte { return unsafe.Slice((*byte)(p), int(n)) }

//export goPost
func goPost(h, thread C.uintptr_t, connection C.uint32_t, payload *C.uint8_t, n C.uint32_t) C.int {
	g, status := guestOf(h), uint16(StatusInvalidParameter)
	g.call(thread, "Post", func() { status = g.platform.Post(uint32(connection), goBytes(payload, n)) })
	return C.int(status)
}

//export goSignal
func goSignal(h, thread C.uintptr_t, connection, flag C.uint32_t) C.int {
	g := guestOf(h)
	g.call(thread, "Signal", func() { g.platform.Signal(uint32(connection), uint32(flag)) })
	return 0
}

//export goWake
func goWake(h C.uintptr_t, user C.uint64_t) {
	if ch, ok := endOf(h).wakes.Load(uint64(user)); ok {
		ch.(*Channel).woken()
	}
}

//export goPoke
func goPoke(h C.uintptr_t) { poke(endOf(h).poked) }

//export goMonitor
func goMonitor(h, thread C.uintptr_t, first, second C.uint64_t, page *unsafe.Pointer) C.int {
	g := guestOf(h)
	r := C.int(C.VMB_EMAP)
	g.call(thread, "MapMonitor", func() {
		pages, err := g.platform.(MonitorMapper).MapMonitor([2]uint64{uint64(first), uint64(second)})
		if err == nil && (first == 0 || pages[0].at != nil) && pages[1].at != nil {
			to := unsafe.Slice(page, 2)
			to[0], to[1] = pages[0].at, pages[1].at
			r = 0
		}
	})
	return r
}

//export goTrace
func goTrace(h, thread C.uintptr_t, what *C.struct_vmb_trace) {
	e := endOf(h)
	e.call(thread, "Trace", func() {
		e.tracer.Trace(Trace{uint32(what.point), Handle(what.ch), uint32(what.channel), uint32(what.gpadl),
			[4]uint32{uint32(what.a), uint32(what.b), uint32(what.c), uint32(what.d)}})
	})
}

//export goMessage
func goMessage(h, thread C.uintptr_t, vp, vtl, sint C.uint32_t, payload *C.uint8_t, n C.uint32_t) C.int {
	t := hostOf(h)
	var err error = ErrPlatform
	t.call(thread, "Message", func() { err = t.platform.Message(uint32(vp), uint32(vtl), uint32(sint), goBytes(payload, n)) })
	return codeOf(err, ErrPlatform)
}

// What the library is told of an error.
func codeOf(err error, other Error) C.int {
	var e Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e) && e < 0:
		return C.int(e)
	}
	return C.int(other)
}

//export goInterrupt
func goInterrupt(h, thread C.uintptr_t, vp, vtl, sint, flag C.uint32_t) {
	t := hostOf(h)
	t.call(thread, "Interrupt", func() { t.platform.Interrupt(uint32(vp), uint32(vtl), uint32(sint), uint32(flag)) })
}

// A mapper's numbers and pages. Slices of C memory, for the call.
func mapped(pfns *C.uint64_t, n C.uint32_t, pages *unsafe.Pointer) ([]uint64, []MemoryPage) {
	return unsafe.Slice((*uint64)(pfns), int(n)), unsafe.Slice((*MemoryPage)(unsafe.Pointer(pages)), int(n))
}

//export goMap
func goMap(h, thread C.uintptr_t, pfns *C.uint64_t, n, flags C.uint32_t, pages *unsafe.Pointer) C.int {
	t, r := hostOf(h), C.int(C.VMB_EMAP)
	t.call(thread, "Map", func() {
		numbers, to := mapped(pfns, n, pages)
		at := make([]MemoryPage, n)
		if t.mapper.Map(numbers, MapFlags(flags), at) != nil {
			return
		}
		for _, p := range at {
			if p.at == nil {
				return
			}
		}
		copy(to, at)
		r = 0
	})
	return r
}

//export goUnmap
func goUnmap(h, thread C.uintptr_t, pfns *C.uint64_t, n, flags C.uint32_t, pages *unsafe.Pointer) {
	t := hostOf(h)
	t.call(thread, "Unmap", func() {
		numbers, from := mapped(pfns, n, pages)
		t.mapper.Unmap(numbers, MapFlags(flags), append([]MemoryPage(nil), from...))
	})
}

//export goChannelSignal
func goChannelSignal(h, thread C.uintptr_t) {
	ch := cgo.Handle(h).Value().(*Channel)
	ch.calls.call(thread, "Signal", ch.signal)
}

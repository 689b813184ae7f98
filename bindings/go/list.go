// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmbgo_list_check
// #cgo nocallback vmbgo_list_check
// #cgo noescape vmbgo_list_next
// #cgo nocallback vmbgo_list_next
// #cgo noescape vmbgo_list_move
// #cgo nocallback vmbgo_list_move
// #cgo noescape vmbgo_list_build
// #cgo nocallback vmbgo_list_build
// #cgo noescape vmbgo_packet_move
// #cgo nocallback vmbgo_packet_move
// #cgo noescape vmbgo_packet_bytes
// #cgo nocallback vmbgo_packet_bytes
// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"
)

// List names guest memory: for each range one word [RangeWord], then the numbers of its pages.
type List struct {
	Words  []uint64
	Ranges uint32
}

// RangeWord is the word that begins a range of so many bytes, from offset of its first page on.
func RangeWord(bytes, offset uint32) uint64 { return uint64(offset)<<32 | uint64(bytes) }

// Piece is guest memory in a row.
type Piece struct{ GPA, Bytes uint64 }

// Range is one range of a list.
type Range struct {
	Bytes  uint32
	Offset uint32 // into the first page
	PFNs   []uint64
}

// BuildList names pieces of guest memory; neighbours merge. [ErrInvalid]: no piece, or an empty one.
func BuildList(pieces ...Piece) (List, error) {
	c := make([]C.struct_vmb_piece, len(pieces))
	for i, p := range pieces {
		c[i] = C.struct_vmb_piece{address: C.uint64_t(p.GPA), bytes: C.uint64_t(p.Bytes)}
	}
	var count, ranges C.uint32_t
	words := make([]uint64, 2*len(pieces)+16)
	for {
		err := check(C.vmbgo_list_build(unsafe.SliceData(c), C.uint32_t(len(c)), cWords(words), C.uint32_t(len(words)), &count, &ranges))
		if errors.Is(err, ErrNoSpace) && int(count) > len(words) {
			words = make([]uint64, count)
			continue
		}
		if err != nil {
			return List{}, err
		}
		return List{words[:count], uint32(ranges)}, nil
	}
}

func cWords(w []uint64) *C.uint64_t { return (*C.uint64_t)(unsafe.SliceData(w)) }

func cBytes(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// Check checks a list that came from outside, cuts off what is behind its last range, and tells how many bytes it names. [ErrInvalid].
func (l *List) Check() (bytes uint64, err error) {
	var used C.uint32_t
	var sum C.uint64_t
	if err = check(C.vmbgo_list_check(cWords(l.Words), C.uint32_t(len(l.Words)), C.uint32_t(l.Ranges), &used, &sum)); err == nil {
		l.Words = l.Words[:used]
	}
	return uint64(sum), err
}

// All are its ranges. [ErrInvalid]: it is no list.
func (l List) All() (all []Range, err error) {
	var cursor, bytes, offset, pages C.uint32_t
	for {
		r := C.vmbgo_list_next(cWords(l.Words), C.uint32_t(len(l.Words)), C.uint32_t(l.Ranges), &cursor, &bytes, &offset, &pages)
		if r <= 0 {
			return all, check(r)
		}
		all = append(all, Range{uint32(bytes), uint32(offset), l.Words[uint32(cursor)-uint32(pages) : cursor]})
	}
}

func (l List) move(how C.int, r *RAM, offset uint64, b []byte) (C.int, error) {
	if err := r.hold(); err != nil {
		return 0, err
	}
	defer r.life.RUnlock()
	n := C.vmbgo_list_move(how, cWords(l.Words), C.uint32_t(len(l.Words)), C.uint32_t(l.Ranges), r.c, C.uint64_t(offset), cBytes(b),
		C.uint32_t(len(b)))
	return n, check(n)
}

// Read copies bytes of the memory that the list names, from offset on. [ErrInvalid]: they do not all lie within it; [ErrMap]: r has no such page.
func (l List) Read(r *RAM, offset uint64, to []byte) error {
	_, err := l.move(C.VMBGO_READ, r, offset, to)
	return err
}

// Write copies bytes there.
func (l List) Write(r *RAM, offset uint64, from []byte) error {
	_, err := l.move(C.VMBGO_WRITE, r, offset, from)
	return err
}

// Equal compares bytes there.
func (l List) Equal(r *RAM, offset uint64, with []byte) (bool, error) {
	n, err := l.move(C.VMBGO_COMPARE, r, offset, with)
	return err == nil && n == 0, err
}

// ExternalBytes is how many bytes of external memory the packet names; 0 for kinds that name none.
func (p *Packet) ExternalBytes() uint64 {
	c := p.c()
	return uint64(C.vmbgo_packet_bytes(&c, cWords(p.List.Words)))
}

func (p *Packet) move(how C.int, r *RAM, set *List, offset uint64, b []byte) (C.int, error) {
	if err := r.hold(); err != nil {
		return 0, err
	}
	defer r.life.RUnlock()
	if set == nil {
		set = new(List)
	}
	c := p.c()
	n := C.vmbgo_packet_move(how, &c, cWords(p.List.Words), cWords(set.Words), C.uint32_t(len(set.Words)), C.uint32_t(set.Ranges), r.c,
		C.uint64_t(offset), cBytes(b), C.uint32_t(len(b)))
	return n, check(n)
}

// ReadExternal copies bytes of the external memory of a received packet, from offset on. set: of a transfer-page packet, the list of the GPADL
// that its set was made of; else nil.
func (p *Packet) ReadExternal(r *RAM, set *List, offset uint64, to []byte) error {
	_, err := p.move(C.VMBGO_READ, r, set, offset, to)
	return err
}

// WriteExternal copies bytes there.
func (p *Packet) WriteExternal(r *RAM, set *List, offset uint64, from []byte) error {
	_, err := p.move(C.VMBGO_WRITE, r, set, offset, from)
	return err
}

// EqualExternal compares bytes there.
func (p *Packet) EqualExternal(r *RAM, set *List, offset uint64, with []byte) (bool, error) {
	n, err := p.move(C.VMBGO_COMPARE, r, set, offset, with)
	return err == nil && n == 0, err
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_message_check
// #cgo nocallback vmb_message_check
// #cgo noescape vmb_message_field
// #cgo nocallback vmb_message_field
// #cgo noescape vmb_message_init
// #cgo nocallback vmb_message_init
// #cgo noescape vmb_message_set
// #cgo nocallback vmb_message_set
// #cgo noescape vmb_packet_field
// #cgo nocallback vmb_packet_field
// #include "shim.h"
// #include <stdlib.h>
import "C"

import "unsafe"

// Message is the bytes of one control message.
type Message []byte

// Dialect is by what a message is read: a version and its features. The zero value reads it by its length.
type Dialect struct {
	Version  Version
	Features Features
}

// FieldKind is the kind of a field.
type FieldKind uint32

// Kinds of fields.
const (
	FieldNumber FieldKind = C.VMB_FIELD_NUMBER
	FieldGUID   FieldKind = C.VMB_FIELD_GUID
	FieldBytes  FieldKind = C.VMB_FIELD_BYTES
	FieldGPA    FieldKind = C.VMB_FIELD_GPA   // a number: a guest-physical address
	FieldPFN    FieldKind = C.VMB_FIELD_PFN   // a number: a page frame number
	FieldRange  FieldKind = C.VMB_FIELD_RANGE // a number: RangeWord
)

// Field is one named field of a message or a packet.
type Field struct {
	Name          string
	Value         uint64 // of numbers
	Offset, Bytes int    // where it lies
	Kind          FieldKind
}

func goField(c *C.struct_vmb_field) Field {
	return Field{C.GoString(c.name), uint64(c.value), int(c.offset), int(c.bytes), FieldKind(c.kind)}
}

// MessageName is the name of a message type: "OPEN_CHANNEL"; "?" for others.
func MessageName(typ uint32) string { return C.GoString(C.vmb_message_name(C.uint32_t(typ))) }

// MessageSize is the bytes of the form of a type that a sender uses in a dialect. [ErrInvalid]: no such type; [ErrVersion]: not in this one.
func MessageSize(typ uint32, d Dialect) (int, error) {
	r := C.vmb_message_size(C.uint32_t(typ), C.uint32_t(d.Version), C.uint32_t(d.Features))
	return int(max(r, 0)), check(r)
}

// NewMessage is the header, and zeros. Errors as MessageSize.
func NewMessage(typ uint32, d Dialect) (Message, error) {
	m := make(Message, MessageMax)
	r := C.vmb_message_init(m.at(), C.uint32_t(len(m)), C.uint32_t(typ), C.uint32_t(d.Version), C.uint32_t(d.Features))
	return m[:max(r, 0)], check(r)
}

func (m Message) at() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m)) }

// Check says whether this is a message that an end may act on. [ErrPeer]: unknown type, or short; [ErrVersion]; [ErrInvalid]: the other direction.
func (m Message) Check(d Dialect, toHost bool) error {
	var to C.int
	if toHost {
		to = 1
	}
	return check(C.vmb_message_check(m.at(), C.uint32_t(len(m)), C.uint32_t(d.Version), C.uint32_t(d.Features), to))
}

// Fields are the fields of a message, as many as lie within it. For any bytes.
func (m Message) Fields(d Dialect) (all []Field) {
	var c C.struct_vmb_field
	for C.vmb_message_field(m.at(), C.uint32_t(len(m)), C.uint32_t(d.Version), C.uint32_t(d.Features), C.uint32_t(len(all)), &c) > 0 {
		all = append(all, goField(&c))
	}
	return
}

// Set sets the number called name. [ErrNotFound]: there is none; [ErrInvalid]: it does not fit.
func (m Message) Set(d Dialect, name string, value uint64) error {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return check(C.vmb_message_set(m.at(), C.uint32_t(len(m)), C.uint32_t(d.Version), C.uint32_t(d.Features), c, C.uint64_t(value)))
}

// PacketFields are the fields of a whole ring packet, from its descriptor on. For any bytes.
func PacketFields(packet []byte) (all []Field) {
	var c C.struct_vmb_field
	for C.vmb_packet_field(unsafe.Pointer(unsafe.SliceData(packet)), C.uint32_t(len(packet)), C.uint32_t(len(all)), &c) > 0 {
		all = append(all, goField(&c))
	}
	return
}

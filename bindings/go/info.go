// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Tracer is a platform that sees what its end does, as it does it. It is called in the middle of a change: it looks and returns.
type Tracer interface{ Trace(what Trace) }

// Trace is one thing that an end does. doc/trace-points.txt has the list; [Name] has the words.
type Trace struct {
	Point          uint32
	Handle         Handle
	Channel, GPADL uint32    // ids on the wire
	Args           [4]uint32 // by the point
}

// BusInfo is what an end counts.
type BusInfo struct {
	State                                  uint32 // see Name with NamesBus
	Version                                Version
	Features                               Features
	Channels, Attached, GPADLs, GPADLPages uint32
	MessageVP, Queued                      uint32
	MessagesIn, MessagesOut, Dropped       uint64
	RefusedQuota, PostRetries, StrayEvents uint64
	LateAnswers                            uint64
	MonitorGPA                             [2]uint64
	ClientID                               GUID
	Paused, Trusted                        bool
	Fate                                   [16]uint64 // messages that came, by what became of them
	PostFailed, OverBudget                 uint64
	QueuedMost, Events, EventsMost         uint32
}

func (e *end) info(f func(c *C.struct_vmb_bus_info) C.int) (BusInfo, error) {
	c := C.struct_vmb_bus_info{size: C.sizeof_struct_vmb_bus_info}
	err := e.control(func() C.int { return f(&c) })
	i := BusInfo{State: uint32(c.state), Version: Version(c.version), Features: Features(c.features), Channels: uint32(c.channels),
		Attached: uint32(c.attached), GPADLs: uint32(c.gpadls), GPADLPages: uint32(c.gpadl_pages), MessageVP: uint32(c.message_vp),
		Queued: uint32(c.queued), MessagesIn: uint64(c.messages_in), MessagesOut: uint64(c.messages_out), Dropped: uint64(c.dropped),
		RefusedQuota: uint64(c.refused_quota), PostRetries: uint64(c.post_retries), StrayEvents: uint64(c.stray_events),
		LateAnswers: uint64(c.late_answers), MonitorGPA: [2]uint64{uint64(c.monitor_gpa[0]), uint64(c.monitor_gpa[1])},
		ClientID: goGUID(&c.client_id), Paused: c.paused != 0, Trusted: c.trusted != 0, PostFailed: uint64(c.post_failed),
		OverBudget: uint64(c.over_budget), QueuedMost: uint32(c.queued_most), Events: uint32(c.events), EventsMost: uint32(c.events_most)}
	for n := range i.Fate {
		i.Fate[n] = uint64(c.fate[n])
	}
	return i, err
}

// PartKind is the kind of a part.
type PartKind uint32

// Kinds of parts.
const (
	PartConnection PartKind = C.VMB_PART_CONNECTION
	PartChannel    PartKind = C.VMB_PART_CHANNEL
	PartGPADL      PartKind = C.VMB_PART_GPADL
)

// Part is one part of an end, for people to look at.
type Part struct {
	Kind                            PartKind
	State                           uint32 // see Name with NamesBus, NamesState or NamesList
	Flags                           uint32 // see Name with NamesHas
	Device                          uint32 // host, channel: see Name with NamesDevice
	Handle                          Handle
	Channel, GPADL                  uint32 // ids on the wire
	Subchannel, MonitorID, TargetVP uint32
	EventFlag, ConnectionID         uint32
	Opens, Refused, Closes, Lost    uint32
	Words, Ranges, Held             uint32
	Class, Instance                 GUID
}

func (e *end) snapshot(f func(cursor *C.uint32_t, c *C.struct_vmb_part) C.int) (all []Part, err error) {
	err = e.control(func() (r C.int) {
		var cursor C.uint32_t
		for {
			c := C.struct_vmb_part{size: C.sizeof_struct_vmb_part}
			if r = f(&cursor, &c); r <= 0 {
				return
			}
			all = append(all, Part{Kind: PartKind(c.kind), State: uint32(c.state), Flags: uint32(c.flags), Device: uint32(c.device),
				Handle: Handle(c.ch), Channel: uint32(c.channel), GPADL: uint32(c.gpadl), Subchannel: uint32(c.subchannel),
				MonitorID: uint32(c.monitor_id), TargetVP: uint32(c.target_vp), EventFlag: uint32(c.event_flag),
				ConnectionID: uint32(c.connection_id), Opens: uint32(c.opens), Refused: uint32(c.refused), Closes: uint32(c.closes),
				Lost: uint32(c.lost), Words: uint32(c.words), Ranges: uint32(c.ranges), Held: uint32(c.held),
				Class: goGUID(&c.class_id), Instance: goGUID(&c.instance)})
		}
	})
	return
}

func (e *end) save(f func(buf unsafe.Pointer, n C.size_t, used *C.size_t) C.int) ([]byte, error) {
	var out []byte
	err := e.control(func() C.int {
		var used C.size_t
		r := f(nil, 0, &used)
		if err := check(r); err != nil && !errors.Is(err, ErrTooSmall) {
			return r
		}
		out = make([]byte, max(used, 1))
		r = f(unsafe.Pointer(&out[0]), C.size_t(len(out)), &used)
		out = out[:used]
		return r
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

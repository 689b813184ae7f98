// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #include "shim.h"
import "C"

import "fmt"

// Handle names a channel on an end. Never used again while the end lives: a stale one gives [ErrHandle]. 0 is none.
type Handle uint32

// EventKind is what an event is about.
type EventKind uint32

// Events.
const (
	EventConnected    EventKind = C.VMB_EV_CONNECTED    // guest: the host answered. Host: a guest has made contact
	EventDisconnected EventKind = C.VMB_EV_DISCONNECTED // guest: over, no memory is the host's any more. Host: the guest left
	EventOffer        EventKind = C.VMB_EV_OFFER        // guest: a new channel: open it or release it
	EventOffersDone   EventKind = C.VMB_EV_OFFERS_DONE  // guest: that was all there is today
	EventOpen         EventKind = C.VMB_EV_OPEN         // host, a question: attach, or answer why not
	EventOpened       EventKind = C.VMB_EV_OPENED       // guest: an open worked, or why not
	EventRescinded    EventKind = C.VMB_EV_RESCINDED    // guest: the device is gone: close, then release
	EventClose        EventKind = C.VMB_EV_CLOSE        // host, a question: close the channel
	EventClosed       EventKind = C.VMB_EV_CLOSED       // a channel is over
	EventGone         EventKind = C.VMB_EV_GONE         // the last event of this handle
	EventGPADL        EventKind = C.VMB_EV_GPADL        // guest: a GPADL was created, or it is over
	EventGPADLDown    EventKind = C.VMB_EV_GPADL_DOWN   // guest: its memory is yours again. Host, a question if it is held: release it
	EventTarget       EventKind = C.VMB_EV_TARGET       // guest: no interrupt comes to the old VP
	EventReset        EventKind = C.VMB_EV_RESET        // host: the reset is done
	EventMonitor      EventKind = C.VMB_EV_MONITOR      // guest: other monitor pages are in use
	EventPaused       EventKind = C.VMB_EV_PAUSED       // guest: no message comes before Resume
	EventHvsock       EventKind = C.VMB_EV_HVSOCK       // guest: a socket is connected, or not. Host, a question: offer a channel, or refuse
)

var eventNames = map[EventKind]string{EventConnected: "connected", EventDisconnected: "disconnected", EventOffer: "offer",
	EventOffersDone: "offers done", EventOpen: "open", EventOpened: "opened", EventRescinded: "rescinded", EventClose: "close",
	EventClosed: "closed", EventGone: "gone", EventGPADL: "gpadl", EventGPADLDown: "gpadl down", EventTarget: "target",
	EventReset: "reset", EventMonitor: "monitor", EventPaused: "paused", EventHvsock: "hvsock"}

// String is a word or two: "offers done".
func (k EventKind) String() string {
	if s, ok := eventNames[k]; ok {
		return s
	}
	return fmt.Sprintf("event %d", uint32(k))
}

// Event is what an end has to tell: a value to keep. A host's questions are answered with it.
type Event struct{ c C.struct_vmb_event }

// Kind is what it is about.
func (e Event) Kind() EventKind { return EventKind(e.c.kind) }

// Handle is the channel; 0: it is about the connection.
func (e Event) Handle() Handle { return Handle(e.c.ch) }

// Err is nil, or why it did not work.
func (e Event) Err() error { return check(C.int(e.c.status)) }

// GPADL is the GPADL that it is about.
func (e Event) GPADL() uint32 { return uint32(e.c.gpadl) }

// PeerStatus is what the wire said, with [ErrRefused]; the status of the hypercall, with [ErrPlatform].
func (e Event) PeerStatus() uint32 { return uint32(e.c.peer_status) }

// VP of [EventTarget].
func (e Event) VP() uint32 { return uint32(e.c.vp) }

// Asks says whether it wants an answer.
func (e Event) Asks() bool { return e.c.flags&C.VMB_EVF_ASK != 0 }

// Restored says whether it is told or asked again after a restore.
func (e Event) Restored() bool { return e.c.flags&C.VMB_EVF_RESTORED != 0 }

// IsOpen says, of a restored guest's offer, whether it is open: open it with the same memory to go on.
func (e Event) IsOpen() bool { return e.c.flags&C.VMB_EVF_OPEN != 0 }

// String is for logs.
func (e Event) String() string {
	s := e.Kind().String()
	if e.Handle() != 0 {
		s += fmt.Sprintf(" of %d", e.Handle())
	}
	if err := e.Err(); err != nil {
		s += ": " + err.Error()
	}
	return s
}

// OfferFlags are flags of an offer.
type OfferFlags uint32

// Flags of an offer.
const (
	OfferEnumerate     OfferFlags = C.VMB_OFFER_ENUMERATE
	OfferPrivateRing   OfferFlags = C.VMB_OFFER_PRIVATE_RING   // guest: do not make the ring visible to the host
	OfferPrivateMemory OfferFlags = C.VMB_OFFER_PRIVATE_MEMORY // guest: nor the buffers
	OfferPinned        OfferFlags = C.VMB_OFFER_PINNED
	OfferPipe          OfferFlags = C.VMB_OFFER_PIPE
	OfferHvsock        OfferFlags = C.VMB_OFFER_HVSOCK
	OfferNoMonitor     OfferFlags = C.VMB_OFFER_NO_MONITOR // host: low latency, no monitor id
	OfferRenew         OfferFlags = C.VMB_OFFER_RENEW      // host: when the guest closes it, rescind it and offer it again
)

// Offer is what a device is and wants.
type Offer struct {
	Flags              OfferFlags
	Class, Instance    GUID
	UserDefined        [120]byte // the device's
	Subchannel         uint32    // 0: primary
	MMIO, MMIOOptional uint32    // MiB, up to 65535
	Order              uint32    // host: rank among offers of one class
	MaxGPADLs          uint32    // host: live ones of this channel; 0: no limit of its own
	MaxGPADLPages      uint32    // host: pages in them; 0: no limit of its own
	ChannelID          uint32    // guest: the wire's. Host: 0, or the one wanted
	ConnectionID       uint32    // guest
	MonitorID          uint32    // guest: 0...127, or 255: none
}

func (o *Offer) c() C.struct_vmb_offer {
	c := C.struct_vmb_offer{size: C.sizeof_struct_vmb_offer, flags: C.uint32_t(o.Flags), class_id: o.Class.c(), instance: o.Instance.c(),
		subchannel: C.uint32_t(o.Subchannel), mmio_mb: C.uint32_t(o.MMIO), mmio_optional_mb: C.uint32_t(o.MMIOOptional),
		order: C.uint32_t(o.Order), max_gpadls: C.uint32_t(o.MaxGPADLs), max_gpadl_pages: C.uint32_t(o.MaxGPADLPages),
		channel_id: C.uint32_t(o.ChannelID), connection_id: C.uint32_t(o.ConnectionID), monitor_id: C.uint32_t(o.MonitorID)}
	for i, b := range o.UserDefined {
		c.user_defined[i] = C.uint8_t(b)
	}
	return c
}

func goOffer(c *C.struct_vmb_offer) Offer {
	o := Offer{Flags: OfferFlags(c.flags), Class: goGUID(&c.class_id), Instance: goGUID(&c.instance), Subchannel: uint32(c.subchannel),
		MMIO: uint32(c.mmio_mb), MMIOOptional: uint32(c.mmio_optional_mb), Order: uint32(c.order), MaxGPADLs: uint32(c.max_gpadls),
		MaxGPADLPages: uint32(c.max_gpadl_pages), ChannelID: uint32(c.channel_id), ConnectionID: uint32(c.connection_id),
		MonitorID: uint32(c.monitor_id)}
	for i, b := range c.user_defined {
		o.UserDefined[i] = byte(b)
	}
	return o
}

// HvsockFlags are flags of a socket.
type HvsockFlags uint32

// Flags of a socket.
const (
	HvsockToGuest   HvsockFlags = C.VMB_HVSOCK_TO_GUEST  // the host connects to a listener of the guest
	HvsockContainer HvsockFlags = C.VMB_HVSOCK_CONTAINER // for a container in the guest
	HvsockSilo      HvsockFlags = C.VMB_HVSOCK_SILO      // the guest knows silos
)

// Hvsock is a Hyper-V socket: a connect names a service of the other end and its own endpoint, and becomes a pipe channel offered with both.
type Hvsock struct {
	Endpoint, Service, Silo GUID
	Flags                   HvsockFlags
}

func (h *Hvsock) c() C.struct_vmb_hvsock {
	return C.struct_vmb_hvsock{endpoint: h.Endpoint.c(), service: h.Service.c(), silo: h.Silo.c(), flags: C.uint32_t(h.Flags)}
}

func goHvsock(c *C.struct_vmb_hvsock) Hvsock {
	return Hvsock{goGUID(&c.endpoint), goGUID(&c.service), goGUID(&c.silo), HvsockFlags(c.flags)}
}

// Offer is the offer of a socket's channel.
func (h *Hvsock) Offer() (Offer, error) {
	s, o := h.c(), C.struct_vmb_offer{size: C.sizeof_struct_vmb_offer}
	err := check(C.vmb_hvsock_offer(&s, &o))
	return goOffer(&o), err
}

// Hvsock is the socket that this is the offer of; [ErrNotFound]: of none.
func (o *Offer) Hvsock() (Hvsock, error) {
	var s C.struct_vmb_hvsock
	c := o.c()
	err := check(C.vmb_hvsock_of(&c, &s))
	return goHvsock(&s), err
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package main

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"libvmbus.invalid/vmbus"
)

// The hypercalls of the guest.
type hypercalls struct{}

func call(what, connection, flag uint32) []byte {
	c := make([]byte, callBytes)
	binary.NativeEndian.PutUint32(c, what)
	binary.NativeEndian.PutUint32(c[4:], connection)
	binary.NativeEndian.PutUint32(c[8:], flag)
	return c
}

func (hypercalls) Post(connection uint32, message []byte) uint16 {
	c := call(callPost, 0, 0)
	binary.LittleEndian.PutUint32(c[16:], connection)
	binary.LittleEndian.PutUint32(c[16+8:], 1)
	binary.LittleEndian.PutUint32(c[16+12:], uint32(len(message)))
	copy(c[16+16:], message)
	var status [4]byte
	err := send(c)
	if err == nil {
		var n int
		if n, err = receive(status[:]); n != len(status) && err == nil {
			err = fmt.Errorf("the host has gone")
		}
	}
	must(err, "post")
	return uint16(binary.NativeEndian.Uint32(status[:]))
}

func (hypercalls) Signal(connection, flag uint32) {
	must(send(call(callSignal, connection, flag)), "signal")
}

func guest() {
	g, err := vmbus.NewGuest(&vmbus.GuestConfig{}, hypercalls{})
	must(err, "guest")
	go func() { // the interrupt handler
		var n [8]byte
		for {
			if k, err := syscall.Read(irqFD, n[:]); err == syscall.EINTR {
				continue
			} else if k != len(n) {
				return
			}
			if g.Service(sint, func() { _ = send(call(callEOM, 0, 0)) }) != nil { // a host that has ended does not mind
				return
			}
		}
	}()
	must(g.Connect(ctx), "connect")
	info, err := g.Info()
	must(err, "info")
	if info.Version != vmbus.V6_0 {
		fail(0, 0, "not the newest version")
	}
	for part := range plan {
		h := event(g, vmbus.EventOffer)
		offer, err := g.Offer(h)
		must(err, "offer")
		if offer.Class != class || offer.Instance != instance {
			fail(part, 0, "another device was offered")
		}
		ch, err := g.Open(ctx, h, &vmbus.OpenConfig{ChannelOptions: vmbus.ChannelOptions{Requests: depth}, Memory: memory, Page: ringPage,
			GPA: ringPage * vmbus.Page, TxPages: ringPages, RxPages: ringPages})
		must(err, "open")
		exchange(ch, part)
		if part == 0 && event(g, vmbus.EventRescinded) != h {
			fail(part, plan[part], "another channel was rescinded")
		}
		must(ch.Close(ctx), "close")
		if part == 0 {
			must(g.Release(ctx, h), "release")
		}
	}
	// The channel that is closed is rescinded by this, and released.
	done := make(chan error, 1)
	go func() { done <- g.Disconnect(ctx) }()
	must(g.Release(ctx, event(g, vmbus.EventRescinded)), "release")
	must(<-done, "disconnect")
	must(g.End(), "end")
}

func event(g *vmbus.Guest, kind vmbus.EventKind) vmbus.Handle {
	for {
		ev, err := g.Next(ctx)
		must(err, "next")
		must(ev.Err(), ev.Kind().String())
		if ev.Kind() == kind {
			return ev.Handle()
		}
		if ev.Kind() != vmbus.EventOffersDone {
			must(fmt.Errorf("%v, not %v", ev, kind), "event")
		}
	}
}

// exchange keeps requests in flight, and looks at each answer.
func exchange(ch *vmbus.Channel, part int) {
	out, in := vmbus.NewBatch(depth, depth*largest), vmbus.NewInbox(depth, depth*largest)
	var sent, got uint64
	for got < plan[part] {
		if out.Len() == 0 {
			out.Reset()
		}
		for ; sent < plan[part] && sent-got < depth; sent++ {
			b := out.Reserve(vmbus.InBand, vmbus.WantsReply, 0, sent, length(sent))
			makeRequest(b, sent)
			spoil(b, part, sent)
		}
		if out.Len() > 0 {
			if _, err := ch.Sender().SendBatch(out); err != nil && err != vmbus.ErrFull && err != vmbus.ErrNoSlot {
				fail(part, sent, err)
			}
		}
		if _, err := ch.Receiver().Receive(ctx, in); err != nil {
			fail(part, got, err)
		}
		for p := range in.All() {
			if p.Kind != vmbus.Completion || p.User != got {
				fail(part, got, "the wrong packet")
			}
			compare(&p, part, got, makeCompletion)
			got++
		}
	}
}

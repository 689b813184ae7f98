// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package main

import (
	"encoding/binary"
	"errors"
	"syscall"
	"time"

	"libvmbus.invalid/vmbus"
)

// The SynIC of the guest's one VP.
type synic struct{}

func raise() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := syscall.Write(irqFD, one[:])
	must(err, "interrupt line")
}

func (synic) Message(_, _, _ uint32, message []byte) error {
	err := sint.Post(message)
	if err == nil {
		raise()
	}
	return err
}

func (synic) Interrupt(_, _, _, flag uint32) {
	if ask, _ := sint.Set(flag); ask {
		raise()
	}
}

func host() {
	ram, err := vmbus.NewRAM(vmbus.Region{Memory: memory})
	must(err, "ram")
	h, err := vmbus.NewHost(&vmbus.HostConfig{RAM: ram, VPs: 1}, synic{})
	must(err, "host")
	left := make(chan struct{})
	offer := func() vmbus.Handle {
		device, err := h.Offer(&vmbus.Offer{Class: class, Instance: instance})
		must(err, "offer")
		return device
	}
	device := offer()
	go takeCalls(h)
	opened := make(chan *vmbus.Channel)
	go func() { // control: one event at a time
		for {
			ev, err := h.Next(ctx)
			must(err, "next")
			switch ev.Kind() {
			case vmbus.EventOpen:
				ch, err := h.Attach(ev.Handle(), nil)
				must(err, "attach")
				opened <- ch
			case vmbus.EventDisconnected:
				close(left)
				return
			}
		}
	}()
	for part := range plan {
		ch := <-opened
		served := make(chan struct{})
		go func() {
			defer close(served)
			serve(ch, part)
			must(ch.Close(ctx), "detach")
		}()
		if part == 0 {
			allAnswered(ch)
			must(h.Remove(ctx, device), "remove")
			<-served
			device = offer()
		} else {
			<-served
		}
	}
	<-left
	must(h.End(), "end")
}

// takeCalls takes the guest's hypercalls.
func takeCalls(h *vmbus.Host) {
	c := make([]byte, callBytes)
	for {
		if n, err := receive(c); n <= 0 || err != nil {
			time.Sleep(2 * time.Second) // the guest has gone; if it has told us so before, this process ends meanwhile
			must(errors.New("the guest has gone"), "hypercall")
		}
		switch binary.NativeEndian.Uint32(c) {
		case callPost:
			status, err := h.Post(c[16:])
			must(err, "post")
			var answer [4]byte
			binary.NativeEndian.PutUint32(answer[:], uint32(status))
			must(send(answer[:]), "status")
		case callSignal:
			_, _ = h.Signal(binary.NativeEndian.Uint32(c[4:]), binary.NativeEndian.Uint32(c[8:])) // no if the channel has just ended
		case callEOM:
			_ = h.EOM(0)
		}
	}
}

// serve answers requests, until the channel is asked for.
func serve(ch *vmbus.Channel, part int) {
	in, out := vmbus.NewInbox(depth, depth*largest), vmbus.NewBatch(depth, depth*largest)
	var got uint64
	for {
		_, err := ch.Receiver().Receive(ctx, in)
		if err == nil {
			out.Reset()
			for p := range in.All() {
				if p.Kind != vmbus.InBand || !p.Wants() || got == plan[part] {
					fail(part, got, "the wrong packet")
				}
				compare(&p, part, got, makeRequest)
				b := out.Reserve(vmbus.Completion, 0, p.ID, 0, length(got))
				makeCompletion(b, got)
				spoil(b, part, got)
				got++
			}
			err = ch.Sender().SendAll(ctx, out)
		}
		if errors.Is(err, vmbus.ErrStopped) {
			if got != plan[part] {
				fail(part, got, "it has ended too early")
			}
			return
		}
		if err != nil {
			fail(part, got, err)
		}
	}
}

// allAnswered waits until the guest has read all answers: what it has not read when the device goes, it does not get.
func allAnswered(ch *vmbus.Channel) {
	for {
		info, err := ch.Info()
		must(err, "info")
		if info.Sent == plan[0] && info.Tx.In == info.Tx.Out {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"

	"libvmbus.invalid/vmbus"
)

// One ring, both halves in one process.
func Example() {
	memory, err := vmbus.NewMemory(2)
	if err != nil {
		log.Fatal(err)
	}
	ring := vmbus.RingMemory{Memory: memory, Control: 0, Data: 1, Count: 1, Fresh: true}
	tx, err := vmbus.NewRingTx(ring, vmbus.Cursor{})
	if err != nil {
		log.Fatal(err)
	}
	ring.Fresh = false
	rx, err := vmbus.NewRingRx(ring, vmbus.Cursor{})
	if err != nil {
		log.Fatal(err)
	}
	_ = tx.Put(&vmbus.Packet{Kind: vmbus.InBand, Payload: []byte("hello...")})
	signal, _ := tx.Commit()
	in := vmbus.NewInbox(1, 64)
	if some, err := rx.Next(in); some {
		fmt.Printf("%s, signal: %t, error: %v\n", in.Packet(0).Payload, signal, err)
	}
	// Output: hello..., signal: true, error: <nil>
}

// A channel without a bus: batches of requests, and their completions.
func ExampleChannel() {
	memory, err := vmbus.NewMemory(4)
	if err != nil {
		log.Fatal(err)
	}
	out := vmbus.RingMemory{Memory: memory, Control: 0, Data: 1, Count: 1, Fresh: true}
	back := vmbus.RingMemory{Memory: memory, Control: 2, Data: 3, Count: 1, Fresh: true}
	driver, err := vmbus.NewChannel(&vmbus.ChannelConfig{ChannelOptions: vmbus.ChannelOptions{Requests: 16}, Tx: out, Rx: back})
	if err != nil {
		log.Fatal(err)
	}
	out.Fresh, back.Fresh = false, false
	device, err := vmbus.NewChannel(&vmbus.ChannelConfig{Tx: back, Rx: out})
	if err != nil {
		log.Fatal(err)
	}

	batch, in := vmbus.NewBatch(2, 64), vmbus.NewInbox(8, 512)
	batch.Request([]byte("question"), 1)
	batch.Request([]byte("another."), 2)
	if _, err = driver.Sender().SendBatch(batch); err != nil {
		log.Fatal(err)
	}

	if _, err = device.Receiver().ReceiveBatch(in); err != nil {
		log.Fatal(err)
	}
	answers := vmbus.NewBatch(2, 64)
	for p := range in.All() {
		answers.Complete(p.ID, append([]byte("re: "), p.Payload[:4]...))
	}
	if _, err = device.Sender().SendBatch(answers); err != nil {
		log.Fatal(err)
	}

	_, err = driver.Receiver().ReceiveBatch(in)
	for p := range in.All() {
		fmt.Printf("%d %s\n", p.User, p.Payload)
	}
	fmt.Println(err)
	// Output:
	// 1 re: ques
	// 2 re: anot
	// <nil>
}

// The two hypercalls of a guest, here calls of the host; a real guest makes them.
type hypercalls struct{ host *vmbus.Host }

func (h hypercalls) Post(connection uint32, message []byte) uint16 {
	input := make([]byte, 256) // as HvPostMessage has it
	binary.LittleEndian.PutUint32(input, connection)
	binary.LittleEndian.PutUint32(input[8:], 1)
	binary.LittleEndian.PutUint32(input[12:], uint32(len(message)))
	copy(input[16:], message)
	status, _ := h.host.Post(input)
	return status
}

func (h hypercalls) Signal(connection, flag uint32) { _, _ = h.host.Signal(connection, flag) }

// The SynIC of a hypervisor, here with one VP.
type synic struct {
	sint *vmbus.SINT
	irq  chan struct{}
}

func (s synic) raise() {
	select {
	case s.irq <- struct{}{}:
	default: // it is raised
	}
}

func (s synic) Message(_, _, _ uint32, message []byte) error {
	err := s.sint.Post(message)
	if err == nil {
		s.raise()
	}
	return err
}

func (s synic) Interrupt(_, _, _, flag uint32) {
	if raise, _ := s.sint.Set(flag); raise {
		s.raise()
	}
}

// A hypervisor with an echo device, and a guest that uses it, in one process: page n of the memory is page n of the guest.
func Example_bus() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	memory, err := vmbus.NewMemory(64)
	if err != nil {
		log.Fatal(err)
	}
	ram, err := vmbus.NewRAM(vmbus.Region{GPA: 0, Memory: memory})
	if err != nil {
		log.Fatal(err)
	}
	sint, err := vmbus.NewSINT(memory, 1, 2, 2)
	if err != nil {
		log.Fatal(err)
	}
	irq := make(chan struct{}, 1)
	host, err := vmbus.NewHost(&vmbus.HostConfig{RAM: ram, VPs: 1}, synic{sint, irq})
	if err != nil {
		log.Fatal(err)
	}
	guest, err := vmbus.NewGuest(&vmbus.GuestConfig{}, hypercalls{host})
	if err != nil {
		log.Fatal(err)
	}
	go func() { // the guest's interrupt handler
		for {
			select {
			case <-irq:
				_ = guest.Service(sint, func() { _ = host.EOM(0) })
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { // the host: one event at a time
		for {
			event, err := host.Next(ctx)
			if err != nil {
				return
			}
			if event.Kind() == vmbus.EventOpen {
				if ch, err := host.Attach(event.Handle(), nil); err == nil {
					go echo(ctx, ch)
				}
			}
		}
	}()
	_, err = host.Offer(&vmbus.Offer{Class: vmbus.MustGUID("11111111-2222-3333-4444-555555555555")})
	if err != nil {
		log.Fatal(err)
	}

	if err = guest.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	event, err := guest.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Kind())
	ch, err := guest.Open(ctx, event.Handle(), &vmbus.OpenConfig{ChannelOptions: vmbus.ChannelOptions{Requests: 8},
		Memory: memory, Page: 16, GPA: 16 * vmbus.Page, TxPages: 4, RxPages: 4})
	if err != nil {
		log.Fatal(err)
	}
	batch, in := vmbus.NewBatch(1, 64), vmbus.NewInbox(1, 64)
	batch.Request([]byte("hello..."), 42)
	if err = ch.Sender().SendAll(ctx, batch); err != nil {
		log.Fatal(err)
	}
	if _, err = ch.Receiver().Receive(ctx, in); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %d\n", in.Packet(0).Payload, in.Packet(0).User)
	fmt.Println(ch.Close(ctx), guest.Release(ctx, event.Handle()), guest.Disconnect(ctx), guest.End())
	// Output:
	// offer
	// HELLO... 42
	// <nil> <nil> <nil> <nil>
}

// echo answers requests in capitals until the channel is asked for.
func echo(ctx context.Context, ch *vmbus.Channel) {
	in, out := vmbus.NewInbox(64, 4096), vmbus.NewBatch(64, 4096)
	for {
		_, err := ch.Receiver().Receive(ctx, in)
		out.Reset()
		for p := range in.All() {
			for i, c := range p.Payload {
				if 'a' <= c && c <= 'z' {
					p.Payload[i] = c - 32
				}
			}
			out.Complete(p.ID, p.Payload)
		}
		if err == nil {
			err = ch.Sender().SendAll(ctx, out)
		}
		if errors.Is(err, vmbus.ErrStopped) {
			err = ch.Close(ctx)
		}
		if err != nil {
			return
		}
	}
}

// Errors are compared with errors.Is, and say whose fault they are.
func ExampleError() {
	_, err := vmbus.ParseGUID("nonsense")
	var e vmbus.Error
	fmt.Println(errors.Is(err, vmbus.ErrInvalid), errors.As(err, &e) && e.Group() == vmbus.GroupCaller)
	// Output: true true
}

// Page lists name guest memory; reading and writing them goes through a RAM.
func ExampleList() {
	memory, err := vmbus.NewMemory(4)
	if err != nil {
		log.Fatal(err)
	}
	ram, err := vmbus.NewRAM(vmbus.Region{GPA: 0x100000, Memory: memory})
	if err != nil {
		log.Fatal(err)
	}
	list, err := vmbus.BuildList(vmbus.Piece{GPA: 0x101ff8, Bytes: 16})
	if err != nil {
		log.Fatal(err)
	}
	err = list.Write(ram, 4, []byte("over two"))
	fmt.Printf("%#x %s %v\n", list.Words[1:], memory.Bytes()[0x1ffc:0x2004], err)
	// Output: [0x101 0x102] over two <nil>
}

// The wire as named fields.
func ExampleMessage() {
	d := vmbus.Dialect{Version: vmbus.V5_3}
	m, err := vmbus.NewMessage(5, d)
	fmt.Println(vmbus.MessageName(5), len(m), m.Check(d, true), err)
	// Output: OPEN_CHANNEL 148 <nil> <nil>
}

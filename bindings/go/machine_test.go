// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"libvmbus.invalid/vmbus"
)

// A machine with one VP: guest memory, of which page 1 holds the message slots, page 2 the event flags, and rings begin at page 16; a guest end and a host
// end on it, and a goroutine that is the guest's interrupt handler.
type machine struct {
	memory *vmbus.Memory
	ram    *vmbus.RAM
	sint   *vmbus.SINT
	irq    chan struct{}
	guest  *vmbus.Guest
	hosts  atomic.Pointer[vmbus.Host]
	stop   context.CancelFunc
	served chan struct{}
	ctx    context.Context

	signals, traces, maps atomic.Int64
	boom                  atomic.Pointer[string] // the callback that panics
	reentry               atomic.Pointer[error]  // what a call of the end from its callback gave
}

const (
	ramPages = 256
	ringPage = 16
)

var (
	echoClass    = vmbus.MustGUID("11111111-2222-3333-4444-555555555555")
	echoInstance = vmbus.MustGUID("5d8c1ba0-0f5f-4a3f-9c0b-3a9b1f3f7e11")
)

func (m *machine) host() *vmbus.Host { return m.hosts.Load() }

type guestPlatform struct{ m *machine }

func (m *machine) bang(name string) {
	if b := m.boom.Load(); b != nil && *b == name {
		panic(errors.New("bang"))
	}
}

func (p guestPlatform) Post(connection uint32, message []byte) uint16 {
	p.m.bang("Post")
	input := make([]byte, 256)
	binary.LittleEndian.PutUint32(input, connection)
	binary.LittleEndian.PutUint32(input[8:], 1)
	binary.LittleEndian.PutUint32(input[12:], uint32(len(message)))
	copy(input[16:], message)
	status, err := p.m.host().Post(input)
	if err != nil {
		return vmbus.StatusInvalidParameter
	}
	return status
}

func (p guestPlatform) Signal(connection, flag uint32) {
	p.m.bang("Signal")
	p.m.signals.Add(1)
	_, _ = p.m.host().Signal(connection, flag)
}

func (p guestPlatform) Trace(vmbus.Trace) { p.m.traces.Add(1) }

type hostPlatform struct{ m *machine }

func (p hostPlatform) Message(_, _, _ uint32, message []byte) error {
	p.m.bang("Message")
	if p.m.reentry.Load() == nil {
		_, err := p.m.host().Info()
		p.m.reentry.Store(&err)
	}
	err := p.m.sint.Post(message)
	if err == nil {
		p.m.interrupt()
	}
	return err
}

func (p hostPlatform) Interrupt(_, _, _, flag uint32) {
	p.m.bang("Interrupt")
	if raise, _ := p.m.sint.Set(flag); raise {
		p.m.interrupt()
	}
}

func (m *machine) interrupt() {
	select {
	case m.irq <- struct{}{}:
	default:
	}
}

// A Mapper of the same memory.
type mapper struct{ m *machine }

func (p mapper) Map(pfns []uint64, _ vmbus.MapFlags, pages []vmbus.MemoryPage) (err error) {
	p.m.bang("Map")
	for i, pfn := range pfns {
		if pages[i], err = p.m.memory.Page(int(pfn)); err != nil {
			return err
		}
	}
	p.m.maps.Add(int64(len(pfns)))
	return nil
}

func (p mapper) Unmap(pfns []uint64, _ vmbus.MapFlags, pages []vmbus.MemoryPage) {
	p.m.maps.Add(-int64(len(pages)))
}

func newMachine(t testing.TB, guest vmbus.GuestConfig, host vmbus.HostConfig) *machine {
	t.Helper()
	m := &machine{irq: make(chan struct{}, 1), served: make(chan struct{})}
	var err error
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	m.memory, err = vmbus.NewMemory(ramPages)
	must(err)
	m.ram, err = vmbus.NewRAM(vmbus.Region{Memory: m.memory})
	must(err)
	m.sint, err = vmbus.NewSINT(m.memory, 1, 2, 2)
	must(err)
	host.VPs = 1
	if host.Mapper == nil {
		host.RAM = m.ram
	} else {
		host.Mapper = mapper{m}
	}
	h, err := vmbus.NewHost(&host, hostPlatform{m})
	must(err)
	m.hosts.Store(h)
	m.guest, err = vmbus.NewGuest(&guest, guestPlatform{m})
	must(err)
	m.ctx, m.stop = context.WithTimeout(context.Background(), 60*time.Second)
	go func() {
		defer close(m.served)
		for {
			select {
			case <-m.irq:
				_ = m.guest.Service(m.sint, func() { _ = m.host().EOM(0) })
			case <-m.ctx.Done():
				return
			}
		}
	}()
	return m
}

// end ends all of it: nothing may be left that uses the memory.
func (m *machine) end(t testing.TB) {
	t.Helper()
	m.stop()
	<-m.served
	for _, err := range []error{m.guest.End(), m.host().End(), m.sint.Close(), m.ram.Close(), m.memory.Close()} {
		if err != nil {
			t.Errorf("end: %v", err)
		}
	}
}

func (m *machine) offer(t testing.TB) vmbus.Handle {
	t.Helper()
	h, err := m.host().Offer(&vmbus.Offer{Class: echoClass, Instance: echoInstance})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// connect connects, and gives the handle of the one offer.
func (m *machine) connect(t testing.TB) vmbus.Handle {
	t.Helper()
	if err := m.guest.Connect(m.ctx); err != nil {
		t.Fatal(err)
	}
	ev := m.next(t, vmbus.EventOffer)
	m.next(t, vmbus.EventOffersDone)
	return ev.Handle()
}

func (m *machine) next(t testing.TB, kind vmbus.EventKind) vmbus.Event {
	t.Helper()
	ev, err := m.guest.Next(m.ctx)
	if err != nil || ev.Kind() != kind {
		t.Fatalf("%v, not %v: %v", ev, kind, err)
	}
	return ev
}

// serve is a host's control loop: attaches what is opened, and has serve work on it until it is to be closed.
func (m *machine) serve(t testing.TB, opt vmbus.ChannelOptions, work func(ch *vmbus.Channel)) (wait func()) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(m.ctx)
	go func() {
		defer close(done)
		for {
			ev, err := m.host().Next(ctx)
			switch {
			case err != nil:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("host: %v", err)
				}
				return
			case ev.Kind() == vmbus.EventOpen:
				ch, err := m.host().Attach(ev.Handle(), &opt)
				if err != nil {
					t.Errorf("attach: %v", err)
					return
				}
				go func() {
					work(ch)
					if err := ch.Close(m.ctx); err != nil && !errors.Is(err, vmbus.ErrClosed) {
						t.Errorf("detach: %v", err)
					}
				}()
			}
		}
	}()
	return func() { cancel(); <-done }
}

// echo answers requests with their own bytes, inverted, in batches, until it is stopped.
func (m *machine) echo(t testing.TB) func(ch *vmbus.Channel) {
	return func(ch *vmbus.Channel) {
		in, out := vmbus.NewInbox(64, 8192), vmbus.NewBatch(64, 8192)
		for {
			_, err := ch.Receiver().Receive(m.ctx, in)
			if err == nil {
				out.Reset()
				for p := range in.All() {
					answer := out.Reserve(vmbus.Completion, 0, p.ID, 0, len(p.Payload))
					for i, b := range p.Payload {
						answer[i] = ^b
					}
				}
				err = ch.Sender().SendAll(m.ctx, out)
			}
			if err != nil {
				if !errors.Is(err, vmbus.ErrStopped) && !errors.Is(err, context.Canceled) && !errors.Is(err, vmbus.ErrClosed) {
					t.Errorf("echo: %v", err)
				}
				return
			}
		}
	}
}

func (m *machine) open(t testing.TB, h vmbus.Handle, opt vmbus.ChannelOptions) *vmbus.Channel {
	t.Helper()
	ch, err := m.guest.Open(m.ctx, h, &vmbus.OpenConfig{ChannelOptions: opt, Memory: m.memory, Page: ringPage, GPA: ringPage * vmbus.Page,
		TxPages: 17, RxPages: 17})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// exchange sends n requests, and checks each answer.
func (m *machine) exchange(t testing.TB, ch *vmbus.Channel, n, batch, payload int) {
	t.Helper()
	in, out := vmbus.NewInbox(64, 8192), vmbus.NewBatch(64, 8192)
	sent, got := 0, 0
	for got < n {
		for sent < n && out.Len() < batch {
			if out.Len() == 0 {
				out.Reset()
			}
			b := out.Reserve(vmbus.InBand, vmbus.WantsReply, 0, uint64(sent), payload)
			binary.LittleEndian.PutUint64(b, uint64(sent))
			sent++
		}
		if out.Len() > 0 {
			if _, err := ch.Sender().SendBatch(out); err != nil && err != vmbus.ErrFull && err != vmbus.ErrNoSlot {
				t.Fatal(err)
			}
		}
		k, err := ch.Receiver().Receive(m.ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range k {
			p := in.Packet(i)
			if p.Kind != vmbus.Completion || p.User != uint64(got) || ^binary.LittleEndian.Uint64(p.Payload) != uint64(got) {
				t.Fatalf("answer %d: %+v", got, p)
			}
			got++
		}
	}
}

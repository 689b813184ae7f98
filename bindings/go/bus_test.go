// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"libvmbus.invalid/vmbus"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("%v, not %v", err, wanted)
	}
}

func TestLife(t *testing.T) {
	for name, cfg := range map[string]vmbus.HostConfig{"RAM": {}, "Mapper": {Mapper: mapper{}}} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, vmbus.GuestConfig{}, cfg)
			m.offer(t)
			stop := m.serve(t, vmbus.ChannelOptions{}, m.echo(t))
			h := m.connect(t)
			offer, err := m.guest.Offer(h)
			check(t, err)
			if offer.Class != echoClass || offer.Instance != echoInstance || offer.Instance.String() != "5d8c1ba0-0f5f-4a3f-9c0b-3a9b1f3f7e11" {
				t.Fatalf("%+v", offer)
			}
			ch := m.open(t, h, vmbus.ChannelOptions{Requests: 64})
			if targets, err := m.guest.Targets(0); err != nil || len(targets) != 1 || targets[0] != h {
				t.Fatal(targets, err)
			}
			m.exchange(t, ch, 10000, 32, 104)
			if cfg.Mapper != nil && m.maps.Load() < 34 {
				t.Fatalf("%d pages are mapped", m.maps.Load())
			}
			info, err := ch.Info()
			check(t, err)
			if info.Sent != 10000 || info.Received != 10000 || info.Requests != 0 || info.Err != nil {
				t.Fatalf("%+v", info)
			}
			want(t, m.guest.Release(m.ctx, h), vmbus.ErrState)
			check(t, ch.Close(m.ctx))
			<-ch.Done()
			if last, _ := ch.Info(); last.Sent != 10000 {
				t.Fatalf("%+v", last)
			}
			check(t, m.guest.Release(m.ctx, h))
			bus, err := m.guest.Info()
			check(t, err)
			if bus.Version != vmbus.V6_0 || bus.Version.String() != "6.0" || vmbus.Name(vmbus.NamesBus, bus.State) != "running" {
				t.Fatalf("%+v", bus)
			}
			parts, err := m.host().Snapshot()
			check(t, err)
			if len(parts) < 2 || parts[0].Kind != vmbus.PartConnection || parts[1].Kind != vmbus.PartChannel || parts[1].Class != echoClass {
				t.Fatalf("%+v", parts)
			}
			check(t, m.guest.Disconnect(m.ctx))
			stop()
			m.end(t)
			if m.maps.Load() != 0 || m.traces.Load() == 0 || m.signals.Load() == 0 {
				t.Fatal(m.maps.Load(), m.traces.Load(), m.signals.Load())
			}
			want(t, *m.reentry.Load(), vmbus.ErrReentry)
		})
	}
}

// leave closes what is open, and ends all.
func (m *machine) leave(t testing.TB, stop func(), h vmbus.Handle, ch *vmbus.Channel) {
	t.Helper()
	if ch != nil {
		check(t, ch.Close(m.ctx))
	}
	check(t, m.guest.Release(m.ctx, h))
	check(t, m.guest.Disconnect(m.ctx))
	stop()
	m.end(t)
}

func TestRescind(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	device := m.offer(t)
	stop := m.serve(t, vmbus.ChannelOptions{}, m.echo(t))
	h := m.connect(t)
	for range 3 {
		ch := m.open(t, h, vmbus.ChannelOptions{Requests: 16})
		m.exchange(t, ch, 500, 16, 32)
		removed := make(chan error, 1)
		go func() { removed <- m.host().Remove(m.ctx, device) }()
		if ev := m.next(t, vmbus.EventRescinded); ev.Handle() != h {
			t.Fatal(ev)
		}
		_, err := ch.Sender().Send(&vmbus.Packet{Kind: vmbus.InBand, Payload: make([]byte, 8)})
		want(t, err, vmbus.ErrStopped)
		check(t, ch.Close(m.ctx))
		check(t, m.guest.Release(m.ctx, h))
		check(t, <-removed)
		_, err = m.guest.Offer(h)
		want(t, err, vmbus.ErrHandle)
		device = m.offer(t)
		h = m.next(t, vmbus.EventOffer).Handle()
	}
	m.leave(t, stop, h, m.open(t, h, vmbus.ChannelOptions{}))
}

func TestRequests(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	served := make(chan *vmbus.Channel, 1)
	stop := m.serve(t, vmbus.ChannelOptions{}, func(ch *vmbus.Channel) {
		served <- ch
		for ch.Sender().Flush() == nil {
			_ = ch.Receiver().Wait(m.ctx)
		}
	})
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{Requests: 4})
	host := <-served
	tx, rx := ch.Sender(), ch.Receiver()
	batch := vmbus.NewBatch(8, 64)
	for i := range 5 {
		batch.Request([]byte("request!"), uint64(100+i))
	}
	if n, err := tx.SendBatch(batch); n != 4 || err != nil || batch.Len() != 1 {
		t.Fatal(n, err)
	}
	_, err := tx.SendBatch(batch)
	want(t, err, vmbus.ErrNoSlot)
	short, cancel := context.WithTimeout(m.ctx, 10*time.Millisecond)
	want(t, tx.SendAll(short, batch), context.DeadlineExceeded)
	cancel()
	user, err := tx.Cancel(batch.ID(1))
	check(t, err)
	if user != 101 {
		t.Fatal(user)
	}
	flight, err := ch.InFlight()
	check(t, err)
	if len(flight) != 4 || flight[1].User != 101 || !flight[1].Cancelled || flight[0].Cancelled {
		t.Fatalf("%+v", flight)
	}
	// The host answers the first two, by packets of their own.
	in := vmbus.NewInbox(2, 8) // grows
	var ids []uint64
	for len(ids) < 4 {
		n, err := host.Receiver().Receive(m.ctx, in)
		check(t, err)
		for i := range n {
			ids = append(ids, in.Packet(i).ID)
		}
	}
	for _, id := range ids[:2] {
		_, err = host.Sender().Put(&vmbus.Packet{Kind: vmbus.Completion, ID: id, Payload: bytes.Repeat([]byte{7}, 100)})
		check(t, err)
	}
	check(t, host.Sender().Flush())
	var late int
	for got := 0; got < 2; {
		n, err := rx.Receive(m.ctx, in)
		check(t, err)
		for i := range n {
			p := in.Packet(i)
			if len(p.Payload) != 104 || p.User != uint64(100+got) {
				t.Fatalf("%+v", p)
			}
			if p.Flags&vmbus.Late != 0 {
				late++
			}
			got++
		}
	}
	if late != 1 {
		t.Fatal(late)
	}
	check(t, tx.SendAll(m.ctx, batch)) // there are slots again
	_, err = tx.Cancel(batch.ID(0))
	want(t, err, vmbus.ErrNotFound)
	_, err = tx.Send(&vmbus.Packet{Kind: vmbus.InBand, Payload: make([]byte, 1<<20)})
	want(t, err, vmbus.ErrTooBig)
	_, err = tx.Send(&vmbus.Packet{Kind: 5, Payload: make([]byte, 8)})
	want(t, err, vmbus.ErrInvalid)
	want(t, ch.Adopt(batch.ID(4), 1), vmbus.ErrInvalid)
	want(t, ch.Dirty(make([]uint64, 1)), vmbus.ErrState)
	check(t, ch.Close(m.ctx))
	left := ch.Outstanding()
	if len(left) != 3 {
		t.Fatalf("%+v", left)
	}
	m.leave(t, stop, h, nil)
}

func TestInPlace(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{Mapper: mapper{}})
	m.offer(t)
	served := make(chan *vmbus.Channel, 1)
	stop := m.serve(t, vmbus.ChannelOptions{Flags: vmbus.ChannelDirty}, func(ch *vmbus.Channel) {
		served <- ch
		for ch.Sender().Flush() == nil {
			_ = ch.Receiver().Wait(m.ctx)
		}
	})
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{Flags: vmbus.ChannelDefer})
	host := <-served
	text := bytes.Repeat([]byte("0123456789abcdef"), 600) // more than two pages
	for range 20 {                                        // and around the ring
		_, err := ch.Sender().PutInPlace(&vmbus.Packet{Kind: vmbus.InBand}, len(text), func(parts [][]byte) {
			at := text
			for _, p := range parts {
				at = at[copy(p, at):]
			}
		})
		check(t, err)
		check(t, ch.Sender().Flush())
		if ch.Sender().Owes() {
			check(t, ch.Sender().Signal())
		}
		var got []byte
		for {
			some, err := host.Receiver().NextInPlace(func(p vmbus.Packet, head int, parts [][]byte) {
				if p.Kind != vmbus.InBand || head != 0 {
					t.Errorf("%+v", p)
				}
				got = append(got, bytes.Join(parts, nil)...)
			})
			check(t, err)
			if some {
				break
			}
			check(t, host.Receiver().Wait(m.ctx))
		}
		check(t, host.Receiver().Release())
		if !bytes.Equal(got, text) {
			t.Fatal("other bytes")
		}
	}
	bits := make([]uint64, 1)
	check(t, host.Dirty(bits))
	if bits[0]&1 == 0 {
		t.Fatalf("%x", bits)
	}
	m.leave(t, stop, h, ch)
}

func TestMemory(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	device := m.offer(t)
	list, err := vmbus.BuildList(vmbus.Piece{GPA: 100 * vmbus.Page, Bytes: 2 * vmbus.Page}, vmbus.Piece{GPA: 110*vmbus.Page + 16, Bytes: 100})
	check(t, err)
	if sum, err := list.Check(); err != nil || sum != 2*vmbus.Page+100 {
		t.Fatal(sum, err)
	}
	ranges, err := list.All()
	check(t, err)
	if len(ranges) != 2 || ranges[1].Offset != 16 || ranges[1].PFNs[0] != 110 || len(ranges[0].PFNs) != 2 {
		t.Fatalf("%+v", ranges)
	}
	stop := m.serve(t, vmbus.ChannelOptions{}, func(ch *vmbus.Channel) {
		in := vmbus.NewInbox(4, 4096)
		for {
			if _, err := ch.Receiver().Receive(m.ctx, in); err != nil {
				return
			}
			for p := range in.All() {
				if p.Kind != vmbus.Direct || p.ExternalBytes() != 2*vmbus.Page+100 || !p.Wants() {
					t.Errorf("%+v", p)
				}
				var head [8]byte
				if err := p.ReadExternal(m.ram, nil, 2*vmbus.Page-4, head[:]); err != nil || string(head[:4]) != "end!" {
					t.Error(string(head[:]), err)
				}
				if err := p.WriteExternal(m.ram, nil, 2*vmbus.Page+92, []byte("written!")); err != nil {
					t.Error(err)
				}
				if err := p.WriteExternal(m.ram, nil, 2*vmbus.Page+93, []byte("too long")); !errors.Is(err, vmbus.ErrInvalid) {
					t.Error(err)
				}
				if same, err := p.EqualExternal(m.ram, nil, 2*vmbus.Page+92, []byte("written!")); err != nil || !same {
					t.Error(same, err)
				}
				_, _ = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.Completion, ID: p.ID, Payload: p.Payload})
			}
		}
	})
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{Requests: 4})
	copy(m.memory.Bytes()[102*vmbus.Page-4:], "end!")
	batch, in := vmbus.NewBatch(1, 64), vmbus.NewInbox(1, 64)
	batch.Add(&vmbus.Packet{Kind: vmbus.Direct, Flags: vmbus.WantsReply, Payload: []byte("page me!"), List: list})
	check(t, ch.Sender().SendAll(m.ctx, batch))
	_, err = ch.Receiver().Receive(m.ctx, in)
	check(t, err)
	if string(m.memory.Bytes()[110*vmbus.Page+16+92:][:8]) != "written!" {
		t.Fatal("nothing was written")
	}
	// The same memory by a GPADL that the host holds.
	gpadl, err := m.guest.CreateGPADL(m.ctx, h, list)
	check(t, err)
	info, err := m.host().GPADLInfo(device, gpadl)
	check(t, err)
	if info.Bytes != 2*vmbus.Page+100 || info.Ranges != 2 {
		t.Fatalf("%+v", info)
	}
	held, err := m.host().HoldGPADL(device, gpadl)
	check(t, err)
	check(t, held.Write(m.ram, 0, []byte("by list!")))
	if same, err := held.Equal(m.ram, 0, []byte("by list!")); err != nil || !same {
		t.Fatal(same, err)
	}
	var back [8]byte
	check(t, held.Read(m.ram, 0, back[:]))
	if string(back[:]) != "by list!" {
		t.Fatal(string(back[:]))
	}
	users, err := m.host().Users(100, 1)
	check(t, err)
	if len(users) != 1 || users[0].Handle != device || users[0].GPADL != gpadl {
		t.Fatalf("%+v", users)
	}
	gone := make(chan error, 1)
	go func() { gone <- m.guest.DestroyGPADL(m.ctx, gpadl) }()
	for { // until it asks
		if err = m.host().ReleaseGPADL(device, gpadl); err == nil {
			break
		}
	}
	check(t, <-gone)
	want(t, m.host().ReleaseGPADL(device, gpadl), vmbus.ErrNotFound)
	m.leave(t, stop, h, ch)
	want(t, list.Read(m.ram, 0, back[:]), vmbus.ErrClosed)
}

// Operations whose answer does not come end with the context, and everything can be ended all the same.
func TestContext(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	h := m.connect(t)
	short, cancel := context.WithTimeout(m.ctx, 20*time.Millisecond)
	defer cancel()
	_, err := m.guest.Open(short, h, &vmbus.OpenConfig{Memory: m.memory, Page: ringPage, GPA: ringPage * vmbus.Page, TxPages: 2, RxPages: 2})
	want(t, err, context.DeadlineExceeded) // nobody attaches
	_, err = m.guest.Next(short)
	want(t, err, context.DeadlineExceeded)
	ev, err := m.host().Next(m.ctx)
	for err == nil && ev.Kind() != vmbus.EventOpen {
		ev, err = m.host().Next(m.ctx)
	}
	check(t, err)
	check(t, m.host().Answer(ev, vmbus.ErrRefused))
	want(t, m.host().Answer(ev, nil), vmbus.ErrNotFound)
	m.next(t, vmbus.EventClosed)
	// Refused: an error of its own.
	got := make(chan error, 1)
	go func() {
		_, err := m.guest.Open(m.ctx, h, &vmbus.OpenConfig{Memory: m.memory, Page: ringPage, GPA: ringPage * vmbus.Page, TxPages: 2, RxPages: 2})
		got <- err
	}()
	for ev, err = m.host().Next(m.ctx); err == nil && ev.Kind() != vmbus.EventOpen; ev, err = m.host().Next(m.ctx) {
	}
	check(t, err)
	check(t, m.host().Answer(ev, vmbus.ErrRefused))
	want(t, <-got, vmbus.ErrRefused)
	m.leave(t, func() {}, h, nil)
}

// All that is called by any goroutine, at the same time as the channel is closed.
func TestTogether(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	stop := m.serve(t, vmbus.ChannelOptions{}, m.echo(t))
	h := m.connect(t)
	for range 20 {
		ch := m.open(t, h, vmbus.ChannelOptions{Requests: 256})
		var all sync.WaitGroup
		for range 3 {
			all.Add(2)
			go func() {
				defer all.Done()
				batch := vmbus.NewBatch(8, 128)
				for {
					batch.Reset()
					for range 8 {
						batch.Request([]byte("together"), 1)
					}
					if err := ch.Sender().SendAll(m.ctx, batch); err != nil {
						want(t, err, vmbus.ErrClosed)
						return
					}
				}
			}()
			go func() {
				defer all.Done()
				in := vmbus.NewInbox(8, 512)
				for {
					if _, err := ch.Receiver().Receive(m.ctx, in); err != nil {
						want(t, err, vmbus.ErrClosed)
						return
					}
					if _, err := ch.Info(); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		time.Sleep(time.Millisecond)
		check(t, ch.Close(m.ctx))
		all.Wait()
	}
	m.leave(t, stop, h, nil)
}

// A host that is saved and goes on in another end, with the rings as they were.
func TestSave(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	served := make(chan *vmbus.Channel, 1)
	stop := m.serve(t, vmbus.ChannelOptions{}, func(ch *vmbus.Channel) {
		in := vmbus.NewInbox(1, 64)
		_, _ = ch.Receiver().Receive(m.ctx, in)
		_, _ = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.Completion, ID: in.Packet(0).ID, Payload: in.Packet(0).Payload})
		served <- ch
		<-ch.Done() // neither half is used
	})
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{Requests: 4})
	request := func() {
		_, err := ch.Sender().Send(&vmbus.Packet{Kind: vmbus.InBand, Flags: vmbus.WantsReply, Payload: []byte("save me!")})
		check(t, err)
	}
	answer := func() {
		in := vmbus.NewInbox(1, 64)
		_, err := ch.Receiver().Receive(m.ctx, in)
		check(t, err)
		if string(in.Packet(0).Payload) != "save me!" {
			t.Fatal(in.Packet(0))
		}
	}
	request()
	answer()
	stop()
	old := m.host()
	_, err := old.Save(99)
	want(t, err, vmbus.ErrVersion)
	saved, err := old.Save(0)
	check(t, err)
	anew, err := vmbus.NewHost(&vmbus.HostConfig{RAM: m.ram, VPs: 1}, hostPlatform{m})
	check(t, err)
	want(t, anew.Restore([]byte("nonsense")), vmbus.ErrInvalid)
	m.hosts.Store(anew)
	want(t, old.Abandon(), vmbus.ErrState)
	check(t, (<-served).Close(m.ctx))
	check(t, old.Abandon())
	m.offer(t)
	check(t, anew.Restore(saved))
	var restored atomic.Bool
	stop = m.serve(t, vmbus.ChannelOptions{}, func(ch *vmbus.Channel) {
		restored.Store(true)
		in := vmbus.NewInbox(1, 64)
		_, _ = ch.Receiver().Receive(m.ctx, in)
		_, _ = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.Completion, ID: in.Packet(0).ID, Payload: in.Packet(0).Payload})
		_ = ch.Receiver().Wait(m.ctx)
	})
	request()
	answer()
	// The guest, too: what it says of itself is taken by an end like it.
	var state []byte
	for state, err = m.guest.Save(0); errors.Is(err, vmbus.ErrState); state, err = m.guest.Save(0) {
	}
	check(t, err)
	twin, err := vmbus.NewGuest(&vmbus.GuestConfig{}, guestPlatform{m})
	check(t, err)
	want(t, twin.Restore(state[:len(state)-1], false), vmbus.ErrInvalid)
	check(t, twin.Restore(state, false))
	ev, err := twin.Next(m.ctx)
	check(t, err)
	if ev.Kind() != vmbus.EventOffer || !ev.Restored() || !ev.IsOpen() || ev.Handle() != h {
		t.Fatal(ev)
	}
	want(t, twin.End(), vmbus.ErrState)
	check(t, twin.Abandon())
	m.leave(t, stop, h, ch)
	if !restored.Load() {
		t.Fatal("nobody attached it again")
	}
}

func TestPause(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{Features: vmbus.FeaturePause | vmbus.FeatureClientID, ClientID: echoInstance}, vmbus.HostConfig{})
	m.offer(t)
	stop := m.serve(t, vmbus.ChannelOptions{}, m.echo(t))
	h := m.connect(t)
	info, err := m.host().Info()
	check(t, err)
	if info.ClientID != echoInstance || info.Features&vmbus.FeaturePause == 0 {
		t.Fatalf("%+v", info)
	}
	want(t, m.guest.Resume(), vmbus.ErrState)
	check(t, m.guest.Pause(m.ctx))
	check(t, m.guest.Resume())
	ch := m.open(t, h, vmbus.ChannelOptions{Requests: 8})
	check(t, m.guest.Target(m.ctx, h, 0))
	want(t, m.guest.Monitor(m.ctx, nil), vmbus.ErrVersion)
	m.exchange(t, ch, 100, 8, 8)
	check(t, ch.Close(m.ctx))
	m.leave(t, stop, h, nil)
}

func TestHvsock(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{MaxHvsock: 2}, vmbus.HostConfig{MaxHvsock: 2})
	m.offer(t)
	h := m.connect(t)
	answer := func(accept bool) {
		for {
			ev, err := m.host().Next(m.ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if ev.Kind() != vmbus.EventHvsock {
				continue
			}
			socket, err := m.host().Hvsock(ev)
			if err != nil || socket.Service != vmbus.HvsockPort(5000) || !ev.Asks() {
				t.Error(socket, err)
			}
			if !accept {
				_ = m.host().Answer(ev, vmbus.ErrRefused)
				return
			}
			offer, err := socket.Offer()
			if err == nil {
				_, err = m.host().Offer(&offer)
			}
			if err == nil {
				err = m.host().Answer(ev, nil)
			}
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
	for _, accept := range []bool{false, true} {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			answer(accept)
		}()
		got, err := m.guest.ConnectHvsock(m.ctx, &vmbus.Hvsock{Endpoint: echoInstance, Service: vmbus.HvsockPort(5000)})
		<-answered // the guest may have the offer before the host has said so
		if !accept {
			want(t, err, vmbus.ErrRefused)
			continue
		}
		check(t, err)
		offer, err := m.guest.Offer(got)
		check(t, err)
		socket, err := offer.Hvsock()
		check(t, err)
		if socket.Endpoint != echoInstance || offer.Flags&vmbus.OfferHvsock == 0 {
			t.Fatalf("%+v", offer)
		}
		check(t, m.guest.Release(m.ctx, got))
	}
	m.leave(t, func() {}, h, nil)
}

// A panic in any callback becomes an error, and nothing crashes.
func TestPanic(t *testing.T) {
	for _, name := range []string{"Post", "Message", "Signal", "Interrupt", "Map"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, vmbus.GuestConfig{ConnectMS: 50, ReplyMS: 50, UnloadMS: 50}, vmbus.HostConfig{Mapper: mapper{}})
			m.offer(t)
			var failures [2]error
			done := make(chan struct{})
			ctx, cancel := context.WithTimeout(m.ctx, time.Second)
			defer cancel()
			go func() { // the host: an echo that tells its error
				defer close(done)
				for {
					ev, err := m.host().Next(ctx)
					if failures[0] = err; err != nil {
						return
					}
					if ev.Kind() == vmbus.EventOpen {
						ch, err := m.host().Attach(ev.Handle(), nil)
						if failures[0] = err; err != nil {
							return
						}
						in := vmbus.NewInbox(1, 64)
						if _, err = ch.Receiver().Receive(ctx, in); err == nil {
							p := in.Packet(0)
							_, err = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.Completion, ID: p.ID, Payload: p.Payload})
						}
						failures[0] = err
						_ = ch.Close(ctx)
						return
					}
				}
			}()
			m.boom.Store(&name)
			failures[1] = func() error {
				if err := m.guest.Connect(ctx); err != nil {
					return err
				}
				ev, err := m.guest.Next(ctx)
				if err != nil {
					return err
				}
				ch, err := m.guest.Open(ctx, ev.Handle(), &vmbus.OpenConfig{ChannelOptions: vmbus.ChannelOptions{Requests: 1}, Memory: m.memory,
					Page: ringPage, GPA: ringPage * vmbus.Page, TxPages: 2, RxPages: 2})
				if err != nil {
					return err
				}
				_, err = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.InBand, Flags: vmbus.WantsReply, Payload: make([]byte, 8)})
				if err == nil {
					_, err = ch.Receiver().Receive(ctx, vmbus.NewInbox(1, 64))
				}
				_ = ch.Close(ctx)
				return err
			}()
			<-done
			if name == "Message" {
				_, failures[0] = m.host().Info()
			}
			m.stop()
			<-m.served
			var p *vmbus.PanicError
			if !errors.As(errors.Join(failures[:]...), &p) || p.Callback != name || p.Unwrap().Error() != "bang" ||
				!bytes.Contains(p.Stack, []byte("bang")) {
				t.Fatalf("%q", failures)
			}
		})
	}
}

// What a hostile peer writes into the shared memory is an error of that channel.
func TestHostilePeer(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	served := make(chan *vmbus.Channel, 1)
	stop := m.serve(t, vmbus.ChannelOptions{}, func(ch *vmbus.Channel) { served <- ch; <-ch.Done() })
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{})
	host := <-served
	ring := m.memory.Bytes()[ringPage*vmbus.Page:]
	binary.LittleEndian.PutUint32(ring, 0x7fffffff) // In of the guest's sending ring
	_, err := host.Receiver().ReceiveBatch(vmbus.NewInbox(1, 64))
	want(t, err, vmbus.ErrPeer)
	want(t, host.Sender().Flush(), vmbus.ErrPeer)
	info, err := host.Info()
	check(t, err)
	if info.Violation.Reason != vmbus.ReasonIndex || info.Violation.Reason.String() == "?" || !errors.Is(info.Err, vmbus.ErrPeer) {
		t.Fatalf("%+v", info)
	}
	check(t, host.Close(m.ctx))
	m.leave(t, stop, h, ch)
}

// Everything that has been closed or ended says so.
func TestAfterwards(t *testing.T) {
	m := newMachine(t, vmbus.GuestConfig{}, vmbus.HostConfig{})
	m.offer(t)
	stop := m.serve(t, vmbus.ChannelOptions{}, m.echo(t))
	h := m.connect(t)
	ch := m.open(t, h, vmbus.ChannelOptions{})
	want(t, m.guest.End(), vmbus.ErrState)
	want(t, m.host().End(), vmbus.ErrState)
	want(t, m.ram.Close(), vmbus.ErrState)
	want(t, m.memory.Close(), vmbus.ErrState)
	_, err := m.guest.Open(m.ctx, h, &vmbus.OpenConfig{Memory: m.memory, Page: 100, GPA: 100 * vmbus.Page, TxPages: 2, RxPages: 2})
	want(t, err, vmbus.ErrState)
	_, _, err = ch.End()
	want(t, err, vmbus.ErrState)
	host := m.host()
	m.leave(t, stop, h, ch)
	batch, in := vmbus.NewBatch(1, 8), vmbus.NewInbox(1, 8)
	batch.InBand([]byte("too late"))
	p := &vmbus.Packet{Kind: vmbus.InBand}
	_, send := ch.Sender().SendBatch(batch)
	_, put := ch.Sender().Put(p)
	_, cancel := ch.Sender().Cancel(1)
	_, place := ch.Sender().PutInPlace(p, 8, func([][]byte) { t.Error("filled") })
	_, receive := ch.Receiver().ReceiveBatch(in)
	_, next := ch.Receiver().NextInPlace(func(vmbus.Packet, int, [][]byte) { t.Error("looked at") })
	_, flight := ch.InFlight()
	_, slot, eom := m.guest.Slot(m.sint)
	_, irq := m.guest.Interrupt(m.sint)
	_, offer := m.guest.Offer(h)
	_, event := m.guest.Next(m.ctx)
	_, _, crash := m.guest.Crash(nil)
	_, bus := m.guest.Info()
	_, post := host.Post(make([]byte, 256))
	_, signal := host.Signal(1, 0)
	_, monitor := host.Monitor()
	_, attach := host.Attach(h, nil)
	_, page := m.memory.Page(0)
	_, flag := m.sint.Set(1)
	_ = slot
	for i, err := range []error{send, put, cancel, place, receive, next, flight, eom, irq, offer, event, crash, bus, post, signal, monitor, attach, page,
		flag, ch.Close(m.ctx), ch.Sender().Flush(), ch.Sender().Signal(), ch.Receiver().Release(), ch.Stop(), ch.Signalled(), ch.Adopt(1, 1),
		ch.Sender().Wait(context.Background()), ch.Receiver().Wait(context.Background()), ch.Dirty(nil), m.guest.End(), m.guest.Connect(m.ctx),
		m.guest.Message(nil), host.End(), host.EOM(0), m.sint.Post(nil), m.sint.Close(), m.ram.Close(), m.memory.Close()} {
		if !errors.Is(err, vmbus.ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"libvmbus.invalid/vmbus"
)

func newMemory(t testing.TB, pages int) *vmbus.Memory {
	t.Helper()
	m, err := vmbus.NewMemory(pages)
	check(t, err)
	return m
}

func TestRing(t *testing.T) {
	m := newMemory(t, 3)
	memory := vmbus.RingMemory{Memory: m, Data: 1, Count: 2, Fresh: true}
	tx, err := vmbus.NewRingTx(memory, vmbus.Cursor{})
	check(t, err)
	memory.Fresh = false
	rx, err := vmbus.NewRingRx(memory, vmbus.Cursor{})
	check(t, err)
	in := vmbus.NewInbox(1, 8)
	if some, err := rx.Next(in); some || err != nil {
		t.Fatal(some, err)
	}
	if more, _, err := rx.Sleep(); more || err != nil {
		t.Fatal(more, err)
	}
	sent := vmbus.Packet{Kind: vmbus.InBand, ID: 77, Payload: bytes.Repeat([]byte("ring"), 100)}
	check(t, tx.Put(&sent))
	check(t, tx.Discard())
	check(t, tx.Put(&sent))
	signal, err := tx.Commit()
	check(t, err)
	if !signal {
		t.Fatal("a ring that was empty, and its reader asleep: no signal")
	}
	some, err := rx.Next(in)
	check(t, err)
	if got := in.Packet(0); !some || got.ID != 77 || !bytes.Equal(got.Payload, sent.Payload) || got.Kind.String() == "?" {
		t.Fatalf("%+v", got)
	}
	check(t, rx.Rewind())
	if some, err = rx.Next(in); !some || err != nil {
		t.Fatal(some, err)
	}
	_, err = rx.Release()
	check(t, err)
	// Pages, with their list; then until it is full, and armed.
	list := vmbus.List{Words: []uint64{vmbus.RangeWord(100, 8), 42}, Ranges: 1}
	check(t, tx.Put(&vmbus.Packet{Kind: vmbus.Direct, ID: 1, Payload: make([]byte, 8), List: list}))
	_, err = tx.Commit()
	check(t, err)
	check(t, rx.Mask())
	_, err = rx.Next(in)
	check(t, err)
	if got := in.Packet(0); got.List.Ranges != 1 || len(got.List.Words) != 2 || got.List.Words[1] != 42 || got.List.Words[0] != list.Words[0] {
		t.Fatalf("%+v", got.List)
	}
	for err = nil; err == nil; err = tx.Put(&sent) {
	}
	want(t, err, vmbus.ErrFull)
	_, err = tx.Commit()
	check(t, err)
	if fits, err := tx.Arm(&sent, 0); fits || err != nil {
		t.Fatal(fits, err)
	}
	info, err := memory.Inspect()
	check(t, err)
	if info.PendingSend == 0 || info.DataBytes != 2*vmbus.Page {
		t.Fatalf("%+v", info)
	}
	n := 0
	for some, err = rx.Next(in); some; some, err = rx.Next(in) {
		n++
	}
	check(t, err)
	if signal, err = rx.Release(); !signal || err != nil || n < 10 {
		t.Fatal("room for a waiting peer: no signal", n, err)
	}
	// Both sides in other objects, which go on where these stood.
	check(t, tx.Put(&sent))
	_, err = tx.Commit()
	check(t, err)
	at, err := tx.End()
	check(t, err)
	from, err := rx.End()
	check(t, err)
	tx, err = vmbus.NewRingTx(memory, at)
	check(t, err)
	rx, err = vmbus.NewRingRx(memory, from)
	check(t, err)
	if some, err := rx.Next(in); !some || err != nil || in.Packet(0).ID != 77 {
		t.Fatal(some, err)
	}
	// A peer that lies.
	binary.LittleEndian.PutUint32(m.Bytes(), 12345)
	_, err = rx.Next(in)
	want(t, err, vmbus.ErrPeer)
	v, err := rx.Violation()
	check(t, err)
	if v.Reason != vmbus.ReasonIndex {
		t.Fatal(v)
	}
	if v, err := tx.Violation(); err != nil || v.Reason != 0 {
		t.Fatal(v, err)
	}
	want(t, m.Close(), vmbus.ErrState)
	_, err = tx.End()
	check(t, err)
	_, err = rx.End()
	check(t, err)
	_, err = rx.End()
	want(t, err, vmbus.ErrClosed)
	want(t, tx.Put(&sent), vmbus.ErrClosed)
	_, err = tx.Commit()
	want(t, err, vmbus.ErrClosed)
	_, err = rx.Next(in)
	want(t, err, vmbus.ErrClosed)
	check(t, m.Close())
	_, err = vmbus.NewRingTx(memory, vmbus.Cursor{})
	want(t, err, vmbus.ErrClosed)
}

// Two channels without a bus, as two processes have them, which signal each other.
func TestChannel(t *testing.T) {
	m := newMemory(t, 10)
	there, back := vmbus.RingMemory{Memory: m, Data: 1, Count: 4, Fresh: true}, vmbus.RingMemory{Memory: m, Control: 5, Data: 6, Count: 4, Fresh: true}
	var ends [2]*vmbus.Channel
	make2 := func(i int, cfg vmbus.ChannelConfig) {
		cfg.Requests = 8
		cfg.Signal = func() { _ = ends[1-i].Signalled() }
		ch, err := vmbus.NewChannel(&cfg)
		check(t, err)
		ends[i] = ch
	}
	make2(0, vmbus.ChannelConfig{Tx: there, Rx: back})
	there.Fresh, back.Fresh = false, false
	make2(1, vmbus.ChannelConfig{Tx: back, Rx: there})
	done := make(chan error, 1)
	go func() {
		in, out := vmbus.NewInbox(8, 512), vmbus.NewBatch(8, 512)
		for {
			_, err := ends[1].Receiver().Receive(context.Background(), in)
			if err != nil {
				done <- err
				return
			}
			out.Reset()
			for p := range in.All() {
				out.Complete(p.ID, p.Payload)
			}
			if err = ends[1].Sender().SendAll(context.Background(), out); err != nil {
				done <- err
				return
			}
		}
	}()
	in, out := vmbus.NewInbox(8, 512), vmbus.NewBatch(8, 512)
	for i := range 1000 {
		out.Reset()
		out.Request(fmt.Appendf(nil, "%08d", i), uint64(i))
		check(t, ends[0].Sender().SendAll(context.Background(), out))
		_, err := ends[0].Receiver().Receive(context.Background(), in)
		check(t, err)
		if p := in.Packet(0); p.User != uint64(i) || string(p.Payload) != fmt.Sprintf("%08d", i) {
			t.Fatalf("%d: %+v", i, p)
		}
	}
	check(t, ends[1].Stop())
	want(t, <-done, vmbus.ErrStopped)
	out.Reset()
	out.InBand([]byte("go on..."))
	check(t, ends[0].Sender().SendAll(context.Background(), out))
	_, _, err := ends[1].End()
	check(t, err)
	tx, rx, err := ends[0].End()
	check(t, err)
	make2(0, vmbus.ChannelConfig{Tx: there, Rx: back, TxAt: tx, RxAt: rx})
	info, err := ends[0].Info()
	check(t, err)
	if !tx.Valid || info.Tx.In != tx.Index {
		t.Fatal(tx, info)
	}
	check(t, ends[0].Adopt(1<<32|1, 5)) // an id of an earlier table's
	check(t, ends[0].Close(context.Background()))
	want(t, ends[0].Close(context.Background()), vmbus.ErrClosed)
	check(t, m.Close())
}

func TestMisuse(t *testing.T) {
	m := newMemory(t, 4)
	_, err := vmbus.NewMemory(0)
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.MapMemory(-1, 1)
	if err == nil {
		t.Fatal("a file that is none")
	}
	_, err = m.Page(4)
	want(t, err, vmbus.ErrInvalid)
	_, err = m.Page(-1)
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewSINT(m, 0, 4, 2)
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewSINT(m, 0, 1, 16)
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewRAM(vmbus.Region{Memory: m}, vmbus.Region{GPA: vmbus.Page, Memory: m})
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewRAM(vmbus.Region{GPA: 12, Memory: m})
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewRAM(vmbus.Region{})
	want(t, err, vmbus.ErrInvalid)
	for _, ring := range []vmbus.RingMemory{{}, {Memory: m}, {Memory: m, Data: 1, Count: 4}, {Memory: m, Data: 1, Count: -1},
		{Memory: m, Control: 9, Count: 1}, {Memory: m, Data: 1, Count: 2, Twice: true}} {
		_, err = vmbus.NewRingTx(ring, vmbus.Cursor{})
		want(t, err, vmbus.ErrInvalid)
		_, err = vmbus.NewChannel(&vmbus.ChannelConfig{Tx: ring, Rx: ring})
		want(t, err, vmbus.ErrInvalid)
	}
	_, err = vmbus.NewChannel(&vmbus.ChannelConfig{ChannelOptions: vmbus.ChannelOptions{Requests: 70000},
		Tx: vmbus.RingMemory{Memory: m, Data: 1, Count: 1}, Rx: vmbus.RingMemory{Memory: m, Control: 2, Data: 3, Count: 1}})
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewGuest(&vmbus.GuestConfig{}, nil)
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewGuest(&vmbus.GuestConfig{MaxChannels: 5000}, guestPlatform{})
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewGuest(&vmbus.GuestConfig{Monitor: &[2]vmbus.SharedPage{{GPA: 4096, Memory: m}, {GPA: 8192, Memory: m, Page: 9}}}, guestPlatform{})
	want(t, err, vmbus.ErrInvalid)
	_, err = vmbus.NewHost(&vmbus.HostConfig{}, hostPlatform{})
	want(t, err, vmbus.ErrInvalid) // no memory
	_, err = vmbus.BuildList()
	want(t, err, vmbus.ErrInvalid)
	bad := vmbus.List{Words: []uint64{vmbus.RangeWord(5000, 0), 1}, Ranges: 1}
	_, err = bad.Check()
	want(t, err, vmbus.ErrInvalid)
	_, err = bad.All()
	want(t, err, vmbus.ErrInvalid)
	check(t, m.Close()) // nothing of all that has kept it
	_, err = vmbus.NewRAM(vmbus.Region{Memory: m})
	want(t, err, vmbus.ErrClosed)
}

func TestNames(t *testing.T) {
	scsi := vmbus.MustGUID(vmbus.ClassSCSI)
	class, err := vmbus.FindClass(scsi)
	check(t, err)
	if class.Name != "scsi" || class.GUID != scsi || class.GUID.String() != vmbus.ClassSCSI || len(vmbus.Classes()) < 15 {
		t.Fatalf("%+v", class)
	}
	_, err = vmbus.FindClass(vmbus.GUID{})
	want(t, err, vmbus.ErrNotFound)
	_, err = vmbus.ParseGUID("ba6163d9-04a1-4d29-b605-72e2ffb1dc7")
	want(t, err, vmbus.ErrInvalid)
	versions := vmbus.Versions()
	if versions[0] != vmbus.V0_13 || versions[len(versions)-1] != vmbus.V6_0 || vmbus.V5_3.String() != "5.3" {
		t.Fatal(versions)
	}
	if vmbus.FeatureName(vmbus.FeaturePause) == "?" || vmbus.Name(vmbus.NamesState, 5) != "open" || vmbus.Name(vmbus.NamesState, 99) != "?" {
		t.Fatal("names")
	}
	if vmbus.LibraryVersion() != 0x000100 {
		t.Fatalf("%x", vmbus.LibraryVersion())
	}
	for err, group := range map[vmbus.Error]vmbus.Group{vmbus.ErrFull: vmbus.GroupInfo, vmbus.ErrInvalid: vmbus.GroupCaller, vmbus.ErrPeer: vmbus.GroupPeer,
		vmbus.ErrMap: vmbus.GroupPlatform} {
		if err.Group() != group || !strings.HasPrefix(err.Error(), "vmbus: ") || !errors.Is(fmt.Errorf("so: %w", err), err) {
			t.Error(err)
		}
	}
	if vmbus.Error(-999).Error() == "" {
		t.Error("no text")
	}
}

func TestWire(t *testing.T) {
	d := vmbus.Dialect{Version: vmbus.V5_3}
	const openChannel = 5
	if vmbus.MessageName(openChannel) != "OPEN_CHANNEL" {
		t.Fatal(vmbus.MessageName(openChannel))
	}
	n, err := vmbus.MessageSize(openChannel, d)
	check(t, err)
	m, err := vmbus.NewMessage(openChannel, d)
	check(t, err)
	if len(m) != n {
		t.Fatal(len(m), n)
	}
	fields := m.Fields(d)
	if len(fields) < 5 || fields[0].Value != openChannel {
		t.Fatalf("%+v", fields)
	}
	name := fields[len(fields)-2].Name
	check(t, m.Set(d, fields[2].Name, 7))
	if m.Fields(d)[2].Value != 7 {
		t.Fatal(fields[2].Name)
	}
	want(t, m.Set(d, "no such field", 1), vmbus.ErrNotFound)
	check(t, m.Check(d, true))
	want(t, m.Check(d, false), vmbus.ErrInvalid)
	want(t, m[:7].Check(d, true), vmbus.ErrPeer)
	_, err = vmbus.NewMessage(200, d)
	want(t, err, vmbus.ErrInvalid)
	packet := make([]byte, 24) // descriptor: in-band, 16 bytes of header, 24 in all
	binary.LittleEndian.PutUint16(packet, 6)
	binary.LittleEndian.PutUint16(packet[2:], 2)
	binary.LittleEndian.PutUint16(packet[4:], 3)
	if f := vmbus.PacketFields(packet); len(f) < 5 || f[0].Value != 6 || vmbus.PacketFields(nil) != nil {
		t.Fatalf("%+v, %s", f, name)
	}
}

// A callback that calls what it is called from gets an error, and does not wait for itself.
func TestReentry(t *testing.T) {
	m := newMemory(t, 4)
	var ch *vmbus.Channel
	var errs []error
	ch, err := vmbus.NewChannel(&vmbus.ChannelConfig{Tx: vmbus.RingMemory{Memory: m, Data: 1, Count: 1, Fresh: true},
		Rx: vmbus.RingMemory{Memory: m, Control: 2, Data: 3, Count: 1, Fresh: true},
		Signal: func() {
			_, send := ch.Sender().Send(&vmbus.Packet{Kind: vmbus.InBand, Payload: []byte("again...")})
			_, _, end := ch.End()
			errs = append(errs, send, ch.Sender().Flush(), ch.Close(context.Background()), end)
		}})
	check(t, err)
	_, err = ch.Sender().Send(&vmbus.Packet{Kind: vmbus.InBand, Payload: []byte("first...")})
	check(t, err)
	if len(errs) != 4 {
		t.Fatal(errs)
	}
	for _, err := range errs {
		want(t, err, vmbus.ErrReentry)
	}
	check(t, ch.Close(context.Background()))
	check(t, m.Close())
}

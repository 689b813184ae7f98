// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus_test

import (
	"fmt"
	"testing"

	"libvmbus.invalid/vmbus"
)

// A packet of 64 bytes through both halves of a channel, by the number of packets in a batch: what a crossing costs, and what it costs each packet.
func BenchmarkBatch(b *testing.B) {
	for _, batch := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) { throughChannel(b, batch) })
	}
}

func throughChannel(b *testing.B, batch int) {
	m := newMemory(b, 36)
	there, back := vmbus.RingMemory{Memory: m, Data: 1, Count: 16, Fresh: true}, vmbus.RingMemory{Memory: m, Control: 17, Data: 18, Count: 16, Fresh: true}
	tx, err := vmbus.NewChannel(&vmbus.ChannelConfig{Tx: there, Rx: back})
	check(b, err)
	there.Fresh, back.Fresh = false, false
	rx, err := vmbus.NewChannel(&vmbus.ChannelConfig{Tx: back, Rx: there})
	check(b, err)
	out, in := vmbus.NewBatch(batch, 64*batch), vmbus.NewInbox(batch, 64*batch)
	payload := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		out.Reset()
		for range batch {
			out.InBand(payload)
		}
		if n, err := tx.Sender().SendBatch(out); n != batch || err != nil {
			b.Fatal(n, err)
		}
		if n, err := rx.Receiver().ReceiveBatch(in); n != batch || err != nil {
			b.Fatal(n, err)
		}
		for i := range batch {
			if p := in.Packet(i); len(p.Payload) != 64 {
				b.Fatal(p)
			}
		}
	}
	b.StopTimer()
	_, _, err = tx.End()
	check(b, err)
	_, _, err = rx.End()
	check(b, err)
	check(b, m.Close())
}

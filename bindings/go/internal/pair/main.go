// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// Pair is one side of make test-bindings, in Go: test/bindings/launch starts it beside the other side, which may be written in another language.
//
//	pair guest N [--wrong]
//	pair host N [--wrong]
//
// What happens is said in test/bindings/pair.c.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"libvmbus.invalid/vmbus"
)

const (
	ramFD, socketFD, irqFD = 3, 4, 5

	ramPages  = 1024
	sintIndex = 2
	slotPage  = 1
	flagsPage = 2
	ringPage  = 16
	ringPages = 17 // each way, with the control page
	depth     = 64
	largest   = 64

	callPost, callSignal, callEOM = 0, 1, 2

	callBytes = 16 + 256
)

var (
	class    = vmbus.MustGUID("6ac83d8f-6e16-4e5c-ab3d-fd8c8c2fda1b")
	instance = vmbus.MustGUID("5d8c1ba0-0f5f-4a3f-9c0b-3a9b1f3f7e11")

	side   string
	plan   [2]uint64    // transactions before the device goes, and after that
	wrong  = ^uint64(0) // of the first part: is to be wrong
	ctx    = context.Background()
	memory *vmbus.Memory
	sint   *vmbus.SINT
)

func fail(part int, s uint64, what any) {
	fmt.Fprintf(os.Stderr, "pair: Go %s, part %d, transaction %d: %v\n", side, part, s, what)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "pair: Go %s: %s: %v\n", side, what, err)
		os.Exit(1)
	}
}

// The length of transaction s, either way.
func length(s uint64) int { return 8 + int(s%57) }

func makeRequest(b []byte, s uint64) {
	binary.LittleEndian.PutUint64(b, s)
	for i := 8; i < len(b); i++ {
		b[i] = byte(s + 7*uint64(i))
	}
}

func makeCompletion(b []byte, s uint64) {
	makeRequest(b, s)
	binary.LittleEndian.PutUint64(b, ^s)
	for i := 8; i < len(b); i++ {
		b[i] ^= 0x5a
	}
}

func spoil(b []byte, part int, s uint64) {
	if part == 0 && s == wrong {
		b[len(b)-1] ^= 1
	}
}

// compare looks at all bytes of a packet; a ring has zeros behind the payload, up to a multiple of 8.
func compare(p *vmbus.Packet, part int, s uint64, expected func([]byte, uint64)) {
	var b [largest + 8]byte
	expected(b[:length(s)], s)
	padded := (length(s) + 7) &^ 7
	if len(p.Payload) != padded {
		fail(part, s, "wrong length")
	}
	if !bytes.Equal(p.Payload, b[:padded]) {
		fail(part, s, "wrong bytes")
	}
}

func main() {
	if len(os.Args) < 3 || os.Args[1] != "guest" && os.Args[1] != "host" || len(os.Args) > 3 && os.Args[3] != "--wrong" {
		fmt.Fprintln(os.Stderr, "usage: pair guest|host N [--wrong]")
		os.Exit(2)
	}
	side = os.Args[1]
	n, err := strconv.ParseUint(os.Args[2], 10, 32)
	must(err, "N")
	plan = [2]uint64{n, n / 10}
	if len(os.Args) > 3 {
		wrong = n / 2
	}
	memory, err = vmbus.MapMemory(ramFD, ramPages)
	must(err, "guest memory")
	sint, err = vmbus.NewSINT(memory, slotPage, flagsPage, sintIndex)
	must(err, "SINT")
	if side == "guest" {
		guest()
	} else {
		host()
	}
	fmt.Printf("Go %s: %d transactions, rescinded, offered anew, %d more, closed, unloaded\n", side, plan[0], plan[1])
}

// The calls of one side's are datagrams.
func send(b []byte) error { return syscall.Sendto(socketFD, b, syscall.MSG_NOSIGNAL, nil) }

func receive(b []byte) (int, error) {
	for {
		n, err := syscall.Read(socketFD, b)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

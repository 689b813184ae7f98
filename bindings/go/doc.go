// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// Package vmbus is Hyper-V's VMBus, both ends, in any program: libvmbus for Go.
//
//   - A [Guest] or a [Host] is one end of a bus. It offers, opens and closes channels, and tells an [Event] at a time.
//   - A [Channel] is a pair of rings with the requests in flight; its halves are [Sender] and [Receiver]. Packets go in batches: a [Batch] is
//     sent, an [Inbox] received, in one crossing from Go to C.
//   - [RingTx] and [RingRx] are the halves of a single ring, without requests or signals.
//   - [Memory] is pages by mmap. All that the two ends share lies there, and never in the memory of Go. A [RAM] is guest memory, which a [List]
//     names.
//   - A [Message] is the wire as named fields.
//
// # Goroutines
//
// Any goroutine may call any method, unless it says otherwise; no thread is bound. What must take turns does, by a lock of its end for the control
// side, and one for each half of a channel. Interrupt and Signal never wait for those.
//
// Calls that take a context wait for an answer of the peer, or of the program: they keep their end going meanwhile, as Next does, so that no loop of
// their own is needed. If the context ends first, the operation goes on.
//
// # Memory
//
// A packet that was sent happens before it is received, between processes, too: the ring's barriers are those of the C library. The race detector does
// not look at shared memory, and the peer may change it at any time: what is received is a copy, but for the calls that say "in place".
//
// # Callbacks
//
// A platform is an interface, called from inside calls of its end. Its methods do what they are for and return; a call of the same end gives [ErrReentry].
// A panic in one does not get into C: it is a [PanicError] of the call that it was made for, and of every later one.
//
// # What was closed
//
// Every object that was closed or ended gives [ErrClosed], whatever else is going on.
//
// # The library
//
// The package compiles libvmbus itself. With the build tag libvmbus it uses the one that pkg-config finds. A copy in the package and another one in the
// same process know nothing of each other.
package vmbus

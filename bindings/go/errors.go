// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_strerror
// #cgo nocallback vmb_strerror
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
)

// Error is a result of the library. Compare with errors.Is: errors.Is(err, vmbus.ErrFull).
type Error int32

// Results, in four groups by whose fault they are.
const (
	// ErrFull: no room in the ring; a wake comes when it fits.
	ErrFull Error = C.VMB_EFULL
	// ErrAgain: not now; the library, or you, will try again.
	ErrAgain Error = C.VMB_EAGAIN
	// ErrStopped: the control side asks for the channel: stop, and close it.
	ErrStopped Error = C.VMB_ESTOPPED
	// ErrNoSlot: as many requests are in flight as the channel was made for.
	ErrNoSlot Error = C.VMB_ENOSLOT
	// ErrTooSmall: the buffer is too small.
	ErrTooSmall Error = C.VMB_ETOOSMALL
	// ErrNotFound: no such request, GPADL, field or name: late, twice, or never there.
	ErrNotFound Error = C.VMB_ENOENT
	// ErrForeign: a SynIC message that is not VMBus's; it is left in place.
	ErrForeign Error = C.VMB_EFOREIGN

	// ErrInvalid: an argument is out of its stated range.
	ErrInvalid Error = C.VMB_EINVAL
	// ErrStruct: a struct that the library does not know; not from this package.
	ErrStruct Error = C.VMB_ESTRUCT
	// ErrHandle: no such channel any more.
	ErrHandle Error = C.VMB_EHANDLE
	// ErrState: not in this state.
	ErrState Error = C.VMB_ESTATE
	// ErrReentry: a call of an end from a callback of the same end.
	ErrReentry Error = C.VMB_EREENTRY
	// ErrNoSpace: over a limit of the config, or no memory.
	ErrNoSpace Error = C.VMB_ENOSPACE
	// ErrTooBig: this packet or list can never be sent.
	ErrTooBig Error = C.VMB_ETOOBIG

	// ErrPeer: a violation by the peer; it stays so for that channel.
	ErrPeer Error = C.VMB_EPEER
	// ErrRefused: the peer said no; [Event.PeerStatus] tells what it said.
	ErrRefused Error = C.VMB_EREFUSED
	// ErrRescinded: the device went away before it answered.
	ErrRescinded Error = C.VMB_ERESCINDED
	// ErrVersion: no version in common, or not in this version.
	ErrVersion Error = C.VMB_EVERSION
	// ErrTimedOut: no answer in the time that the config gives.
	ErrTimedOut Error = C.VMB_ETIMEDOUT

	// ErrPlatform: a message could not be posted.
	ErrPlatform Error = C.VMB_EPLATFORM
	// ErrMap: a page could not be mapped.
	ErrMap Error = C.VMB_EMAP
	// ErrLeak: the peer may still write this memory: it is kept until the connection is over.
	ErrLeak Error = C.VMB_ELEAK
)

// ErrClosed is the error of an object that was closed or ended.
var ErrClosed = errors.New("vmbus: closed")

// Group says whose fault an error is.
type Group int

// The groups of errors.
const (
	GroupInfo     Group = C.VMB_GROUP_INFO     // nothing is wrong
	GroupCaller   Group = C.VMB_GROUP_CALLER   // fix the program
	GroupPeer     Group = C.VMB_GROUP_PEER     // the peer's
	GroupPlatform Group = C.VMB_GROUP_PLATFORM // a callback failed
)

// Error is the library's text, with the name of the library before it.
func (e Error) Error() string { return "vmbus: " + C.GoString(C.vmb_strerror(C.int(e))) }

// Group says whose fault it is.
func (e Error) Group() Group { return Group(-e >> 4) }

// PanicError says that a callback panicked. The panic ends there, for C cannot be unwound; the callback has failed, and the call that it was made
// for, and every later one of the same end or channel, returns this error. What the end has heard of meanwhile may be lost: end it.
type PanicError struct {
	Callback string // the method
	Value    any    // what was given to panic
	Stack    []byte // where
}

// Error tells callback and value, without the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("vmbus: panic in %s: %v", e.Callback, e.Value)
}

// Unwrap is the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// So that an error of the data path costs no allocation.
var errs = func() (t [64]error) {
	for i := range t {
		t[i] = Error(-i)
	}
	return
}()

func check(r C.int) error {
	if r >= 0 {
		return nil
	}
	if r > -64 {
		return errs[-r]
	}
	return Error(r)
}

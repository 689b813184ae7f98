// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_guid_parse
// #cgo nocallback vmb_guid_parse
// #cgo noescape vmb_guid_format
// #cgo nocallback vmb_guid_format
// #cgo noescape vmb_hvsock_port
// #cgo nocallback vmb_hvsock_port
// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"unsafe"
)

// Page is the size of a page of the protocol, on every machine.
const Page = C.VMB_PAGE

// MessageMax is the most bytes of one control message.
const MessageMax = C.VMB_MESSAGE_MAX

// LibraryVersion is that of the library that the program runs with: major << 16 | minor << 8 | patch.
func LibraryVersion() uint32 { return uint32(C.vmb_version()) }

// GUID is a GUID in the order of the wire.
type GUID [16]byte

// ParseGUID reads "f8615163-df3e-46c5-913f-f2d2f965ed0e". Any goroutine.
func ParseGUID(text string) (GUID, error) {
	var g C.struct_vmb_guid
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	err := check(C.vmb_guid_parse(c, &g))
	return goGUID(&g), err
}

// MustGUID is ParseGUID for constants: it panics where the text is none.
func MustGUID(text string) GUID {
	g, err := ParseGUID(text)
	if err != nil {
		panic(err)
	}
	return g
}

// String writes it as ParseGUID reads it.
func (g GUID) String() string {
	var text [37]C.char
	c := g.c()
	C.vmb_guid_format(&c, &text[0])
	return C.GoString(&text[0])
}

func (g GUID) c() C.struct_vmb_guid { return *(*C.struct_vmb_guid)(unsafe.Pointer(&g)) }

func goGUID(g *C.struct_vmb_guid) GUID { return *(*GUID)(unsafe.Pointer(g)) }

// Classes of well-known devices.
const (
	ClassNet       = C.VMB_CLASS_NET
	ClassIDE       = C.VMB_CLASS_IDE
	ClassSCSI      = C.VMB_CLASS_SCSI
	ClassFC        = C.VMB_CLASS_FC
	ClassKeyboard  = C.VMB_CLASS_KEYBOARD
	ClassMouse     = C.VMB_CLASS_MOUSE
	ClassVideo     = C.VMB_CLASS_VIDEO
	ClassHeartbeat = C.VMB_CLASS_HEARTBEAT
	ClassShutdown  = C.VMB_CLASS_SHUTDOWN
	ClassTimeSync  = C.VMB_CLASS_TIMESYNC
	ClassKVP       = C.VMB_CLASS_KVP
	ClassVSS       = C.VMB_CLASS_VSS
	ClassFCopy     = C.VMB_CLASS_FCOPY
	ClassBalloon   = C.VMB_CLASS_BALLOON
	ClassVPCI      = C.VMB_CLASS_VPCI
)

// Class is a row of the registry of well-known device classes.
type Class struct {
	Name string // short: "scsi"
	Text string // the GUID as text
	GUID GUID
	Pipe bool // its packets carry the pipe header: [OfferPipe]
}

func goClass(c *C.struct_vmb_class) Class {
	return Class{C.GoString(c.name), C.GoString(c.text), goGUID(&c.guid), c.pipe != 0}
}

// Classes is the registry of well-known device classes.
func Classes() (all []Class) {
	var c C.struct_vmb_class
	for C.vmb_class_at(C.uint32_t(len(all)), &c) == 0 {
		all = append(all, goClass(&c))
	}
	return
}

// FindClass is the row of a class; [ErrNotFound].
func FindClass(guid GUID) (Class, error) {
	var c C.struct_vmb_class
	g := guid.c()
	if err := check(C.vmb_class_find(&g, &c)); err != nil {
		return Class{}, err
	}
	return goClass(&c), nil
}

// Version is a protocol version.
type Version uint32

// Protocol versions.
const (
	V0_13 Version = C.VMB_V0_13
	V1_1  Version = C.VMB_V1_1
	V2_4  Version = C.VMB_V2_4
	V3_0  Version = C.VMB_V3_0
	V4_0  Version = C.VMB_V4_0
	V4_1  Version = C.VMB_V4_1
	V5_0  Version = C.VMB_V5_0
	V5_1  Version = C.VMB_V5_1
	V5_2  Version = C.VMB_V5_2
	V5_3  Version = C.VMB_V5_3
	V6_0  Version = C.VMB_V6_0
)

// String is as "5.3".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v>>16, v&0xffff) }

// Versions are all protocol versions, oldest first.
func Versions() (all []Version) {
	for {
		v := C.vmb_version_at(C.uint32_t(len(all)))
		if v == 0 {
			return
		}
		all = append(all, Version(v))
	}
}

// Features are bits of what a 6.0 connection can do, and of a host's config.
type Features uint32

// Features.
const (
	FeatureSignalParameters Features = C.VMB_FEATURE_SIGNAL_PARAMETERS
	FeatureRedirect         Features = C.VMB_FEATURE_REDIRECT
	FeatureModifyConnection Features = C.VMB_FEATURE_MODIFY_CONNECTION
	FeatureClientID         Features = C.VMB_FEATURE_CLIENT_ID
	FeatureConfidential     Features = C.VMB_FEATURE_CONFIDENTIAL
	FeaturePause            Features = C.VMB_FEATURE_PAUSE
	FeatureServerMonitor    Features = C.VMB_FEATURE_SERVER_MONITOR
	FeaturePinning          Features = C.VMB_FEATURE_PINNING
	FeatureNone             Features = C.VMB_FEATURE_NONE     // in a host's config: none at all
	FeaturesDefault         Features = C.VMB_FEATURES_DEFAULT // of a host
)

// FeatureName is the name of one bit; "?" for others.
func FeatureName(bit Features) string { return C.GoString(C.vmb_feature_name(C.uint32_t(bit))) }

// NameSet is a set of numbers that traces and snapshots tell.
type NameSet uint32

// Sets of names.
const (
	NamesTrace  NameSet = C.VMB_NAMES_TRACE  // [Trace].Point
	NamesFate   NameSet = C.VMB_NAMES_FATE   // what became of a message
	NamesBus    NameSet = C.VMB_NAMES_BUS    // states of a connection
	NamesState  NameSet = C.VMB_NAMES_STATE  // states of a channel
	NamesDevice NameSet = C.VMB_NAMES_DEVICE // states of a host's device
	NamesList   NameSet = C.VMB_NAMES_LIST   // states of a GPADL
	NamesHas    NameSet = C.VMB_NAMES_HAS    // one bit of [Part].Flags
)

// Name is the word for a number: "opening"; "?" for others.
func Name(set NameSet, value uint32) string {
	return C.GoString(C.vmb_name(C.uint32_t(set), C.uint32_t(value)))
}

// Statuses of the two hypercalls.
const (
	StatusSuccess           = C.VMB_HV_SUCCESS
	StatusInvalidParameter  = C.VMB_HV_INVALID_PARAMETER
	StatusNoMemory          = C.VMB_HV_NO_MEMORY
	StatusInvalidConnection = C.VMB_HV_INVALID_CONNECTION
	StatusNoBuffers         = C.VMB_HV_NO_BUFFERS
	StatusTimeout           = C.VMB_HV_TIMEOUT
)

// NoVP as the target of a channel: no interrupts, the guest polls.
const NoVP = C.VMB_VP_NONE

// HvsockPort is the service of a port of AF_VSOCK, as Linux maps it.
func HvsockPort(port uint32) GUID {
	var g C.struct_vmb_guid
	C.vmb_hvsock_port(C.uint32_t(port), &g)
	return goGUID(&g)
}

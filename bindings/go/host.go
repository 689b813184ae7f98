// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmbgo_gpadl_hold
// #include "shim.h"
import "C"

import (
	"context"
	"unsafe"
)

// HostPlatform is what a host end needs of its platform. Its methods are called from inside calls of the end and of its channels, and may call nothing
// of that end: [ErrReentry]. A panic becomes a [PanicError] of that call. It may be a [Tracer], too.
type HostPlatform interface {
	// Message puts a message into the slot of a SINT of a VP ([SINT.Post]), and interrupts. [ErrAgain]: it is occupied, EOM will follow. One at a
	// time. message is not to be kept.
	Message(vp, vtl, sint uint32, message []byte) error
	// Interrupt sets an event flag of a SINT of a VP ([SINT.Set]), and interrupts. Any number at a time, on any goroutine that uses a channel.
	Interrupt(vp, vtl, sint, flag uint32)
}

// MapFlags say what a page is mapped for.
type MapFlags uint32

// Flags of maps.
const (
	MapWrite   MapFlags = C.VMB_MAP_WRITE   // will be written; in Unmap: has been written
	MapAlways  MapFlags = C.VMB_MAP_ALWAYS  // stays mapped and is written at any time
	MapRing    MapFlags = C.VMB_MAP_RING    // a ring: what is written, Channel.Dirty reports
	MapPrivate MapFlags = C.VMB_MAP_PRIVATE // confidential VM: private memory
)

// Mapper maps guest pages for a host, where a [RAM] is not enough. One call at a time. The memory of a page must not be closed before its Unmap.
type Mapper interface {
	// Map gives a page for each number, or an error for all of them.
	Map(pfns []uint64, flags MapFlags, pages []MemoryPage) error
	// Unmap takes back what one Map gave.
	Unmap(pfns []uint64, flags MapFlags, pages []MemoryPage)
}

// HostFlags are flags of a host end.
type HostFlags uint32

// Flags of a host end.
const (
	HostMonitor  HostFlags = C.VMB_HOST_MONITOR  // give monitor ids out
	HostRedirect HostFlags = C.VMB_HOST_REDIRECT // channels opened with OpenRedirect interrupt SINT 7 of VTL 2
	HostTrusted  HostFlags = C.VMB_HOST_TRUSTED  // a paravisor's server: what comes by PostTrusted may be confidential
)

// Limits of Hyper-V for [HostConfig].MaxGPADLPages.
const (
	GPADLPages2016 = C.VMB_GPADL_PAGES_2016 // before Server 2019
	GPADLPages2019 = C.VMB_GPADL_PAGES_2019
)

// HostConfig is limits and features of a host end; beside RAM or Mapper the zero value is usable.
type HostConfig struct {
	RAM                      *RAM   // the guest's memory: the normal way, which costs no call of Go
	Mapper                   Mapper // or: who maps it
	Flags                    HostFlags
	MaxVersion               Version        // 0: all there are
	Features                 Features       // that a guest may have; 0: FeaturesDefault
	VPs                      uint32         // VP indexes below this exist; 0: not checked
	VTL                      uint32         // whose server this is: 0, or 2
	FirstChannelID           uint32         // 0: 1
	MaxChannels              uint32         // offers at once; 0: 64
	MaxGPADLs, MaxGPADLPages uint32         // 0: 256 live ones, 65536 pages in all
	MaxGPADLsBuilding        uint32         // 0: 64
	MaxMessages              uint32         // waiting for the guest's slot; 0: 64 more than channels
	MaxHvsock, HvsockMS      uint32         // connects of the guest waiting for an answer (0: all are refused), and how long for the open (0: 5000)
	MonitorLatency           uint32         // in 100 ns; 0: 1000
	Monitor                  *[2]SharedPage // with FeatureServerMonitor: host-to-guest, guest-to-host
	SignalBudget, SignalMS   uint32         // needless signals of one channel within so many milliseconds; 0: the default
}

// Host is the host end of a bus: what a hypervisor has. Any goroutine may use it; [control] calls take turns. Calls that take a context wait for an
// answer, and keep the end going meanwhile; if a context ends before, the operation goes on, and Next tells how it went.
type Host struct {
	end
	raw      *C.struct_vmb_host
	platform HostPlatform
	mapper   Mapper
	pages    []*Memory
	devices  uint64            // offers so far: what wake says
	users    map[Handle]uint64 // the same, by handle
}

// NewHost makes a host end. End it.
func NewHost(cfg *HostConfig, platform HostPlatform) (*Host, error) {
	if platform == nil || (cfg.RAM == nil) == (cfg.Mapper == nil) {
		return nil, ErrInvalid
	}
	h := &Host{platform: platform, mapper: cfg.Mapper, users: map[Handle]uint64{}}
	c := C.struct_vmb_host_config{size: C.sizeof_struct_vmb_host_config, flags: C.uint32_t(cfg.Flags), max_version: C.uint32_t(cfg.MaxVersion),
		features: C.uint32_t(cfg.Features), vps: C.uint32_t(cfg.VPs), vtl: C.uint32_t(cfg.VTL),
		first_channel_id: C.uint32_t(cfg.FirstChannelID), max_channels: C.uint32_t(cfg.MaxChannels), max_gpadls: C.uint32_t(cfg.MaxGPADLs),
		max_gpadl_pages: C.uint32_t(cfg.MaxGPADLPages), max_gpadls_building: C.uint32_t(cfg.MaxGPADLsBuilding),
		max_messages: C.uint32_t(cfg.MaxMessages), max_hvsock: C.uint32_t(cfg.MaxHvsock), hvsock_ms: C.uint32_t(cfg.HvsockMS),
		monitor_latency: C.uint32_t(cfg.MonitorLatency), signal_budget: C.uint32_t(cfg.SignalBudget), signal_ms: C.uint32_t(cfg.SignalMS)}
	for i := 0; cfg.Monitor != nil && i < 2; i++ {
		at := &cfg.Monitor[i]
		if at.GPA == 0 {
			continue
		}
		p, err := at.Memory.use(at.Page, 1)
		if err != nil {
			release(h.pages)
			return nil, err
		}
		h.pages = append(h.pages, at.Memory)
		c.monitor_gpa[i], c.monitor_page[i] = C.uint64_t(at.GPA), p
	}
	if err := h.init(h, cfg.RAM); err != nil {
		release(h.pages)
		return nil, err
	}
	var with C.uint32_t
	if t, ok := platform.(Tracer); ok {
		h.tracer, with = t, with|C.VMBGO_TRACE
	}
	if cfg.Mapper != nil {
		with |= C.VMBGO_MAPPER
	}
	if err := check(C.vmbgo_host_new(&c, h.ctx, with, &h.raw, &h.mem)); err != nil {
		release(h.pages)
		h.forget()
		return nil, err
	}
	h.poll = func(now C.uint64_t, ev *C.struct_vmb_event) C.int { return C.vmb_host_poll(h.raw, now, ev) }
	h.give = func(ch Handle) C.int { return C.vmb_host_detach(h.raw, C.vmb_handle(ch)) }
	return h, nil
}

// End ends it; stop the vCPUs first. [ErrState]: a channel is not over. Later calls give [ErrClosed].
func (h *Host) End() error { return h.leave(false) }

// Abandon ends it without a word to the peer: after Save, where another end goes on. [ErrState]: a channel is not over.
func (h *Host) Abandon() error { return h.leave(true) }

func (h *Host) leave(anyway bool) error {
	err := h.finish(anyway, func() C.int { return C.vmb_host_end(h.raw) })
	if err == nil {
		release(h.pages)
	}
	return err
}

// ---- what comes in

// Post is HvPostMessage: the hypercall's input, copied out of guest memory, header included. Gives the status for the guest.
func (h *Host) Post(input []byte) (status uint16, err error) {
	r, err := h.controlled(func() C.int {
		return C.vmb_host_post(h.raw, unsafe.Pointer(unsafe.SliceData(input)), C.uint32_t(len(input)))
	})
	return uint16(max(r, 0)), err
}

// PostTrusted is the same by a path that only guest and paravisor see.
func (h *Host) PostTrusted(input []byte) (status uint16, err error) {
	r, err := h.controlled(func() C.int {
		return C.vmb_host_post_trusted(h.raw, unsafe.Pointer(unsafe.SliceData(input)), C.uint32_t(len(input)))
	})
	return uint16(max(r, 0)), err
}

// Signal is HvSignalEvent; gives the status for the guest. Never waits.
func (h *Host) Signal(connection, flag uint32) (status uint16, err error) {
	r, err := h.any(func() C.int { return C.vmb_host_signal(h.raw, C.uint32_t(connection), C.uint32_t(flag)) })
	return uint16(max(r, 0)), err
}

// Monitor looks at the monitor page, and wakes the channels whose bits are set: some were. Never waits.
func (h *Host) Monitor() (bool, error) {
	r, err := h.any(func() C.int { return C.vmb_host_monitor(h.raw) })
	return r > 0 && r&C.VMB_YES != 0, err
}

// EOM says that this VP has freed a slot, or may have.
func (h *Host) EOM(vp uint32) error {
	return h.control(func() C.int { return C.vmb_host_eom(h.raw, C.uint32_t(vp)) })
}

// Next is the next event that no other call waits for: opens, closes, the guest's coming and going. It keeps the end going while it waits.
func (h *Host) Next(ctx context.Context) (Event, error) { return h.next(ctx) }

// ---- devices

// Offer offers a channel, now or when a guest asks.
func (h *Host) Offer(offer *Offer) (Handle, error) {
	c := offer.c()
	var ch C.vmb_handle
	err := h.control(func() C.int {
		c.user = C.uint64_t(h.devices + 1)
		r := C.vmb_host_offer(h.raw, &c, &ch)
		if r >= 0 {
			h.devices++
			h.users[Handle(ch)] = h.devices
		}
		return r
	})
	return Handle(ch), err
}

// Remove takes a device away, and waits until the guest has let go of it. A channel that is attached is asked for by [EventClose]; close it on another
// goroutine.
func (h *Host) Remove(ctx context.Context, ch Handle) error {
	_, err := h.finishing(ctx, true, of(EventGone, ch), func() C.int { return C.vmb_host_remove(h.raw, C.vmb_handle(ch)) })
	return err
}

// OpenInfo is what the guest asked for when it opened the channel.
type OpenInfo struct {
	Flags                           OfferFlags // as in force for this open
	OpenFlags                       OpenFlags
	Version                         Version
	RingGPADL, RingPages, RxPages   uint32 // Rx: the guest sends here
	TargetVP, TargetVTL, TargetSINT uint32
	EventFlag, ConnectionID         uint32
	UserData                        [120]byte
}

// OpenInfo is what the guest asked for, from [EventOpen] on.
func (h *Host) OpenInfo(ch Handle) (OpenInfo, error) {
	c := C.struct_vmb_open_info{size: C.sizeof_struct_vmb_open_info}
	err := h.control(func() C.int { return C.vmb_host_open_info(h.raw, C.vmb_handle(ch), &c) })
	o := OpenInfo{Flags: OfferFlags(c.flags), OpenFlags: OpenFlags(c.open_flags), Version: Version(c.version), RingGPADL: uint32(c.ring_gpadl),
		RingPages: uint32(c.ring_pages), RxPages: uint32(c.rx_pages), TargetVP: uint32(c.target_vp), TargetVTL: uint32(c.target_vtl),
		TargetSINT: uint32(c.target_sint), EventFlag: uint32(c.event_flag), ConnectionID: uint32(c.connection_id)}
	for i, b := range c.user_data {
		o.UserData[i] = byte(b)
	}
	return o, err
}

// Attach says yes to [EventOpen]: maps the rings, and tells the guest. If it fails the guest has been told no.
func (h *Host) Attach(handle Handle, opt *ChannelOptions) (*Channel, error) {
	if opt == nil {
		opt = new(ChannelOptions)
	}
	c := opt.c()
	ch := newChannel(&h.callbacks)
	ch.end, ch.handle = &h.end, handle
	err := h.control(func() C.int {
		info := C.struct_vmb_open_info{size: C.sizeof_struct_vmb_open_info}
		if r := C.vmb_host_open_info(h.raw, C.vmb_handle(handle), &info); r < 0 {
			return r
		}
		c.ring_pages, ch.user = info.ring_pages, h.users[handle]
		return h.make(ch, func(raw **C.struct_vmb_channel, mem *unsafe.Pointer) C.int {
			return C.vmbgo_host_attach(h.raw, C.vmb_handle(handle), &c, raw, mem)
		})
	})
	if err != nil {
		ch.unmade()
		return nil, err
	}
	return ch, nil
}

// Answer answers a question otherwise: nil, or why not. See [Event.Asks]. [ErrNotFound]: late or twice, harmless.
func (h *Host) Answer(question Event, why error) error {
	return h.control(func() C.int { return C.vmb_host_answer(h.raw, &question.c, C.int32_t(codeOf(why, ErrRefused))) })
}

// Hvsock is what [EventHvsock] asks: offer a channel ([Hvsock.Offer]) and then answer nil, or answer why not.
func (h *Host) Hvsock(question Event) (Hvsock, error) {
	var c C.struct_vmb_hvsock
	err := h.control(func() C.int { return C.vmb_host_hvsock(h.raw, &question.c, &c) })
	return goHvsock(&c), err
}

// GPADLInfo is what is known of a GPADL.
type GPADLInfo struct {
	Flags, Ranges, Words, Pages, Held uint32
	Bytes                             uint64
}

// GPADLInfo is what is known of a GPADL; [ErrNotFound].
func (h *Host) GPADLInfo(ch Handle, gpadl uint32) (GPADLInfo, error) {
	c := C.struct_vmb_gpadl_info{size: C.sizeof_struct_vmb_gpadl_info}
	err := h.control(func() C.int { return C.vmb_host_gpadl_info(h.raw, C.vmb_handle(ch), C.uint32_t(gpadl), &c) })
	return GPADLInfo{uint32(c.flags), uint32(c.ranges), uint32(c.words), uint32(c.pages), uint32(c.held), uint64(c.bytes)}, err
}

// HoldGPADL copies the list of a GPADL, and holds it: until as many ReleaseGPADL the guest does not get its memory back; [EventGPADLDown] asks for it.
func (h *Host) HoldGPADL(ch Handle, gpadl uint32) (List, error) {
	info, err := h.GPADLInfo(ch, gpadl)
	if err != nil {
		return List{}, err
	}
	words := make([]uint64, info.Words)
	var count, ranges C.uint32_t
	err = h.control(func() C.int {
		return C.vmbgo_gpadl_hold(h.raw, C.vmb_handle(ch), C.uint32_t(gpadl), cWords(words), C.uint32_t(len(words)), &count, &ranges)
	})
	if err != nil {
		return List{}, err
	}
	return List{words[:count], uint32(ranges)}, nil
}

// ReleaseGPADL gives one hold back.
func (h *Host) ReleaseGPADL(ch Handle, gpadl uint32) error {
	return h.control(func() C.int { return C.vmb_host_gpadl_release(h.raw, C.vmb_handle(ch), C.uint32_t(gpadl)) })
}

// User is who uses guest memory: the ring of a channel, or a hold.
type User struct {
	Handle Handle
	GPADL  uint32
}

// Users are who uses guest pages, before they are taken away.
func (h *Host) Users(pfn, pages uint64) (all []User, err error) {
	err = h.control(func() (r C.int) {
		var cursor, gpadl C.uint32_t
		var ch C.vmb_handle
		for {
			if r = C.vmb_host_users(h.raw, C.uint64_t(pfn), C.uint64_t(pages), &cursor, &ch, &gpadl); r <= 0 {
				return
			}
			all = append(all, User{Handle(ch), uint32(gpadl)})
		}
	})
	return
}

// Limit lowers what the next contact may have; 0: as the config says.
func (h *Host) Limit(v Version, f Features) error {
	return h.control(func() C.int { return C.vmb_host_limit(h.raw, C.uint32_t(v), C.uint32_t(f)) })
}

// Reset is for a reset of the VM: waits until all channels and holds have been given back, for which [EventClose] and [EventGPADLDown] ask.
func (h *Host) Reset(ctx context.Context) error {
	_, err := h.finishing(ctx, true, of(EventReset, 0), func() C.int { return C.vmb_host_reset(h.raw) })
	return err
}

// ---- looking, saving

// Info is what the end counts.
func (h *Host) Info() (BusInfo, error) {
	return h.info(func(c *C.struct_vmb_bus_info) C.int { return C.vmb_host_info(h.raw, c) })
}

// Snapshot is the parts of the end: the connection, then channels, then GPADLs.
func (h *Host) Snapshot() ([]Part, error) {
	return h.snapshot(func(cursor *C.uint32_t, c *C.struct_vmb_part) C.int { return C.vmb_host_snapshot(h.raw, cursor, c) })
}

// Save writes what this end knows of its guest, in a format; 0: the newest. The vCPUs are stopped, and the halves of all channels idle and flushed
// (else [ErrState]). It changes nothing.
func (h *Host) Save(format uint32) ([]byte, error) {
	return h.save(func(buf unsafe.Pointer, n C.size_t, used *C.size_t) C.int {
		return C.vmb_host_save(h.raw, C.uint32_t(format), buf, n, used)
	})
}

// Restore goes on from there, in an end that has had no guest, after all devices were offered again. What waits for a device comes as events that are
// [Event.Restored].
func (h *Host) Restore(saved []byte) error {
	return h.control(func() C.int {
		return C.vmb_host_restore(h.raw, unsafe.Pointer(unsafe.SliceData(saved)), C.size_t(len(saved)))
	})
}

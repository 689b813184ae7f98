// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

package vmbus

// #cgo noescape vmb_guest_interrupt
// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"unsafe"
)

// GuestPlatform is what a guest end needs of its platform: the two hypercalls. They are called from inside calls of the end and of its channels, and
// may call nothing of that end: [ErrReentry]. A panic becomes a [PanicError] of that call. It may be a [Tracer] and a [MonitorMapper], too.
type GuestPlatform interface {
	// Post is HvPostMessage with message type 1; gives the hypercall's status. One at a time. message is not to be kept.
	Post(connection uint32, message []byte) (status uint16)
	// Signal is HvSignalEvent. Any number at a time, on any goroutine that uses a channel.
	Signal(connection, flag uint32)
}

// MonitorMapper is a [GuestPlatform] that can map the host's own monitor pages.
type MonitorMapper interface {
	// MapMonitor maps those of host-to-guest (0: there is none) and guest-to-host, until the guest is disconnected. An error: do without.
	MapMonitor(gpa [2]uint64) ([2]MemoryPage, error)
}

// SharedPage is a page that both ends see.
type SharedPage struct {
	GPA    uint64
	Memory *Memory
	Page   int // of Memory
}

// GuestConfig is limits and features of a guest end; the zero value is usable.
type GuestConfig struct {
	MinVersion, MaxVersion       Version        // 0: any
	Features                     Features       // to ask for at 6.0
	MessageVP                    uint32         // that gets messages
	SINT                         uint32         // 0: SINT 2
	VTL                          uint32         // that this guest runs in
	MaxChannels                  uint32         // 0: 64. Offers above are declined
	MaxGPADLs, MaxGPADLPages     uint32         // 0: two for each channel; 8190 pages being announced
	ConnectMS, ReplyMS, UnloadMS uint32         // for each answer; 0: wait for ever
	MaxHvsock                    uint32         // connects under way at once; 0: none
	ClientID                     GUID           // with FeatureClientID
	Interrupt                    *SharedPage    // nil: no version below 2.4
	Monitor                      *[2]SharedPage // host-to-guest, guest-to-host
	SignalBudget, SignalMS       uint32         // needless signals of one channel within so many milliseconds; 0: the default
}

// Guest is the guest end of a bus: what a guest's kernel has. Any goroutine may use it; [control] calls take turns. Calls that take a context wait for
// an answer, and keep the end going meanwhile; somebody must bring in what the host sends, by Service or Interrupt and Slot, on another goroutine. If a
// context ends before the answer comes, the operation goes on, and Next tells how it went.
type Guest struct {
	end
	raw      *C.struct_vmb_guest
	platform GuestPlatform
	pages    []*Memory
	sockets  uint64
}

// NewGuest makes a guest end. End it.
func NewGuest(cfg *GuestConfig, platform GuestPlatform) (*Guest, error) {
	if platform == nil {
		return nil, ErrInvalid
	}
	g := &Guest{platform: platform}
	c := C.struct_vmb_guest_config{size: C.sizeof_struct_vmb_guest_config, min_version: C.uint32_t(cfg.MinVersion),
		max_version: C.uint32_t(cfg.MaxVersion), features: C.uint32_t(cfg.Features), message_vp: C.uint32_t(cfg.MessageVP),
		sint: C.uint32_t(cfg.SINT), vtl: C.uint32_t(cfg.VTL), max_channels: C.uint32_t(cfg.MaxChannels),
		max_gpadls: C.uint32_t(cfg.MaxGPADLs), max_gpadl_pages: C.uint32_t(cfg.MaxGPADLPages), connect_ms: C.uint32_t(cfg.ConnectMS),
		reply_ms: C.uint32_t(cfg.ReplyMS), unload_ms: C.uint32_t(cfg.UnloadMS), max_hvsock: C.uint32_t(cfg.MaxHvsock),
		client_id: cfg.ClientID.c(), signal_budget: C.uint32_t(cfg.SignalBudget), signal_ms: C.uint32_t(cfg.SignalMS)}
	if cfg.Interrupt != nil {
		p, err := g.page(cfg.Interrupt)
		if err != nil {
			return nil, err
		}
		c.interrupt_gpa, c.interrupt_page = C.uint64_t(cfg.Interrupt.GPA), p
	}
	if cfg.Monitor != nil {
		for i := range cfg.Monitor {
			p, err := g.page(&cfg.Monitor[i])
			if err != nil {
				release(g.pages)
				return nil, err
			}
			c.monitor_gpa[i], c.monitor_page[i] = C.uint64_t(cfg.Monitor[i].GPA), p
		}
	}
	if err := g.init(g, nil); err != nil {
		release(g.pages)
		return nil, err
	}
	var with C.uint32_t
	if t, ok := platform.(Tracer); ok {
		g.tracer, with = t, with|C.VMBGO_TRACE
	}
	if _, ok := platform.(MonitorMapper); ok {
		with |= C.VMBGO_MONITOR
	}
	if err := check(C.vmbgo_guest_new(&c, g.ctx, with, &g.raw, &g.mem)); err != nil {
		release(g.pages)
		g.forget()
		return nil, err
	}
	g.poll = func(now C.uint64_t, ev *C.struct_vmb_event) C.int { return C.vmb_guest_poll(g.raw, now, ev) }
	g.give = func(ch Handle) C.int { return C.vmb_guest_close(g.raw, C.vmb_handle(ch)) }
	return g, nil
}

func (g *Guest) page(p *SharedPage) (unsafe.Pointer, error) {
	at, err := p.Memory.use(p.Page, 1)
	if err == nil {
		g.pages = append(g.pages, p.Memory)
	}
	return at, err
}

// End ends it. [ErrState]: it is connected, or a channel is not over. Later calls give [ErrClosed].
func (g *Guest) End() error { return g.leave(false) }

// Abandon ends it without a word to the peer: after Save, where another end goes on. [ErrState]: a channel is not over.
func (g *Guest) Abandon() error { return g.leave(true) }

func (g *Guest) leave(anyway bool) error {
	err := g.finish(anyway, func() C.int { return C.vmb_guest_end(g.raw) })
	if err == nil {
		release(g.pages)
	}
	return err
}

// ---- what comes in

// Interrupt is for the SINT's handler, on each VP: clears the event flags, and wakes channels. true: the slot holds a message, somebody must call Slot.
// Never waits.
func (g *Guest) Interrupt(s *SINT) (message bool, err error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.memory == nil {
		return false, ErrClosed
	}
	r, err := g.any(func() C.int { return C.vmb_guest_interrupt(g.raw, s.flags, s.slot) })
	return r > 0 && r&C.VMB_YES != 0, err
}

// Slot takes one message out of the slot. more: there was one, look again. eom: now write the end-of-message register of this VP. [ErrForeign]: it is
// not VMBus's.
func (g *Guest) Slot(s *SINT) (more, eom bool, err error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.memory == nil {
		return false, false, ErrClosed
	}
	r, err := g.controlled(func() C.int { return C.vmb_guest_slot(g.raw, s.slot) })
	return r > 0 && r&C.VMB_YES != 0, r > 0 && r&C.VMB_EOM != 0, err
}

// Service does all that an interrupt asks for: Interrupt, and Slot until it is empty. eom writes the end-of-message register of this VP.
func (g *Guest) Service(s *SINT, eom func()) error {
	message, err := g.Interrupt(s)
	for message && err == nil {
		var end bool
		if message, end, err = g.Slot(s); end {
			eom()
		}
	}
	return err
}

// Message takes a message that came another way.
func (g *Guest) Message(message []byte) error {
	return g.control(func() C.int {
		return C.vmb_guest_message(g.raw, unsafe.Pointer(unsafe.SliceData(message)), C.uint32_t(len(message)))
	})
}

// Next is the next event that no other call waits for: offers, rescinds, and what contexts gave up. It keeps the end going while it waits.
func (g *Guest) Next(ctx context.Context) (Event, error) { return g.next(ctx) }

// ---- the connection

// Connect negotiates, from the highest version down, and asks for offers, which Next tells.
func (g *Guest) Connect(ctx context.Context) error {
	_, err := g.do(ctx, of(EventConnected, 0), func() C.int { return C.vmb_guest_connect(g.raw) })
	return err
}

// Disconnect ends the connection. Every channel is rescinded, which Next tells; when all were released, the host is told, and when it has
// answered, no memory is its any more.
func (g *Guest) Disconnect(ctx context.Context) error {
	_, err := g.finishing(ctx, true, of(EventDisconnected, 0), func() C.int { return C.vmb_guest_disconnect(g.raw) })
	return err
}

// Crash is for a dying system, whatever holds the locks; no other call of this end may be started any more. s nil: posts UNLOAD; [ErrAgain]: call again
// in a moment. Then look into the slot of every VP, again and again, until done. eom as Slot.
func (g *Guest) Crash(s *SINT) (done, eom bool, err error) {
	if g.life.TryRLock() {
		defer g.life.RUnlock()
		if g.ended {
			return false, false, ErrClosed
		}
	}
	var slot unsafe.Pointer
	if s != nil {
		slot = s.slot
	}
	r := C.vmb_guest_crash(g.raw, slot)
	return r > 0 && r&C.VMB_YES != 0, r > 0 && r&C.VMB_EOM != 0, check(r)
}

// Monitor has other monitor pages for this connection, or, nil, none. With [FeatureModifyConnection]. The old pages stay in use until End.
func (g *Guest) Monitor(ctx context.Context, pages *[2]SharedPage) error {
	var gpa [2]C.uint64_t
	var at [2]unsafe.Pointer
	_, err := g.do(ctx, of(EventMonitor, 0), func() C.int {
		for i := 0; pages != nil && i < 2; i++ {
			p, err := g.page(&pages[i])
			if err != nil {
				return codeOf(err, ErrInvalid)
			}
			gpa[i], at[i] = C.uint64_t(pages[i].GPA), p
		}
		return C.vmb_guest_monitor(g.raw, &gpa[0], &at[0])
	})
	return err
}

// Pause has no message come until Resume. With [FeaturePause].
func (g *Guest) Pause(ctx context.Context) error {
	_, err := g.do(ctx, of(EventPaused, 0), func() C.int { return C.vmb_guest_pause(g.raw) })
	return err
}

// Resume has messages come again. [ErrState]: not paused.
func (g *Guest) Resume() error { return g.control(func() C.int { return C.vmb_guest_resume(g.raw) }) }

// ConnectHvsock connects to a service of the host: the handle is of a new channel, as after an offer. The endpoint is an id of your choice that no
// other connection has.
func (g *Guest) ConnectHvsock(ctx context.Context, socket *Hvsock) (Handle, error) {
	c := socket.c()
	var user C.uint64_t
	ev, err := g.do(ctx, func(ev *Event) bool { return ev.Kind() == EventHvsock && ev.c.user == user }, func() C.int {
		g.sockets++
		user = C.uint64_t(g.sockets)
		return C.vmb_guest_hvsock(g.raw, &c, user)
	})
	return ev.Handle(), err
}

// CloseReserved closes a reserved channel that an earlier system has left open. The answer comes to a SINT of a VP.
func (g *Guest) CloseReserved(ctx context.Context, channelID, vp, sint uint32) error {
	_, err := g.do(ctx, of(EventClosed, 0), func() C.int {
		return C.vmb_guest_close_reserved(g.raw, C.uint32_t(channelID), C.uint32_t(vp), C.uint32_t(sint))
	})
	return err
}

// Targets are the open channels that interrupt this VP.
func (g *Guest) Targets(vp uint32) (all []Handle, err error) {
	err = g.control(func() (r C.int) {
		var cursor C.uint32_t
		var ch C.vmb_handle
		for {
			if r = C.vmb_guest_targets(g.raw, C.uint32_t(vp), &cursor, &ch); r <= 0 {
				return
			}
			all = append(all, Handle(ch))
		}
	})
	return
}

// ---- channels

// Offer is what was offered.
func (g *Guest) Offer(ch Handle) (Offer, error) {
	c := C.struct_vmb_offer{size: C.sizeof_struct_vmb_offer}
	err := g.control(func() C.int { return C.vmb_guest_offer(g.raw, C.vmb_handle(ch), &c) })
	return goOffer(&c), err
}

// OpenFlags are flags of an open.
type OpenFlags uint32

// Flags of an open.
const (
	OpenReserved OpenFlags = C.VMB_OPEN_RESERVED // a reserved channel: no interrupts, and it outlives this connection
	OpenRedirect OpenFlags = C.VMB_OPEN_REDIRECT // with FeatureRedirect: interrupts to SINT 7 of VTL 2
)

// OpenConfig is how a guest opens a channel, and the memory of its rings.
type OpenConfig struct {
	ChannelOptions
	Flags                   OpenFlags
	Memory                  *Memory
	Page                    int      // of Memory, where the rings begin: sending control page, its data, receiving control page, its data
	GPA                     uint64   // where they lie in the guest, in a row
	PFNs                    []uint64 // or: the numbers of all their pages
	TxPages, RxPages        uint32   // each with its control page
	TargetVP                uint32   // whose SINT gets the interrupts; NoVP: none
	TargetSINT              uint32   // reserved channels: where the answer goes
	ConnectionID, EventFlag uint32   // with FeatureSignalParameters; 0: as offered
	UserData                [120]byte
}

// Open clears the rings, announces them, opens the channel, and waits for the host. If that does not work, the channel is over, its handle not: release
// it, or open it again. The memory stays in use until the channel is over.
func (g *Guest) Open(ctx context.Context, handle Handle, cfg *OpenConfig) (*Channel, error) {
	pages := uint64(cfg.TxPages) + uint64(cfg.RxPages)
	if cfg.PFNs != nil && uint64(len(cfg.PFNs)) != pages {
		return nil, ErrInvalid
	}
	at, err := cfg.Memory.use(cfg.Page, int(pages))
	if err != nil {
		return nil, err
	}
	c := cfg.ChannelOptions.c()
	o := C.struct_vmb_open{size: C.sizeof_struct_vmb_open, flags: C.uint32_t(cfg.Flags), tx_pages: C.uint32_t(cfg.TxPages),
		rx_pages: C.uint32_t(cfg.RxPages), target_vp: C.uint32_t(cfg.TargetVP), target_sint: C.uint32_t(cfg.TargetSINT),
		connection_id: C.uint32_t(cfg.ConnectionID), event_flag: C.uint32_t(cfg.EventFlag), user: C.uint64_t(handle),
		ring_gpa: C.uint64_t(cfg.GPA), ring: at}
	for i, b := range cfg.UserData {
		o.user_data[i] = C.uint8_t(b)
	}
	ch := newChannel(&g.callbacks)
	ch.end, ch.handle, ch.user, ch.rings = &g.end, handle, uint64(handle), []*Memory{cfg.Memory}
	w, err := g.begin(false, of(EventOpened, handle), func() C.int {
		return g.make(ch, func(raw **C.struct_vmb_channel, mem *unsafe.Pointer) C.int {
			return C.vmbgo_guest_open(g.raw, C.vmb_handle(handle), &c, &o, cWords(cfg.PFNs), raw, mem)
		})
	})
	if err != nil {
		ch.unmade()
		return nil, err
	}
	ev, err := g.wait(ctx, w)
	if err == nil {
		err = ev.Err()
	}
	if err == nil {
		err = g.result(0)
	}
	if err != nil {
		// The host may be slow to let go: who gave up need not wait for it.
		patience := ctx
		if ctx.Err() != nil {
			patience = cancelled
		}
		if again := ch.Close(patience); again != nil && !errors.Is(again, context.Canceled) {
			err = errors.Join(err, again)
		}
		return nil, err
	}
	return ch, nil
}

var cancelled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// unmade: making it did not work, or it did and a callback panicked.
func (ch *Channel) unmade() {
	ch.life.RLock()
	made := ch.raw != nil
	ch.life.RUnlock()
	if made {
		_ = ch.Close(cancelled)
	} else {
		ch.release()
	}
}

// make has the library make a channel, below mu: known to wakes before it is made.
func (e *end) make(ch *Channel, f func(raw **C.struct_vmb_channel, mem *unsafe.Pointer) C.int) C.int {
	if e.channels[ch.handle] != nil {
		return C.VMB_ESTATE
	}
	var raw *C.struct_vmb_channel
	var mem unsafe.Pointer
	e.wakes.Store(ch.user, ch)
	r := f(&raw, &mem)
	if r < 0 {
		e.wakes.CompareAndDelete(ch.user, ch)
		return r
	}
	e.channels[ch.handle] = ch
	ch.made(raw, mem)
	return r
}

// Close closes what was open before a restore and is not opened again. Others: [Channel.Close].
func (g *Guest) Close(ctx context.Context, ch Handle) error {
	_, err := g.finishing(ctx, true, of(EventClosed, ch), func() C.int {
		if g.channels[ch] != nil {
			return C.VMB_ESTATE
		}
		return C.vmb_guest_close(g.raw, C.vmb_handle(ch))
	})
	return err
}

// Release is done with this channel: waits until its handle is gone. [ErrState]: it is open, close it first.
func (g *Guest) Release(ctx context.Context, ch Handle) error {
	_, err := g.finishing(ctx, true, of(EventGone, ch), func() C.int {
		if c := g.channels[ch]; c != nil && !c.isGone() {
			return C.VMB_ESTATE
		}
		return C.vmb_guest_release(g.raw, C.vmb_handle(ch))
	})
	return err
}

// isGone: its halves have been given back.
func (ch *Channel) isGone() bool {
	ch.life.RLock()
	defer ch.life.RUnlock()
	return ch.gone
}

// Target has interrupts go to another VP; below 5.3 they may still come to the old one afterwards.
func (g *Guest) Target(ctx context.Context, ch Handle, vp uint32) error {
	_, err := g.do(ctx, of(EventTarget, ch), func() C.int { return C.vmb_guest_target(g.raw, C.vmb_handle(ch), C.uint32_t(vp)) })
	return err
}

// CreateGPADL announces memory to the host, which may read and write it until DestroyGPADL is done. The list is copied.
func (g *Guest) CreateGPADL(ctx context.Context, ch Handle, list List) (uint32, error) {
	var gpadl C.uint32_t
	ev, err := g.do(ctx, func(ev *Event) bool { return ev.Kind() == EventGPADL && ev.c.gpadl == gpadl }, func() C.int {
		return C.vmbgo_gpadl_create(g.raw, C.vmb_handle(ch), cWords(list.Words), C.uint32_t(len(list.Words)), C.uint32_t(list.Ranges), &gpadl)
	})
	return ev.GPADL(), err
}

// DestroyGPADL takes memory back. [ErrLeak]: the host may still write there, until the guest is disconnected.
func (g *Guest) DestroyGPADL(ctx context.Context, gpadl uint32) error {
	_, err := g.finishing(ctx, true, func(ev *Event) bool { return ev.Kind() == EventGPADLDown && ev.GPADL() == gpadl },
		func() C.int { return C.vmb_guest_gpadl_destroy(g.raw, C.uint32_t(gpadl)) })
	return err
}

// ---- looking, saving

// Info is what the end counts.
func (g *Guest) Info() (BusInfo, error) {
	return g.info(func(c *C.struct_vmb_bus_info) C.int { return C.vmb_guest_info(g.raw, c) })
}

// Snapshot is the parts of the end: the connection, then channels, then GPADLs.
func (g *Guest) Snapshot() ([]Part, error) {
	return g.snapshot(func(cursor *C.uint32_t, c *C.struct_vmb_part) C.int { return C.vmb_guest_snapshot(g.raw, cursor, c) })
}

// Save writes all that this end knows, in a format; 0: the newest. [ErrState]: not now. The halves of all channels must be idle, and flushed.
func (g *Guest) Save(format uint32) ([]byte, error) {
	return g.save(func(buf unsafe.Pointer, n C.size_t, used *C.size_t) C.int {
		return C.vmb_guest_save(g.raw, C.uint32_t(format), buf, n, used)
	})
}

// Restore goes on from there, in an end that has done nothing yet. anew: with a new connection, as after hibernation.
func (g *Guest) Restore(saved []byte, anew bool) error {
	var flags C.uint32_t
	if anew {
		flags = C.VMB_RESTORE_ANEW
	}
	return g.control(func() C.int {
		return C.vmb_guest_restore(g.raw, unsafe.Pointer(unsafe.SliceData(saved)), C.size_t(len(saved)), flags)
	})
}

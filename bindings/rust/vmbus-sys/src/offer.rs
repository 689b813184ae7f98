// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Offers and Hyper-V sockets.

use crate::vmb_guid;
use core::ffi::c_int;

/// An offer: what a device is and wants.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_offer {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_OFFER_*`, as on the wire; a guest sees those that were negotiated.
    pub flags: u32,
    /// Class of the device.
    pub class_id: vmb_guid,
    /// Instance of the device.
    pub instance: vmb_guid,
    /// The device's; pipe and hvsock have layouts here. control-plane.md 8.2.
    pub user_defined: [u8; 120],
    /// 0: primary.
    pub subchannel: u32,
    /// Up to 65535.
    pub mmio_mb: u32,
    /// Up to 65535.
    pub mmio_optional_mb: u32,
    /// Host: rank among offers of one class.
    pub order: u32,
    /// Host: live GPADLs of this channel; 0: no limit of its own.
    pub max_gpadls: u32,
    /// Host: pages in them; 0: no limit of its own.
    pub max_gpadl_pages: u32,
    /// Guest: the wire's. host: 0, or the one wanted.
    pub channel_id: u32,
    /// Guest: for hypercall offload. host: 0.
    pub connection_id: u32,
    /// Guest: 0...127, or 255: none. host: 0.
    pub monitor_id: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Host: yours, in events and wake. guest: 0.
    pub user: u64,
}

/// Offer flag: to be enumerated.
pub const VMB_OFFER_ENUMERATE: u32 = 0x0001;

/// Guest: do not make the ring visible to the host.
pub const VMB_OFFER_PRIVATE_RING: u32 = 0x0002;

/// Guest: nor the buffers.
pub const VMB_OFFER_PRIVATE_MEMORY: u32 = 0x0004;

/// Offer flag: pinned.
pub const VMB_OFFER_PINNED: u32 = 0x0008;

/// Offer flag: a pipe: packets carry the pipe header.
pub const VMB_OFFER_PIPE: u32 = 0x0010;

/// Offer flag: a socket.
pub const VMB_OFFER_HVSOCK: u32 = 0x2000;

/// Host, not on the wire: low latency, no monitor id.
pub const VMB_OFFER_NO_MONITOR: u32 = 0x10000;

/// Host, not on the wire: when the guest closes it, rescind it and offer it again; not while it has
/// subchannels.
pub const VMB_OFFER_RENEW: u32 = 0x20000;

/// A Hyper-V socket: a connect names a service of the other end and its own endpoint, and becomes a
/// pipe channel offered with both. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_hvsock {
    /// The connecting end's id.
    pub endpoint: vmb_guid,
    /// What it connects to.
    pub service: vmb_guid,
    /// 0: none.
    pub silo: vmb_guid,
    /// `VMB_HVSOCK_*`.
    pub flags: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// The host connects to a listener of the guest; else it accepts what the guest asked for.
pub const VMB_HVSOCK_TO_GUEST: u32 = 0x1;

/// For a container in the guest.
pub const VMB_HVSOCK_CONTAINER: u32 = 0x2;

/// The guest knows silos.
pub const VMB_HVSOCK_SILO: u32 = 0x4;

extern "C" {
    /// `[pure]` Fill class, instance, flags and `user_defined` of an offer; its size is set by you.
    pub fn vmb_hvsock_offer(socket: *const vmb_hvsock, offer: *mut vmb_offer) -> c_int;
    /// `[pure]` Read the socket of an offer. `VMB_ENOENT`: no hvsock offer.
    pub fn vmb_hvsock_of(offer: *const vmb_offer, out: *mut vmb_hvsock) -> c_int;
    /// `[pure]` The service id of a port of AF_VSOCK, as Linux maps it.
    pub fn vmb_hvsock_port(port: u32, service: *mut vmb_guid) -> c_int;
}

zeroed!(vmb_offer, vmb_hvsock);

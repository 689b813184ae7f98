// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! GUIDs, device classes, protocol versions, features.

use crate::vmb_guid;
use core::ffi::{c_char, c_int, CStr};

/// Device class GUID as text: network.
pub const VMB_CLASS_NET: &CStr = c"f8615163-df3e-46c5-913f-f2d2f965ed0e";

/// Device class GUID as text: IDE disk.
pub const VMB_CLASS_IDE: &CStr = c"32412632-86cb-44a2-9b5c-50d1417354f5";

/// Device class GUID as text: SCSI disk.
pub const VMB_CLASS_SCSI: &CStr = c"ba6163d9-04a1-4d29-b605-72e2ffb1dc7f";

/// Device class GUID as text: Fibre Channel.
pub const VMB_CLASS_FC: &CStr = c"2f9bcc4a-0069-4af3-b76b-6fd0be528cda";

/// Device class GUID as text: keyboard.
pub const VMB_CLASS_KEYBOARD: &CStr = c"f912ad6d-2b17-48ea-bd65-f927a61c7684";

/// Device class GUID as text: mouse.
pub const VMB_CLASS_MOUSE: &CStr = c"cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a";

/// Device class GUID as text: video.
pub const VMB_CLASS_VIDEO: &CStr = c"da0a7802-e377-4aac-8e77-0558eb1073f8";

/// Device class GUID as text: heartbeat.
pub const VMB_CLASS_HEARTBEAT: &CStr = c"57164f39-9115-4e78-ab55-382f3bd5422d";

/// Device class GUID as text: shutdown.
pub const VMB_CLASS_SHUTDOWN: &CStr = c"0e0b6031-5213-4934-818b-38d90ced39db";

/// Device class GUID as text: time synchronisation.
pub const VMB_CLASS_TIMESYNC: &CStr = c"9527e630-d0ae-497b-adce-e80ab0175caf";

/// Device class GUID as text: key-value pairs.
pub const VMB_CLASS_KVP: &CStr = c"a9a0f4e7-5a45-4d96-b827-8a841e8c03e6";

/// Device class GUID as text: volume snapshots.
pub const VMB_CLASS_VSS: &CStr = c"35fa2e29-ea23-4236-96ae-3a6ebacba440";

/// Device class GUID as text: file copy.
pub const VMB_CLASS_FCOPY: &CStr = c"34d14be3-dee4-41c8-9ae7-6b174977c192";

/// Device class GUID as text: memory balloon.
pub const VMB_CLASS_BALLOON: &CStr = c"525074dc-8985-46e2-8057-a307dc18a502";

/// Device class GUID as text: PCI pass-through.
pub const VMB_CLASS_VPCI: &CStr = c"44c4f61d-4444-4400-9d52-802e27ede19f";

/// One row of the registry of well-known device classes. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_class {
    /// Static, short: "scsi".
    pub name: *const c_char,
    /// Static, the GUID as text.
    pub text: *const c_char,
    /// The GUID.
    pub guid: vmb_guid,
    /// 1: its packets carry the pipe header (offer flag `VMB_OFFER_PIPE`).
    pub pipe: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// Protocol version 0.13.
pub const VMB_V0_13: u32 = 0x0000000d;

/// Protocol version 1.1.
pub const VMB_V1_1: u32 = 0x00010001;

/// Protocol version 2.4.
pub const VMB_V2_4: u32 = 0x00020004;

/// Protocol version 3.0.
pub const VMB_V3_0: u32 = 0x00030000;

/// Protocol version 4.0.
pub const VMB_V4_0: u32 = 0x00040000;

/// Protocol version 4.1.
pub const VMB_V4_1: u32 = 0x00040001;

/// Protocol version 5.0.
pub const VMB_V5_0: u32 = 0x00050000;

/// Protocol version 5.1.
pub const VMB_V5_1: u32 = 0x00050001;

/// Protocol version 5.2.
pub const VMB_V5_2: u32 = 0x00050002;

/// Protocol version 5.3.
pub const VMB_V5_3: u32 = 0x00050003;

/// Protocol version 6.0.
pub const VMB_V6_0: u32 = 0x00060000;

/// Feature of 6.0: the guest chooses connection ids and event flags.
pub const VMB_FEATURE_SIGNAL_PARAMETERS: u32 = 0x01;

/// Feature of 6.0: interrupts of a channel may go to VTL 2.
pub const VMB_FEATURE_REDIRECT: u32 = 0x02;

/// Feature of 6.0: monitor pages may be changed.
pub const VMB_FEATURE_MODIFY_CONNECTION: u32 = 0x04;

/// Feature of 6.0: the guest tells an id of its own.
pub const VMB_FEATURE_CLIENT_ID: u32 = 0x08;

/// Feature of 6.0: private rings and memory.
pub const VMB_FEATURE_CONFIDENTIAL: u32 = 0x10;

/// Feature of 6.0: messages may be paused.
pub const VMB_FEATURE_PAUSE: u32 = 0x20;

/// Feature of 6.0: the host brings the monitor pages.
pub const VMB_FEATURE_SERVER_MONITOR: u32 = 0x40;

/// Feature of 6.0: pinned channels.
pub const VMB_FEATURE_PINNING: u32 = 0x80;

/// In a host's config: none at all.
pub const VMB_FEATURE_NONE: u32 = 0x80000000;

/// Of a host: all that need nothing of the embedder; more where its config allows.
pub const VMB_FEATURES_DEFAULT: u32 = 0x2f;

/// No interrupts for this channel: the guest polls.
pub const VMB_VP_NONE: u32 = 0xffffffff;

/// Status of a hypercall: it worked.
pub const VMB_HV_SUCCESS: c_int = 0x00;

/// Status of a hypercall: invalid parameter.
pub const VMB_HV_INVALID_PARAMETER: c_int = 0x05;

/// Status of a hypercall: no memory.
pub const VMB_HV_NO_MEMORY: c_int = 0x0b;

/// Status of a hypercall: no such connection.
pub const VMB_HV_INVALID_CONNECTION: c_int = 0x12;

/// Status of a hypercall: no buffers: try again.
pub const VMB_HV_NO_BUFFERS: c_int = 0x13;

/// Status of a hypercall: timeout.
pub const VMB_HV_TIMEOUT: c_int = 0x78;

extern "C" {
    /// `[pure]` "f8615163-df3e-..."; `VMB_EINVAL`.
    pub fn vmb_guid_parse(text: *const c_char, out: *mut vmb_guid) -> c_int;
    /// `[pure]`.
    pub fn vmb_guid_format(guid: *const vmb_guid, out: *mut c_char) -> c_int;
    /// `[pure]` Row `index` of the registry: 0, or `VMB_ENOENT` after the last. devices.md 1.
    pub fn vmb_class_at(index: u32, out: *mut vmb_class) -> c_int;
    /// `[pure]` The row of a class GUID: 0, or `VMB_ENOENT`.
    pub fn vmb_class_find(guid: *const vmb_guid, out: *mut vmb_class) -> c_int;
    /// `[pure]` The index-th protocol version, oldest first; 0 after the last. control-plane.md 3.
    pub fn vmb_version_at(index: u32) -> u32;
    /// `[pure]` Name of one feature bit, static; "?" for others. control-plane.md 3.1.
    pub fn vmb_feature_name(bit: u32) -> *const c_char;
}

zeroed!(vmb_class);

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The C API of libvmbus, Hyper-V's VMBus, both ends: `vmbus.h`, item by item.
//!
//! Names, types and layouts are those of the header, which is the reference; the comments here are
//! short. In them `[control]`, `[tx]`, `[rx]`, `[owner]`, `[any]` and `[pure]` say who may call what:
//!
//! * control: one caller at a time per end; tx, rx: one caller at a time per side; owner: tx and rx
//!   both; any: everybody; pure: touches its arguments only.
//!
//! All functions but the pure ones need what the header says of ownership. The crate `vmbus` is the
//! safe way to use them.
//!
//! Features: `static` links the static library that pkg-config finds; `bundled` compiles the
//! library that comes with this crate, and needs a C compiler only.
#![no_std]
#![deny(missing_docs)]
#![allow(non_camel_case_types)]

/// What all-zero bytes are a value of; zero in a config field is always a usable default.
macro_rules! zeroed {
    ($($name:ident),*) => {$(
        impl Default for $name {
            fn default() -> Self {
                // SAFETY: numbers, raw pointers and optional functions only, and arrays and structs
                // of those: all zero is a value of each.
                unsafe { core::mem::zeroed() }
            }
        }
    )*};
}

mod channel;
mod event;
mod guest;
mod host;
mod list;
mod names;
mod offer;
mod packet;
mod result;
mod ring;
mod synic;
mod trace;
mod types;
mod wire;

pub use channel::*;
pub use event::*;
pub use guest::*;
pub use host::*;
pub use list::*;
pub use names::*;
pub use offer::*;
pub use packet::*;
pub use result::*;
pub use ring::*;
pub use synic::*;
pub use trace::*;
pub use types::*;
pub use wire::*;

/// Version of the header that this crate was written from: major << 16 | minor << 8 | patch.
pub const VMB_VERSION: u32 = 0x000100;

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Errors, lists and what else is a value.

use std::cell::RefCell;
use std::ffi::c_void;
use vmbus::{
    build_list, library_version, message_check, message_fields, message_init, message_set, message_size,
    packet_fields, range_word, sys, Access, Dialect, Error, FieldKind, Group, List, Mapper, Piece, Unmapped,
    PAGE,
};

#[test]
fn errors_are_the_codes_of_the_header() {
    assert_eq!(Error::ALL.len(), 22);
    for &error in Error::ALL {
        assert!(error.code() < 0);
        assert_eq!(Error::from_code(error.code()), error);
        assert_ne!(error.to_string(), Error::from_code(-1000).to_string(), "{error:?}");
    }
    assert_eq!(Error::from_code(-1000), Error::Other(-1000));
    assert_eq!(Error::Full.group(), Group::Info);
    assert_eq!(Error::Invalid.group(), Group::Caller);
    assert_eq!(Error::Peer.group(), Group::Peer);
    assert_eq!(Error::Map.group(), Group::Platform);
    assert_eq!(Error::Other(-1000).group(), Group::Other);
}

#[repr(C, align(4096))]
struct Page(std::cell::UnsafeCell<[u8; PAGE]>);

/// Pages 100 and following; page 666 cannot be mapped.
struct Memory {
    pages: Vec<Page>,
    log: RefCell<Vec<String>>,
}

// SAFETY: the pages live as long as this does, and are touched by the library and, when it has returned, by `page`.
unsafe impl Mapper for Memory {
    fn map(&self, pfns: &[u64], access: Access, pages: &mut [*mut c_void]) -> Result<(), Unmapped> {
        self.log.borrow_mut().push(format!("map {pfns:?} {}", access.write()));
        for (pfn, page) in pfns.iter().zip(pages) {
            let at = usize::try_from(pfn - 100).unwrap();
            *page = self.pages.get(at).ok_or(Unmapped)?.0.get().cast();
        }
        Ok(())
    }

    fn unmap(&self, pfns: &[u64], access: Access, pages: &[*mut c_void]) {
        assert!(pages.iter().all(|page| !page.is_null()));
        self.log.borrow_mut().push(format!("unmap {pfns:?} {}", access.write()));
    }
}

impl Memory {
    fn new() -> Self {
        Self { pages: (0..4).map(|i| Page([i as u8; PAGE].into())).collect(), log: RefCell::default() }
    }

    fn page(&mut self, n: usize) -> &mut [u8; PAGE] {
        self.pages[n].0.get_mut()
    }
}

#[test]
fn lists_reach_memory_through_a_mapper() {
    let mut memory = Memory::new();
    let words = [range_word(5000, 4000), 103, 101, 102, range_word(8, 0), 100];
    let list = List::new(&words, 2).unwrap();
    assert_eq!(list.bytes(), 5008);
    let mut got = [9; 12];
    list.read(&memory, 90, &mut got).unwrap();
    assert_eq!(got, [3, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1]);
    list.write(&memory, 5000, b"the last").unwrap();
    assert!(list.equals(&memory, 5000, b"the last").unwrap());
    assert!(!list.equals(&memory, 5000, b"the lost").unwrap());
    assert_eq!(list.read(&memory, 5001, &mut [0; 8]), Err(Error::Invalid));
    assert_eq!(memory.page(0)[..8], *b"the last");
    assert!(memory.log.borrow().contains(&"unmap [100] true".to_string()));

    let words = [range_word(8, 0), 666];
    assert_eq!(List::new(&words, 1).unwrap().read(&memory, 0, &mut [0; 8]), Err(Error::Map));
    assert_eq!(List::new(&[0], 1).unwrap_err(), Error::Invalid);
    assert_eq!(List::new(&[], 0).unwrap_err(), Error::Invalid);
}

#[test]
fn lists_are_built() {
    let mut words = [0; 4];
    let mut asked = Vec::new();
    let list = build_list(
        &[Piece::new(0x5008, 8), Piece::new(0x5010, 0x1000)],
        4096,
        |address| {
            asked.push(address);
            Some(address * 2)
        },
        &mut words,
    )
    .unwrap();
    assert_eq!(list.words(), [range_word(0x1008, 8), 0xa, 0xc]);
    assert_eq!(asked, [0x5000, 0x6000]);
    assert_eq!(build_list(&[Piece::new(0, 1)], 4096, |_| None, &mut [0; 4]).unwrap_err(), Error::Map);
    assert_eq!(build_list(&[Piece::new(0, 0x5000)], 4096, Some, &mut [0; 4]).unwrap_err(), Error::NoSpace);
}

#[test]
fn the_wire_has_names() {
    let dialect = Dialect { version: sys::VMB_V5_2, features: 0 };
    assert_eq!(message_size(3, dialect), Ok(8));
    assert_eq!(message_size(999, dialect), Err(Error::Invalid));
    let mut buffer = [0; 12];
    assert_eq!(message_init(&mut buffer[..7], 3, dialect).unwrap_err(), Error::TooSmall);
    let message = message_init(&mut buffer, 3, dialect).unwrap();
    assert_eq!(message_set(message, dialect, c"nothing", 1), Err(Error::NotFound));
    assert_eq!(message_check(message, dialect, true), Ok(()));
    assert_eq!(message_check(message, dialect, false), Err(Error::Invalid));
    assert_eq!(message_check(&message[..3], dialect, true), Err(Error::Peer));
    let names: Vec<_> = message_fields(message, dialect).map(|field| field.name).collect();
    assert_eq!(names, ["type", "padding"]);

    // In-band, 16 bytes of header, 8 of payload.
    let packet: Vec<u8> =
        [0x0001_0003_0002_0006_u64, 0x99, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let fields: Vec<_> = packet_fields(&packet).collect();
    assert!(fields
        .iter()
        .any(|field| field.value == 0x99 && field.bytes == 8 && field.kind == FieldKind::Number));
    assert!(packet_fields(&packet[..3]).count() < fields.len());
    assert_eq!(library_version(), sys::VMB_VERSION);
}

#[test]
fn macros_of_the_header() {
    assert_eq!(sys::VMB_RANGE(u32::MAX, 1), 0x1_ffff_ffff);
    assert_eq!(sys::VMB_GROUP(sys::VMB_EFOREIGN), sys::VMB_GROUP_INFO);
    assert_eq!(sys::VMB_GROUP(sys::VMB_ETOOBIG), sys::VMB_GROUP_CALLER);
}

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finds libvmbus by pkg-config, or, with the feature `bundled`, compiles it from its one file.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    #[cfg(feature = "bundled")]
    bundled::compile();
    #[cfg(not(feature = "bundled"))]
    find();
}

/// Before 1.0 a minor version may break the ABI.
#[cfg(not(feature = "bundled"))]
fn find() {
    let found = pkg_config::Config::new()
        .range_version("0.1.0".."0.2.0")
        .statik(cfg!(feature = "static"))
        .probe("vmbus");
    match found {
        Ok(library) => {
            if let Some(path) = library.include_paths.first() {
                println!("cargo:include={}", path.display());
            }
        }
        Err(error) => {
            eprintln!("{error}");
            eprintln!("vmbus-sys: install libvmbus with its vmbus.pc, or build with the feature `bundled`.");
            std::process::exit(1);
        }
    }
}

#[cfg(feature = "bundled")]
mod bundled {
    use std::env;
    use std::path::PathBuf;
    use std::process::Command;

    /// The directory with vmbus.c and vmbus.h: in this crate, or made from the checkout around it.
    fn sources() -> PathBuf {
        let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let vendor = here.join("vendor");
        if vendor.join("vmbus.c").exists() {
            println!("cargo:rerun-if-changed=vendor");
            return vendor;
        }
        let root = here.join("../../..");
        assert!(
            root.join("lib/sources.mk").exists(),
            "vmbus-sys: neither vendor/vmbus.c nor lib/sources.mk of a checkout is there"
        );
        println!("cargo:rerun-if-changed={}", root.join("lib").display());
        println!("cargo:rerun-if-changed={}", root.join("include").display());
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
        let status = Command::new("scripts/amalgamate").current_dir(&root).arg(&out).status();
        assert!(status.is_ok_and(|status| status.success()), "vmbus-sys: scripts/amalgamate failed");
        out
    }

    pub fn compile() {
        let dir = sources();
        cc::Build::new()
            .file(dir.join("vmbus.c"))
            .include(&dir)
            .std("c11")
            .flag_if_supported("-ffreestanding")
            .flag_if_supported("-fvisibility=hidden")
            .define("VMB_API", "")
            .warnings(false)
            .compile("vmbus");
        println!("cargo:include={}", dir.display());
    }
}

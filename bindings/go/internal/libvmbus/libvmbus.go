// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// Package libvmbus is the library in one file, as scripts/amalgamate writes it; make go-amalgamation writes it anew. It is a package of its own so
// that the go command compiles it once and keeps it.
//
// Its functions have other names for the linker than those of a libvmbus that the program may have besides, and are hidden: two copies in one
// process do not bind to each other.
package libvmbus

// #cgo CFLAGS: -O2 -include ${SRCDIR}/names.h
import "C"

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

//go:build twocopies

// Twocopies is a program with another libvmbus besides the one in the package: prints the versions of both. scripts/check-go gives that one another
// version.
package main

// #cgo pkg-config: vmbus
// #include <vmbus.h>
import "C"

import (
	"fmt"

	"libvmbus.invalid/vmbus"
)

func main() { fmt.Printf("%#x %#x\n", vmbus.LibraryVersion(), int(C.vmb_version())) }

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

//go:build libvmbus

package vmbus

// #cgo CFLAGS: -O2
// #cgo pkg-config: vmbus
import "C"

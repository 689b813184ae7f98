// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

//go:build !libvmbus

package vmbus

// #cgo CFLAGS: -O2 -I${SRCDIR}/internal/libvmbus -include ${SRCDIR}/internal/libvmbus/names.h
import "C"

import _ "libvmbus.invalid/vmbus/internal/libvmbus" // the library itself

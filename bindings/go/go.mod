// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// The project has no address on the Internet yet. ".invalid" is reserved, so that nobody can own this one; and the go command takes no path
// from a proxy or a file that has no dot in its first element.
module libvmbus.invalid/vmbus

go 1.24

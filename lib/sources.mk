# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# Every source file of the library, lowest layer first: the list to include from a build of your own, with one add-on: -I<here>/include.
# The files need a C11 compiler with GCC's __atomic builtins, -ffreestanding if you like, and nothing else. The amalgamation keeps this order.
VMBUS_SOURCES =
VMBUS_SOURCES += lib/protocol/version.c lib/protocol/text.c lib/protocol/guid.c lib/protocol/class.c lib/protocol/hvsock.c
VMBUS_SOURCES += lib/protocol/message.c lib/protocol/words.c lib/protocol/field.c lib/protocol/packet.c lib/protocol/packet_field.c
VMBUS_SOURCES += lib/ring/memory.c lib/ring/tx.c lib/ring/rx.c
VMBUS_SOURCES += lib/synic/slot.c lib/synic/flags.c
VMBUS_SOURCES += lib/gpadl/list.c lib/gpadl/access.c lib/gpadl/packet_memory.c lib/gpadl/build.c
VMBUS_SOURCES += lib/gpadl/split.c lib/gpadl/ids.c lib/gpadl/store.c
VMBUS_SOURCES += lib/channel/make.c lib/channel/send.c lib/channel/recv.c lib/channel/request.c lib/channel/signals.c lib/channel/info.c
VMBUS_SOURCES += lib/bus/trace.c lib/bus/host_watch.c lib/bus/guest_watch.c
VMBUS_SOURCES += lib/bus/host.c lib/bus/host_post.c lib/bus/host_contact.c lib/bus/host_offer.c lib/bus/host_remove.c lib/bus/host_open.c
VMBUS_SOURCES += lib/bus/host_serve.c lib/bus/host_ring.c lib/bus/host_gpadl.c lib/bus/host_queue.c lib/bus/host_signal.c lib/bus/host_event.c lib/bus/host_users.c
VMBUS_SOURCES += lib/bus/host_ports.c lib/bus/host_monitor.c lib/bus/host_reserved.c lib/bus/host_hvsock.c
VMBUS_SOURCES += lib/bus/blob.c lib/bus/host_save.c lib/bus/host_restore.c lib/bus/guest_save.c lib/bus/guest_restore.c
VMBUS_SOURCES += lib/bus/guest.c lib/bus/guest_message.c lib/bus/guest_connect.c lib/bus/guest_offer.c lib/bus/guest_open.c
VMBUS_SOURCES += lib/bus/guest_gpadl.c lib/bus/guest_post.c lib/bus/guest_event.c lib/bus/guest_interrupt.c lib/bus/guest_request.c lib/bus/guest_crash.c

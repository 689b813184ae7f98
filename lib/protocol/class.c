/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The registry of well-known device classes. devices.md 1, 2.1 */
#include "vmbus.h"
#include "../env.h"

struct class_row {
	char name[14];
	char text[37];
	uint8_t pipe; /* 0 also where nobody outside Microsoft knows the framing: the last four */
};

static const struct class_row class_rows[] = {
	{ "net", VMB_CLASS_NET, 0 },
	{ "ide", VMB_CLASS_IDE, 0 },
	{ "scsi", VMB_CLASS_SCSI, 0 },
	{ "fc", VMB_CLASS_FC, 0 },
	{ "keyboard", VMB_CLASS_KEYBOARD, 0 },
	{ "mouse", VMB_CLASS_MOUSE, 1 },
	{ "video", VMB_CLASS_VIDEO, 1 },
	{ "heartbeat", VMB_CLASS_HEARTBEAT, 1 },
	{ "shutdown", VMB_CLASS_SHUTDOWN, 1 },
	{ "timesync", VMB_CLASS_TIMESYNC, 1 },
	{ "kvp", VMB_CLASS_KVP, 1 },
	{ "vss", VMB_CLASS_VSS, 1 },
	{ "fcopy", VMB_CLASS_FCOPY, 1 },
	{ "balloon", VMB_CLASS_BALLOON, 0 },
	{ "vpci", VMB_CLASS_VPCI, 0 },
	{ "vmbfs", "c376c1c3-d276-48d2-90a9-c04748072c60", 1 },
	{ "hvsock", "00000000-facb-11e6-bd58-64006a7986d3", 1 }, /* its first group is the port: ignored in a search */
	{ "networkdirect", "8c2eaf3d-32a7-4b09-ab99-bd1f1c86b501", 0 },
	{ "rdv", "276aacf4-ac15-426c-98dd-7521ad3f01fe", 0 },
	{ "avma", "f8e65716-3cb3-4a06-9a60-1889c5cccab5", 0 },
	{ "avma2", "3375baf4-9e15-4b30-b765-67acb10d607b", 0 },
};

#define CLASS_HVSOCK 16u

int vmb_class_at(uint32_t index, struct vmb_class *out)
{
	if (!out)
		return VMB_EINVAL;
	if (index >= sizeof class_rows / sizeof *class_rows)
		return VMB_ENOENT;
	*out = (struct vmb_class){ class_rows[index].name, class_rows[index].text, { { 0 } }, class_rows[index].pipe, 0 };
	return vmb_guid_parse(out->text, &out->guid);
}

int vmb_class_find(const struct vmb_guid *guid, struct vmb_class *out)
{
	if (!guid || !out)
		return VMB_EINVAL;
	for (uint32_t i = 0; !vmb_class_at(i, out); i++) {
		uint32_t skip = i == CLASS_HVSOCK ? 4 : 0;

		if (!VMBI_MEMCMP(out->guid.byte + skip, guid->byte + skip, 16 - skip))
			return 0;
	}
	*out = (struct vmb_class){ 0 };
	return VMB_ENOENT;
}

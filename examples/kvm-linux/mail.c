/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Mail by disk. See mail.h */
#define _GNU_SOURCE
#include "mail.h"

#include <stdio.h>
#include <string.h>

enum { TO_GUEST = 60 << 20, FROM_GUEST = 61 << 20, TEXT = MAIL_ROOM - 1 };

static void reverse(const char *number, char out[64])
{
	size_t n = strnlen(number, 63);

	for (size_t i = 0; i < n; i++)
		out[i] = number[n - 1 - i];
	out[n] = 0;
}

void mail_to_guest(struct image *disk, const char *number)
{
	char back[64];

	reverse(number, back);
	if (disk->size > FROM_GUEST)
		snprintf((char *)disk->bytes + TO_GUEST, 128, "VMB-MAIL %s\n", back);
}

static int from_guest(const struct image *disk, char *text, unsigned room)
{
	const char *mail = (const char *)disk->bytes + FROM_GUEST;
	const char *end = disk->size < FROM_GUEST + TEXT ? NULL : memmem(mail, TEXT, "\nend\n", 5);

	if (!end)
		return 0;
	if (text && (size_t)(end - mail) + 2 <= room) {
		memcpy(text, mail, (size_t)(end - mail) + 1);
		text[end - mail + 1] = 0;
	}
	return (int)(end - mail) + 1;
}

int mail_from_guest(struct image *disk, char *text, unsigned room)
{
	int r;

	pthread_mutex_lock(&disk->lock);
	r = from_guest(disk, text, room);
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int complain(const char *what, const char *line)
{
	fprintf(stderr, "mail: %s: %s\n", what, line);
	return -1;
}

/* One "device" line: 1 if it is about a device of ours and right, 0 if it is about none, -1 if it is wrong. */
static int check_device(const char *line, const struct device *devices, unsigned n)
{
	char instance_text[64], class_text[64];
	unsigned relid, cpu;
	unsigned long interrupts;
	struct vmb_guid guid, instance, ours;

	if (sscanf(line, "device %63s %63s %u %u %lu", instance_text, class_text, &relid, &cpu, &interrupts) != 5 ||
	    vmb_guid_parse(instance_text, &instance) < 0 || vmb_guid_parse(class_text, &guid) < 0)
		return complain("not understood", line);
	for (unsigned i = 0; i < n; i++) {
		const struct device *d = &devices[i];

		device_instance(d, &ours);
		if (memcmp(&ours, &instance, sizeof ours))
			continue;
		if (vmb_guid_parse(d->ops->class_id, &ours) < 0 || memcmp(&ours, &guid, sizeof ours))
			return complain("another class than ours", line);
		if (relid != d->info.event_flag)
			return complain("another channel id than ours", line);
		if (cpu != d->info.target_vp)
			return complain("another processor than ours", line);
		if (interrupts > d->last.signals_data + d->last.signals_room + 1) /* + 1: the wake-up at the attach */
			return complain("more interrupts than we sent", line);
		if (d->last.sent && !interrupts)
			return complain("no interrupt, but packets", line);
		return 1;
	}
	return 0;
}

int mail_check(struct image *disk, const char *number, const struct device *devices, unsigned n)
{
	char text[MAIL_ROOM], back[64], expect[128], *line, *rest = text;
	unsigned right = 0, numbers = 0;
	int r;

	if (!mail_from_guest(disk, text, sizeof text))
		return complain("none came", "");
	reverse(number, back);
	while ((line = strsep(&rest, "\n")) && *line) {
		if (!strncmp(line, "device ", 7)) {
			r = check_device(line, devices, n);
			if (r < 0)
				return -1;
			right += (unsigned)r;
			continue;
		}
		snprintf(expect, sizeof expect, "number %s", number);
		if (!strcmp(line, expect)) {
			numbers++;
			continue;
		}
		snprintf(expect, sizeof expect, "host VMB-MAIL %s", back);
		if (strcmp(line, expect))
			return complain("a wrong number", line);
		numbers++;
	}
	if (numbers != 2 || right != n)
		return complain("numbers or devices are missing", "");
	fprintf(stderr, "VMB-NOTE: mail: number %s came back, %u devices as the guest's sysfs has them\n", number, right);
	return 0;
}

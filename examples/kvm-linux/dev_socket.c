/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Hyper-V sockets: the guest connects to a service of the host, or the host to a listener of the guest; either way both send at
 * once, as much as fits, until each has said that this was all. Then, when the guest has read everything, the channel is taken
 * away, which is how a socket closes. devices.md 12, control-plane.md 15
 */
#define _GNU_SOURCE
#include "device.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { PACKET_MOST = 16384, LOOK_NS = 1000000 };

struct socket {
	struct socket_result result;
	uint64_t seed;
	int in_end, out_end, removed;
	uint8_t packet[PACKET_MOST];
};

static struct socket_result finished[SOCKETS_KEPT]; /* a slot is written before it is counted */
static unsigned count_finished;

/* The CRC that the tool crc32 prints; begun with 0. */
static uint32_t sum_byte(uint32_t sum, uint8_t byte)
{
	sum = ~sum ^ byte;
	for (unsigned i = 0; i < 8; i++)
		sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
	return ~sum;
}

/* ---- data */

static uint64_t mixed(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

/* A packet of what is left to send, of a length by chance. */
static int send_one(struct device *d, struct socket *s)
{
	uint64_t at = s->result.sent, left = SOCKET_BYTES - at;
	uint32_t n = 1 + (uint32_t)(mixed(s->seed ^ ~at) % PACKET_MOST), sum = s->result.sent_sum;
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = s->packet };
	int r;

	p.len = n < left ? n : (uint32_t)left;
	for (uint32_t i = 0; i < p.len; i++)
		s->packet[i] = (uint8_t)mixed(s->seed + at + i);
	r = vmb_channel_put(d->ch, &p);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < p.len; i++)
		sum = sum_byte(sum, s->packet[i]);
	s->result.sent_sum = sum;
	s->result.sent = at + p.len;
	return 0;
}

static int send_end(struct device *d, struct socket *s)
{
	struct vmb_packet fin = { .kind = VMB_PKT_INBAND };
	int r = vmb_channel_put(d->ch, &fin);

	s->out_end = r >= 0;
	return r;
}

/* Both have sent all. The guest must have read it before the channel goes; no signal tells. */
static int finish(struct device *d, struct socket *s)
{
	struct vmb_channel_info info = { .size = sizeof info };

	if (vmb_channel_info(d->ch, &info) == 0 && info.tx.in != info.tx.out) {
		nanosleep(&(struct timespec){ 0, LOOK_NS }, NULL);
		return VMB_YES;
	}
	s->removed = 1;
	pthread_mutex_lock(&d->host->control);
	if (count_finished < SOCKETS_KEPT)
		finished[count_finished] = s->result;
	__atomic_fetch_add(&count_finished, 1, __ATOMIC_RELEASE);
	vmb_host_remove(d->host->bus, d->handle);
	pthread_mutex_unlock(&d->host->control);
	return 0;
}

static int socket_drained(struct device *d)
{
	struct socket *s = d->state;
	int r = 0;

	while (r == 0 && s->result.sent < SOCKET_BYTES)
		r = send_one(d, s);
	if (r == 0 && !s->out_end)
		r = send_end(d, s);
	if (r == VMB_EFULL)
		return 0; /* wake will come */
	if (r == 0)
		r = vmb_channel_flush(d->ch);
	if (r < 0 || !s->in_end || s->removed)
		return r;
	return finish(d, s);
}

static int socket_packet(struct device *d, const struct vmb_packet *p)
{
	struct socket *s = d->state;
	const uint8_t *bytes = p->payload;

	if (p->kind != VMB_PKT_INBAND || s->in_end)
		return 0;
	for (uint32_t i = 0; i < p->len; i++)
		s->result.received_sum = sum_byte(s->result.received_sum, bytes[i]);
	s->result.received += p->len;
	if (!p->len) /* that was all */
		s->in_end = 1;
	return 0;
}

static int socket_open(struct device *d)
{
	struct socket *s = d->state;

	return getrandom(&s->seed, sizeof s->seed, 0) == sizeof s->seed ? 0 : VMB_EINVAL;
}

/* ---- connecting */

static struct device *socket_free(struct host *h)
{
	for (unsigned i = 0; i < h->extras; i++)
		if (h->extra[i].ops == &dev_socket && !h->extra[i].handle && !h->extra[i].running)
			return &h->extra[i];
	return NULL;
}

void dev_socket_asked(struct host *h, const struct vmb_event *ev)
{
	struct device *d = socket_free(h);
	struct vmb_hvsock wanted;
	struct vmb_guid ours;
	int r;

	__atomic_fetch_add(&h->connects, 1, __ATOMIC_RELEASE);
	if (vmb_host_hvsock(h->bus, ev, &wanted) < 0)
		return; /* the guest that asked has gone */
	vmb_hvsock_port(SOCKET_PORT, &ours);
	r = d && !memcmp(&ours, &wanted.service, sizeof ours) ? 0 : VMB_EREFUSED;
	if (r == 0) {
		d->socket = wanted;
		r = device_offer(d);
	}
	if (r < 0)
		__atomic_fetch_add(&h->refused, 1, __ATOMIC_RELEASE);
	r = vmb_host_answer(h->bus, ev, r);
	if (r < 0)
		fprintf(stderr, "socket: %s\n", vmb_strerror(r));
}

int dev_socket_connect(struct host *h, uint32_t port)
{
	struct device *d = socket_free(h);

	if (!d)
		return VMB_ENOSPACE;
	memset(&d->socket, 0, sizeof d->socket);
	d->socket.flags = VMB_HVSOCK_TO_GUEST;
	vmb_hvsock_port(port, &d->socket.service);
	if (getrandom(d->socket.endpoint.byte, sizeof d->socket.endpoint, 0) != sizeof d->socket.endpoint)
		return VMB_EINVAL;
	return device_offer(d);
}

const struct socket_result *dev_socket_finished(unsigned *count)
{
	*count = __atomic_load_n(&count_finished, __ATOMIC_ACQUIRE);
	if (*count > SOCKETS_KEPT)
		*count = SOCKETS_KEPT;
	return finished;
}

const struct device_ops dev_socket = {
	.name = "socket", .state_bytes = sizeof(struct socket), .open = socket_open, .packet = socket_packet, .drained = socket_drained,
};

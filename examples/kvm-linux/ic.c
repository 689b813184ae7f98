/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Integration components: header and negotiation. devices.md 3.1, 3.2 */
#include "ic.h"

#include <string.h>

static uint32_t get(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static void put(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static int send_message(struct device *d, uint32_t framework, uint32_t message, enum ic_type type, const void *body, uint32_t len)
{
	uint8_t m[IC_HEADER + 2100] = { 0 };
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = m, .len = IC_HEADER + len };

	put(m, framework, 4);
	put(m + 4, type, 2);
	put(m + 6, message, 4);
	put(m + 10, len, 2);
	m[17] = IC_REQUEST;
	memcpy(m + IC_HEADER, body, len);
	return device_send(d, &p);
}

int ic_negotiate(struct device *d, const uint32_t *versions, unsigned n)
{
	uint8_t body[8 + 4 * 10] = { 2, 0, (uint8_t)n, 0 };

	put(body + 8, IC_VERSION(1, 0), 4);
	put(body + 12, IC_VERSION(3, 0), 4);
	for (unsigned i = 0; i < n; i++)
		put(body + 16 + 4 * i, versions[i], 4);
	return send_message(d, 0, 0, IC_NEGOTIATE, body, 16 + 4 * n);
}

int ic_reply(struct ic *ic, const struct vmb_packet *p, struct ic_reply *out)
{
	const uint8_t *m = p->payload;

	if (p->kind != VMB_PKT_INBAND || p->len < IC_HEADER || (m[17] & IC_RESPONSE) != IC_RESPONSE)
		return 0;
	out->type = get(m + 4, 2);
	out->status = get(m + 12, 4);
	out->flags = m[17];
	out->body = m + IC_HEADER;
	out->body_len = get(m + 10, 2);
	if (out->body_len > p->len - IC_HEADER)
		out->body_len = p->len - IC_HEADER;
	if (out->type != IC_NEGOTIATE)
		return 1;
	/* only the counts say what was chosen: what follows may be left over from our own lists */
	if (out->body_len >= 16 && get(out->body, 2) == 1 && get(out->body + 2, 2) == 1) {
		ic->framework = get(out->body + 8, 4);
		ic->message = get(out->body + 12, 4);
	}
	return 0;
}

int ic_request(struct device *d, const struct ic *ic, enum ic_type type, const void *body, uint32_t len)
{
	return send_message(d, ic->framework, ic->message, type, body, len);
}

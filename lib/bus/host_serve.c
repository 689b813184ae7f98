/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Serving an open channel: the device's answer to EV_OPEN, by an object of ours or elsewhere, and giving it back. The gates of
 * the channel are open from the one to the other.
 */
#include "host.h"

/* ---- giving back */

static void serve_unmap(struct vmb_host *h, struct vmbi_hc *c)
{
	const struct vmbi_ring *tx = &c->channel->tx.ring, *rx = &c->channel->rx.ring;
	struct vmb_ring_mem tx_mem = { .control = tx->control, .pages = (void **)(uintptr_t)tx->pages };
	struct vmb_ring_mem rx_mem = { .control = rx->control, .pages = (void **)(uintptr_t)rx->pages };

	vmbi_host_unmap_rings(h, c, &tx_mem, &rx_mem);
	c->mapped = 0;
}

/* Nobody uses the object any more and nobody is in the gate: what waited for that goes on. */
static void serve_finish(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t ring = c->open.ring_ref;

	if (c->mapped)
		serve_unmap(h, c);
	if (c->channel)
		h->attached--;
	c->channel = NULL;
	vmbi_hc_changed(h, c);
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	h->serving--;
	vmbi_he_channel(h, c, VMBI_HE_CLOSED);
	if (c->state == VMBI_HC_OPEN)
		return; /* for the guest it is open still */
	if (c->state == VMBI_HC_CLOSING && vmbi_reserved_lingers(h, c)) {
		vmbi_host_gpadl_ask(h, c);
		return;
	}
	vmbi_host_gpadl_unuse(h, ring);
	if (c->state == VMBI_HC_CLOSING) {
		vmbi_hc_become(h, c, VMBI_HC_CLOSED);
		vmbi_host_closed(h, c);
	} else if (c->state == VMBI_HC_REOPEN) {
		if (c->kept)
			vmbi_reserved_closed(h, c);
		vmbi_host_begin_open(h, c, &c->reopen);
	}
	vmbi_host_removed_step(h, c);
}

void vmbi_host_gate_step(struct vmb_host *h, struct vmbi_hc *c)
{
	if (vmbi_gate_empty(&c->out)) {
		vmbi_gate_unwatch(&c->out);
		vmbi_host_modified(h, c, 0);
	}
	if (c->dev == VMBI_DEV_DRAINING && vmbi_gate_empty(&c->gate))
		serve_finish(h, c);
	if (c->modifying || c->dev == VMBI_DEV_DRAINING)
		vmbi_host_gate_wait(h, c); /* the last one out pokes */
}

static void serve_let_go(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->channel) {
		vmbi_channel_cursors(c->channel, &c->tx_at, &c->rx_at);
		c->poisoned = (uint32_t)vmbi_channel_is_broken(c->channel);
	}
	vmbi_he_cancel(h, c, VMBI_HE_CLOSE);
	vmbi_monitor_disconnect(h, c);
	c->token = 0;
	c->restored = 0;
	vmbi_hc_device(h, c, VMBI_DEV_DRAINING);
	(void)vmbi_gate_close(&c->gate);
	vmbi_host_gate_step(h, c);
}

int vmb_host_detach(struct vmb_host *h, vmb_handle ch)
{
	struct vmbi_hc *c;
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (c->dev != VMBI_DEV_ATTACHED && c->dev != VMBI_DEV_REMOTE)
		r = VMB_ESTATE;
	else
		serve_let_go(h, c);
	vmbi_host_leave(h);
	return r;
}

/* ---- taking over */

/* The device answered a question that has lost its sense. */
static void serve_late(struct vmb_host *h, struct vmbi_hc *c)
{
	c->token = 0;
	c->restored = 0;
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	vmbi_host_ask_open(h, c);
	vmbi_host_removed_step(h, c);
}

/* The device serves the channel from now on; if it had been asked, the guest is told. */
static void serve_begin(struct vmb_host *h, struct vmbi_hc *c, struct vmb_channel *channel)
{
	int asked = c->dev == VMBI_DEV_ASKED;

	c->channel = channel;
	vmbi_hc_device(h, c, channel ? VMBI_DEV_ATTACHED : VMBI_DEV_REMOTE);
	vmbi_hc_changed(h, c);
	if (channel)
		vmbi_signals_watch(&channel->signals, h->now, h->cfg.signal_budget);
	c->token = 0;
	c->legacy = c->open.version < VMB_V2_4;
	c->flag = c->open.flag;
	c->redirect = c->open.flags & VMB_OPEN_REDIRECT && h->cfg.flags & VMB_HOST_REDIRECT;
	h->serving++;
	h->attached += channel != NULL;
	VMBI_STORE32_RELEASE(&c->target, c->open.target_vp);
	vmbi_gate_unwatch(&c->out); /* a retarget of the last open may have been given up */
	vmbi_gate_open(&c->gate);
	vmbi_monitor_connect(h, c);
	if (asked && c->state == VMBI_HC_OPENING) { /* else it was open before a restore, and the guest knows */
		c->opens++;
		vmbi_hc_become(h, c, VMBI_HC_OPEN);
		vmbi_host_open_result(h, c, &c->open, 0);
	}
}

/* What the guest sent or signalled before is not announced again: the device looks once. ring.md 10.4 R10. The guest hears that
 * it is open before the device may signal it, if its slot is free. After a restore the guest looks, too: control-plane.md 18. */
static void serve_wake(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t restored = c->restored;

	c->restored = 0;
	vmbi_hq_pump(h);
	h->cfg.wake(h->cfg.ctx, c->user);
	if (restored)
		vmbi_host_interrupt_guest(c);
}

/* No to EV_OPEN. */
static void serve_refuse(struct vmb_host *h, struct vmbi_hc *c, uint32_t status)
{
	c->token = 0;
	c->refused++;
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	c->restored = 0;
	if (c->state == VMBI_HC_OPEN) { /* open before a restore, and cannot go on: the guest is told by a rescind. control-plane.md 18 */
		vmbi_host_revoke(h, c);
		return;
	}
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	vmbi_ports_remove(h, c);
	vmbi_host_open_result(h, c, &c->open, status);
	vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	if (c->kept)
		vmbi_reserved_end(h, c);
}

/* May this channel be attached now? 0, or why not. */
static int serve_may(struct vmb_host *h, struct vmbi_hc *c)
{
	switch (c->dev) {
	case VMBI_DEV_ASKED:
		return 0;
	case VMBI_DEV_STALE:
		serve_late(h, c);
		h->late_answers++;
		return VMB_ESTOPPED;
	case VMBI_DEV_DRAINING:
		return VMB_EAGAIN;
	case VMBI_DEV_NONE:
		if (c->state != VMBI_HC_OPEN)
			return VMB_ESTATE;
		if (c->events & VMBI_HE_CLOSED)
			return VMB_EAGAIN; /* the last one is not over */
		return c->poisoned ? VMB_EPEER : 0;
	default:
		return VMB_ESTATE;
	}
}

/* The config as this channel needs it: its signal, its pipe framing, where it stands. */
static int serve_config(struct vmbi_hc *c, struct vmb_channel_config *cfg)
{
	uint32_t tx_data = c->open.ring_pages - c->open.rx_pages - 1, rx_data = c->open.rx_pages - 1;

	if (!cfg->tx.control != !cfg->rx.control)
		return VMB_EINVAL;
	if (cfg->tx.control && (cfg->tx.data_pages != tx_data || cfg->rx.data_pages != rx_data))
		return VMB_EINVAL;
	if (!cfg->tx.control && cfg->ring_pages < c->open.ring_pages)
		return VMB_EINVAL;
	cfg->flags &= ~VMB_CHANNEL_PIPE;
	if (c->offer_flags & VMB_OFFER_PIPE)
		cfg->flags |= VMB_CHANNEL_PIPE; /* VMB_CHANNEL_RAW is above that */
	cfg->tx.flags &= ~VMB_RING_FRESH; /* the guest has initialised the rings; gpadl.md 6 */
	cfg->rx.flags &= ~VMB_RING_FRESH;
	cfg->tx_at = c->tx_at;
	cfg->rx_at = c->rx_at;
	cfg->ctx = c;
	cfg->signal = vmbi_host_signal_guest;
	return 0;
}

static int serve_attach(struct vmb_host *h, struct vmbi_hc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg,
			struct vmb_channel **out)
{
	int mine, r = serve_config(c, cfg);
	struct vmb_storage need;

	if (!r)
		r = vmbi_channel_need(cfg, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	mine = !cfg->tx.control;
	if (mine)
		r = vmbi_host_map_rings(h, c, mem, cfg);
	if (!r) {
		r = vmbi_channel_make(mem, bytes, cfg, 0, out);
		if (r && mine)
			vmbi_host_unmap_rings(h, c, &cfg->tx, &cfg->rx);
	}
	if ((r == VMB_EMAP || r == VMB_EPEER) && c->dev == VMBI_DEV_ASKED)
		serve_refuse(h, c, VMBI_FAILED);
	if (r)
		return r;
	c->mapped = (uint32_t)mine;
	serve_begin(h, c, *out);
	return 0;
}

int vmb_host_attach(struct vmb_host *h, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
		    struct vmb_channel **out)
{
	struct vmb_channel_config own;
	struct vmbi_hc *c;
	int r = !mem || !cfg || !out ? VMB_EINVAL : vmbi_struct_in(&own, sizeof own, cfg, sizeof own);

	if (!r)
		r = vmbi_host_enter(h);
	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	r = c ? serve_may(h, c) : VMB_EHANDLE;
	if (!r)
		r = serve_attach(h, c, mem, bytes, &own, out);
	if (!r)
		serve_wake(h, c);
	vmbi_host_leave(h);
	return r;
}

/* ---- answering without an object */

/* What the guest shall see. Errors of this library mean nothing to it. */
static uint32_t serve_status(int32_t status)
{
	return status < 0 && status > -64 ? VMBI_FAILED : (uint32_t)status;
}

static int serve_answer_open(struct vmb_host *h, struct vmbi_hc *c, int32_t status)
{
	if (c->dev == VMBI_DEV_STALE) {
		serve_late(h, c);
		return VMB_ENOENT;
	}
	if (c->dev != VMBI_DEV_ASKED)
		return VMB_ENOENT;
	if (status) {
		serve_refuse(h, c, serve_status(status));
		return 0;
	}
	serve_begin(h, c, NULL);
	serve_wake(h, c);
	return 0;
}

static int serve_answer_close(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->dev == VMBI_DEV_ATTACHED)
		return VMB_ESTATE; /* there is an object to give back */
	if (c->dev != VMBI_DEV_REMOTE)
		return VMB_ENOENT;
	serve_let_go(h, c);
	return 0;
}

static int serve_answer(struct vmb_host *h, const struct vmb_event *q, int32_t status)
{
	struct vmbi_hc *c = vmbi_host_find(h, q->ch);

	if (q->kind == VMB_EV_HVSOCK)
		return vmbi_hvsock_answer(h, q, serve_status(status));
	if (c && q->kind == VMB_EV_GPADL_DOWN)
		return vmbi_host_gpadl_answer(h, c, q);
	if (!c || !q->token || c->token != q->token)
		return VMB_ENOENT;
	return q->kind == VMB_EV_OPEN ? serve_answer_open(h, c, status) : serve_answer_close(h, c);
}

int vmb_host_answer(struct vmb_host *h, const struct vmb_event *question, int32_t status)
{
	int r;

	if (!question)
		return VMB_EINVAL;
	if (question->kind != VMB_EV_OPEN && question->kind != VMB_EV_HVSOCK &&
	    (status || (question->kind != VMB_EV_CLOSE && question->kind != VMB_EV_GPADL_DOWN)))
		return VMB_EINVAL;
	r = vmbi_host_enter(h);
	if (r)
		return r;
	r = serve_answer(h, question, status);
	if (r == VMB_ENOENT)
		h->late_answers++;
	vmbi_host_leave(h);
	return r;
}

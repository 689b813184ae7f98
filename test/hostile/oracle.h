/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What each call of a ring half must do with any control page, word for word as ring.md 8.2 to 8.4, 9.1 and 10.1 to 10.3 say.
 * It knows no memory but the control page; of packets it knows where they end. Each call changes the page as the half must, and
 * says what it returns.
 */
#ifndef TEST_HOSTILE_ORACLE_H
#define TEST_HOSTILE_ORACLE_H

#include <stdint.h>

/* The control page. ring.md 2.2 */
struct oracle_page { uint8_t byte[4096]; };
uint32_t oracle_get(const struct oracle_page *p, uint32_t word);
void oracle_set(struct oracle_page *p, uint32_t word, uint32_t value);

struct oracle_tx {
	uint32_t size;
	uint32_t in_next, in_pub, out_cache, pend; /* ring.md 8.1 */
	int known;                                 /* there is an out_cache */
	uint32_t reason, at;
};

struct oracle_rx {
	uint32_t size;
	uint32_t out_next, out_pub, in_cache;
	int masked;
	uint32_t reason, at;
	const uint32_t *ends; /* where good packets end, by where they begin / 8; 0: none begins there, of an unknown type otherwise */
};

int oracle_tx_init(struct oracle_tx *o, struct oracle_page *p, uint32_t size, int fresh);
int oracle_put(struct oracle_tx *o, const struct oracle_page *p, uint32_t total);
int oracle_commit(struct oracle_tx *o, struct oracle_page *p);
int oracle_discard(struct oracle_tx *o);
int oracle_arm(struct oracle_tx *o, struct oracle_page *p, uint32_t total, uint32_t least);

int oracle_rx_init(struct oracle_rx *o, struct oracle_page *p, uint32_t size, int fresh, const uint32_t *ends);
int oracle_next(struct oracle_rx *o, struct oracle_page *p, uint32_t *total);
int oracle_release(struct oracle_rx *o, struct oracle_page *p);
int oracle_sleep(struct oracle_rx *o, struct oracle_page *p);
int oracle_mask(struct oracle_rx *o, struct oracle_page *p);
int oracle_rewind(struct oracle_rx *o);

#endif /* TEST_HOSTILE_ORACLE_H */

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* lib/gpadl: page lists of any words, in arrays of exactly that many. */
#include "proof/proof.h"
#include "lib/gpadl/gpadl.h"
#include "lib/gpadl/access.h"
#include "lib/gpadl/list.h"

#define WORDS_LONG 40u /* each length up to here, then some more */

static void one_list(uint32_t count)
{
	uint64_t *words = proof_bytes(count * sizeof *words), bytes;
	struct vmb_list list = { words, count, proof_any32 }, out;
	struct vmb_range range;
	uint32_t cursor = proof_any32;
	struct vmb_packet p;

	if (!vmb_list_check(words, count, proof_any32, &out, &bytes)) {
		/*@ check list: \initialized(&out) && \initialized(&bytes); */
	}
	(void)vmb_list_check(words, count, proof_any32, &out, NULL);
	if (vmb_list_next(&list, &cursor, &range) == VMB_YES) {
		/*@ check range: \initialized(&range); */
	}
	PROOF_ANY(p);
	p.list = list;
	(void)vmb_packet_bytes(&p);
	free(words);
}

void prove_list(void)
{
	/*@ loop unroll 100; */
	for (uint32_t count = 1; count <= WORDS_LONG; count++)
		one_list(count);
	one_list(200);
}

/* Looking for any bytes of any list: what every transfer begins with. */
static void one_access(uint32_t count)
{
	uint64_t *words = proof_bytes(count * sizeof *words);
	struct vmb_list list = { words, count, proof_any32 };
	struct vmbi_access a;

	PROOF_ANY(a);
	a.list = &list;
	(void)vmbi_access_check(&a, proof_any64, proof_any32);
	free(words);
}

void prove_access(void)
{
	/*@ loop unroll 100; */
	for (uint32_t count = 1; count <= WORDS_LONG; count++)
		one_access(count);
	one_access(VMBI_GPADL_WORDS_MAX);
	one_access(65532); /* of the longest packet */
}

/* Every message of lists of these lengths. */
static void one_split(uint32_t count)
{
	uint64_t *words = proof_bytes(count * sizeof *words);
	uint32_t messages = vmbi_gpadl_messages(count);

	/*@ loop unroll 300; */
	for (uint32_t k = 0; k < messages; k++) {
		uint8_t out[VMB_MESSAGE_MAX];
		uint32_t len = vmbi_gpadl_message(out, k, proof_any32, proof_any32, words, count, proof_any32);

		/*@ check length: len <= VMB_MESSAGE_MAX; */
		/*@ check whole: \initialized(&out[0 .. len - 1]); */
	}
	free(words);
}

void prove_split(void)
{
	(void)vmbi_gpadl_messages(proof_any32);
	/*@ loop unroll 100; */
	for (uint32_t count = 1; count <= 90; count++)
		one_split(count);
	one_split(VMBI_GPADL_WORDS_MAX);
}

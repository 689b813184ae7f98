/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The specification's byte-exact examples, for every test that wants them. They lie beside this file as text:
 *
 *   # comment                      to the end of the line, only at its beginning; blank lines are skipped
 *   vector NAME TITLE              begins a vector: "vector TV-13 wrap inside payload"
 *   fact NAME NUMBER               something to know about it: sizes, indexes, versions; a name may come several times
 *   field NAME VALUE               of messages: what vmb_message_set is told. VALUE: a number, a GUID, or hexadecimal bytes
 *   part LENGTH                    begins a message or packet; a vector has one or several
 *   hexadecimal bytes              of the part, in order, as many lines as it takes
 *   zero N                         N zero bytes of the part
 *   count FIRST N                  N bytes FIRST, FIRST + 1 ... modulo 256
 *
 * Numbers are decimal, or hexadecimal with 0x. The reader is strict: what it does not understand, a part whose bytes are not
 * LENGTH, or an unknown name asked for ends the test program, so that no test passes by having read nothing.
 */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include <stdint.h>

struct vectors; /* one file, read */
struct vector;  /* one vector of it; lives as long as the file */

/* Read "ring", "control-plane", "gpadl", "devices" or "platform". The files are looked for in the directory that the
 * environment variable VMB_VECTORS names, else where this source lay as the compiler was told. `expected` is how many vectors
 * there must be. */
struct vectors *vectors_load(const char *name, uint32_t expected);
void vectors_free(struct vectors *set);
const struct vector *vectors_at(const struct vectors *set, uint32_t index); /* index < expected */
const struct vector *vectors_find(const struct vectors *set, const char *name);

const char *vector_name(const struct vector *v);
const char *vector_title(const struct vector *v);
/* The n-th fact of that name; there must be one. */
uint64_t vector_fact(const struct vector *v, const char *name, uint32_t n);
int vector_has(const struct vector *v, const char *name);
/* Field number n: 1, or 0 after the last. The strings live as long as the file. */
int vector_field(const struct vector *v, uint32_t n, const char **name, const char **value);
uint32_t vector_parts(const struct vector *v);
/* Part number n, which there must be. */
const uint8_t *vector_part(const struct vector *v, uint32_t n, uint32_t *len);
/* All parts one after another: the bytes in ring order. */
const uint8_t *vector_bytes(const struct vector *v, uint32_t *len);

/* Hexadecimal bytes to memory, at most `max`; returns how many. Anything else ends the program. */
uint32_t vector_hex(const char *text, uint8_t *out, uint32_t max);

#endif /* TEST_VECTORS_H */

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The reader of the vector files: one pass over the lines, no mercy. */
#include "vectors.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VECTORS 64
#define MAX_FACTS 16
#define MAX_PARTS 4
#define MAX_BYTES (64u * 1024)

struct pair { const char *name, *value; };

struct vector {
	const char *name, *title;
	struct pair fact[MAX_FACTS], field[MAX_FACTS];
	uint32_t facts, fields, parts;
	uint32_t start[MAX_PARTS], len[MAX_PARTS]; /* within bytes */
	const uint8_t *bytes;
	uint32_t size;
};

struct vectors {
	char path[512];
	uint32_t line, count, used;
	char *text;
	uint8_t *bytes;
	struct vector vector[MAX_VECTORS];
};

static _Noreturn void vectors_die(const struct vectors *set, const char *what, const char *detail)
{
	fprintf(stderr, "vectors: %s:%u: %s: %s\n", set->path, (unsigned)set->line, what, detail);
	abort();
}

static uint64_t read_number(const struct vectors *set, const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	if (end == text || *end)
		vectors_die(set, "not a number", text);
	return n;
}

/* Cut the first word off a line. */
static char *next_word(char **rest)
{
	char *word = *rest;
	char *end = word + strcspn(word, " ");

	*rest = end + strspn(end, " ");
	*end = '\0';
	return word;
}

static int hex_digit(int c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

uint32_t vector_hex(const char *text, uint8_t *out, uint32_t max)
{
	uint32_t n = 0;

	while (*text) {
		int high = hex_digit((unsigned char)text[0]);
		int low = high < 0 ? -1 : hex_digit((unsigned char)text[1]);

		if (low < 0 || n == max || (text[2] && text[2] != ' ')) {
			fprintf(stderr, "vectors: not at most %u hexadecimal bytes: %s\n", (unsigned)max, text);
			abort();
		}
		out[n++] = (uint8_t)(high << 4 | low);
		text += text[2] ? 3 : 2;
	}
	return n;
}

/* A part is over: has it the length it promised? */
static void end_part(struct vectors *set, struct vector *v)
{
	if (!v || !v->parts)
		return;
	v->size = set->used - (uint32_t)(v->bytes - set->bytes);
	if (v->size != v->start[v->parts - 1] + v->len[v->parts - 1])
		vectors_die(set, "a part is not as long as it says", v->name);
}

static void add_pair(struct vectors *set, struct pair *pairs, uint32_t *count, char *rest)
{
	if (*count == MAX_FACTS)
		vectors_die(set, "too many facts", rest);
	pairs[*count].name = next_word(&rest);
	pairs[*count].value = rest;
	if (!*rest)
		vectors_die(set, "no value", pairs[*count].name);
	(*count)++;
}

static void add_part(struct vectors *set, struct vector *v, char *rest)
{
	end_part(set, v);
	if (v->parts == MAX_PARTS)
		vectors_die(set, "too many parts", v->name);
	v->start[v->parts] = set->used - (uint32_t)(v->bytes - set->bytes);
	v->len[v->parts] = (uint32_t)read_number(set, rest);
	v->parts++;
}

static void add_bytes(struct vectors *set, char *word, char *rest)
{
	uint32_t room = MAX_BYTES - set->used, first = 0, step = 0, n;

	if (!strcmp(word, "count")) {
		first = (uint32_t)read_number(set, next_word(&rest));
		step = 1;
	} else if (strcmp(word, "zero")) {
		if (*rest)
			word[strlen(word)] = ' '; /* a line of bytes: whole again */
		set->used += vector_hex(word, set->bytes + set->used, room);
		return;
	}
	n = (uint32_t)read_number(set, rest);
	if (n > room)
		vectors_die(set, "too many bytes", rest);
	for (uint32_t i = 0; i < n; i++)
		set->bytes[set->used++] = (uint8_t)(first + i * step);
}

static void read_line(struct vectors *set, char *line)
{
	struct vector *v = set->count ? &set->vector[set->count - 1] : NULL;
	char *rest = line;
	char *word;

	if (!*line || *line == '#')
		return;
	word = next_word(&rest);
	if (!strcmp(word, "vector")) {
		end_part(set, v);
		if (set->count == MAX_VECTORS)
			vectors_die(set, "too many vectors", rest);
		v = &set->vector[set->count++];
		v->name = next_word(&rest);
		v->title = rest;
		v->bytes = set->bytes + set->used;
		return;
	}
	if (!v)
		vectors_die(set, "nothing begun", word);
	if (!strcmp(word, "fact"))
		add_pair(set, v->fact, &v->facts, rest);
	else if (!strcmp(word, "field"))
		add_pair(set, v->field, &v->fields, rest);
	else if (!strcmp(word, "part"))
		add_part(set, v, rest);
	else if (v->parts)
		add_bytes(set, word, rest);
	else
		vectors_die(set, "bytes outside a part", word);
}

/* The whole file as a string. */
static char *read_file(struct vectors *set)
{
	FILE *f = fopen(set->path, "rb");
	char *text;
	size_t n;

	if (!f)
		vectors_die(set, "cannot open", "is VMB_VECTORS set?");
	text = malloc(MAX_BYTES * 4 + 1);
	if (!text)
		vectors_die(set, "no memory", "");
	n = fread(text, 1, MAX_BYTES * 4, f);
	if (!feof(f) && n == MAX_BYTES * 4)
		vectors_die(set, "file too large", "");
	fclose(f);
	text[n] = '\0';
	return text;
}

struct vectors *vectors_load(const char *name, uint32_t expected)
{
	const char *dir = getenv("VMB_VECTORS");
	struct vectors *set = calloc(1, sizeof *set);
	int dir_len;

	if (set)
		set->bytes = malloc(MAX_BYTES);
	if (!set || !set->bytes)
		abort();
	if (dir) {
		dir_len = (int)strlen(dir);
	} else {
		const char *slash = strrchr(__FILE__, '/');

		dir = slash ? __FILE__ : ".";
		dir_len = slash ? (int)(slash - __FILE__) : 1;
	}
	snprintf(set->path, sizeof set->path, "%.*s/%s.txt", dir_len, dir, name);
	set->text = read_file(set);
	for (char *line = set->text, *end; line; line = end) {
		set->line++;
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		read_line(set, line);
	}
	end_part(set, set->count ? &set->vector[set->count - 1] : NULL);
	if (set->count != expected)
		vectors_die(set, "not the expected number of vectors", name);
	return set;
}

void vectors_free(struct vectors *set)
{
	free(set->text);
	free(set->bytes);
	free(set);
}

static _Noreturn void vector_lacks(const struct vector *v, const char *what)
{
	fprintf(stderr, "vectors: %s has no %s\n", v ? v->name : "the file", what);
	abort();
}

const struct vector *vectors_at(const struct vectors *set, uint32_t index)
{
	if (index >= set->count)
		vector_lacks(NULL, "so many vectors");
	return &set->vector[index];
}

const struct vector *vectors_find(const struct vectors *set, const char *name)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (!strcmp(set->vector[i].name, name))
			return &set->vector[i];
	vector_lacks(NULL, name);
}

const char *vector_name(const struct vector *v)
{
	return v->name;
}

const char *vector_title(const struct vector *v)
{
	return v->title;
}

static const struct pair *find_fact(const struct vector *v, const char *name, uint32_t n)
{
	for (uint32_t i = 0; i < v->facts; i++)
		if (!strcmp(v->fact[i].name, name) && !n--)
			return &v->fact[i];
	return NULL;
}

uint64_t vector_fact(const struct vector *v, const char *name, uint32_t n)
{
	const struct pair *fact = find_fact(v, name, n);
	char *end;
	uint64_t value;

	if (!fact)
		vector_lacks(v, name);
	value = strtoull(fact->value, &end, 0);
	if (*end)
		vector_lacks(v, "number there");
	return value;
}

int vector_has(const struct vector *v, const char *name)
{
	return find_fact(v, name, 0) != NULL;
}

int vector_field(const struct vector *v, uint32_t n, const char **name, const char **value)
{
	if (n >= v->fields)
		return 0;
	*name = v->field[n].name;
	*value = v->field[n].value;
	return 1;
}

uint32_t vector_parts(const struct vector *v)
{
	return v->parts;
}

const uint8_t *vector_part(const struct vector *v, uint32_t n, uint32_t *len)
{
	if (n >= v->parts)
		vector_lacks(v, "such part");
	*len = v->len[n];
	return v->bytes + v->start[n];
}

const uint8_t *vector_bytes(const struct vector *v, uint32_t *len)
{
	*len = v->size;
	return v->bytes;
}

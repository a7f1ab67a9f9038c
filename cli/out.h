/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.h - NDJSON, written directly: integers stay integers, strings become UTF-8.
 *
 *	out_open(&o, STDOUT_FILENO);
 *	out_begin(&o);				{
 *	out_str(&o, "topic", name, strlen(name));	"topic":"orders"
 *	out_array(&o, "attempts");		,"attempts":[
 *	out_object(&o, NULL);			{
 *	out_s64(&o, "n", 1);			"n":1
 *	out_end(&o);				}
 *	out_end(&o);				]
 *	out_end(&o);				}\n
 *	status = out_close(&o);
 *
 * A key is NULL inside an array.  A field that is not known is simply not written.
 * Bytes that are not UTF-8 are written as \u00XX each, and the object that holds
 * the string gets "raw":true at its end.
 */
#ifndef ACKTRAIL_OUT_H
#define ACKTRAIL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OUT_BUFFER	(256u << 10)
#define OUT_DEPTH	16	/* objects and arrays within each other */
#define OUT_KEY		256u	/* longer keys take the slow way */
#define OUT_WORD_BYTES	28u

struct out {
	char	*buf, *at, *end;	/* at: where the next byte goes */
	int	 fd;
	int	 error;			/* errno of the first write that failed */
	bool	 comma;			/* before what comes next */
	unsigned depth;			/* of the open object or array; 0: none */
	struct { bool array, raw; } level[OUT_DEPTH];
	uint64_t sec;			/* of the last time written, and its digits: the next has the same, mostly */
	char	 sec_digits[10];
};

void out_open(struct out *o, int fd);
int out_close(struct out *o);		/* flushes; 0 or the errno of a failed write, said */
void out_flush(struct out *o);

void out_begin(struct out *o);		/* a line's object */
void out_object(struct out *o, const char *key);
void out_array(struct out *o, const char *key);
void out_end(struct out *o);		/* the innermost; ends the line at the outermost */

/* These have their key's length at compile time: struct out is written to in the caller. */
static inline void out_u64(struct out *o, const char *key, uint64_t v);
static inline void out_s64(struct out *o, const char *key, int64_t v);
static inline void out_bool(struct out *o, const char *key, bool v);
static inline void out_str(struct out *o, const char *key, const char *s, size_t n);
static inline void out_text(struct out *o, const char *key, const char *s);	/* NUL-terminated; NULL: nothing */
static inline void out_milli(struct out *o, const char *key, int64_t thousandths);	/* 970: 0.97 */

/* A word of our own, quoted beforehand: nothing in it needs an escape. */
struct out_word { char text[OUT_WORD_BYTES]; uint32_t len; };
#define OUT_WORD(s) { "\"" s "\"", sizeof(s) + 1 }
static inline void out_word(struct out *o, const char *key, const struct out_word *w);

void out_hex(struct out *o, const char *key, const void *bytes, size_t n);	/* "00ff…" */

/* ---- how --------------------------------------------------------------------------- */

/* Values alone, behind their key. */
void out_value_u64(struct out *o, uint64_t v);
void out_value_s64(struct out *o, int64_t v);
void out_value_milli(struct out *o, int64_t v);
void out_value_str(struct out *o, const char *s, size_t n);
void out_long_key(struct out *o, const char *key, size_t n);
void out_put(struct out *o, const char *s, size_t n);	/* bytes as they are, any length */

/* Room for n bytes, at most OUT_BUFFER. */
static inline char *out_room(struct out *o, size_t n)
{
	if ((size_t)(o->end - o->at) < n)
		out_flush(o);
	return o->at;
}

/* The comma and the key before a value. */
static inline void out_key(struct out *o, const char *key)
{
	size_t n = key ? strlen(key) : 0;
	char *p;

	if (n > OUT_KEY) {
		out_long_key(o, key, n);
		return;
	}
	p = out_room(o, n + 4);
	if (o->comma)
		*p++ = ',';
	o->comma = true;
	if (key && !o->level[o->depth].array) {
		*p++ = '"';
		memcpy(p, key, n);
		p += n;
		*p++ = '"';
		*p++ = ':';
	}
	o->at = p;
}

static inline void out_u64(struct out *o, const char *key, uint64_t v)
{
	out_key(o, key);
	out_value_u64(o, v);
}

static inline void out_s64(struct out *o, const char *key, int64_t v)
{
	out_key(o, key);
	out_value_s64(o, v);
}

static inline void out_bool(struct out *o, const char *key, bool v)
{
	out_key(o, key);
	memcpy(out_room(o, 5), v ? "true" : "false", 5);
	o->at += v ? 4 : 5;
}

static inline void out_str(struct out *o, const char *key, const char *s, size_t n)
{
	out_key(o, key);
	out_value_str(o, s, n);
}

static inline void out_text(struct out *o, const char *key, const char *s)
{
	if (s)
		out_str(o, key, s, strlen(s));
}

static inline void out_word(struct out *o, const char *key, const struct out_word *w)
{
	out_key(o, key);
	memcpy(out_room(o, sizeof(w->text)), w->text, sizeof(w->text));	/* all of it: a known length is quick */
	o->at += w->len;
}

static inline void out_milli(struct out *o, const char *key, int64_t thousandths)
{
	out_key(o, key);
	out_value_milli(o, thousandths);
}

/*
 * The length of the UTF-8 sequence at s (1..4), or 0 when there is none: no
 * overlong forms, no surrogates, nothing above U+10FFFF.
 */
size_t utf8_len(const char *s, size_t n);

/* For text: controls and bytes that are not UTF-8 as \xNN, so no name steers a terminal. */
void text_str(FILE *f, const char *s, size_t n);

/* "2026-01-02T03:04:05.678901234Z" into buf; returns buf. */
#define TEXT_TIME	40
const char *text_time(char buf[TEXT_TIME], int64_t axis_ns);

#endif

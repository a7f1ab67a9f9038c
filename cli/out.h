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

#define OUT_DEPTH	16	/* objects and arrays within each other */

struct out {
	char	*buf;
	size_t	 len;
	int	 fd;
	int	 error;			/* errno of the first write that failed */
	unsigned depth;			/* of the open object or array; 0: none */
	struct {
		bool array, filled, raw;
	} level[OUT_DEPTH];
};

void out_open(struct out *o, int fd);
int out_close(struct out *o);		/* flushes; 0 or the errno of a failed write, said */
void out_flush(struct out *o);

void out_begin(struct out *o);		/* a line's object */
void out_object(struct out *o, const char *key);
void out_array(struct out *o, const char *key);
void out_end(struct out *o);		/* the innermost; ends the line at the outermost */

void out_u64(struct out *o, const char *key, uint64_t v);
void out_s64(struct out *o, const char *key, int64_t v);
void out_bool(struct out *o, const char *key, bool v);
void out_hex(struct out *o, const char *key, const void *bytes, size_t n);	/* "00ff…" */
void out_str(struct out *o, const char *key, const char *s, size_t n);
void out_text(struct out *o, const char *key, const char *s);	/* NUL-terminated; NULL: nothing */
void out_milli(struct out *o, const char *key, int64_t thousandths);	/* 970: 0.97 */

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

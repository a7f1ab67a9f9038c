/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.c - NDJSON, written directly.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "say.h"

#define OUT_BUFFER	(256u << 10)

/* ---- the buffer ---------------------------------------------------------- */

void out_open(struct out *o, int fd)
{
	memset(o, 0, sizeof(*o));
	o->fd = fd;
	o->buf = malloc(OUT_BUFFER);
	if (!o->buf)
		o->error = ENOMEM;
}

void out_flush(struct out *o)
{
	size_t at = 0;

	while (at < o->len && !o->error) {
		ssize_t n = write(o->fd, o->buf + at, o->len - at);

		if (n < 0 && errno != EINTR)
			o->error = errno;
		if (n > 0)
			at += (size_t)n;
	}
	o->len = 0;
}

int out_close(struct out *o)
{
	int error;

	out_flush(o);
	error = o->error;
	if (error)
		say("the output could not be written: %s", strerror(error));
	free(o->buf);
	memset(o, 0, sizeof(*o));
	return error;
}

static void put(struct out *o, const char *s, size_t n)
{
	if (o->error)
		return;
	while (n) {
		size_t room = OUT_BUFFER - o->len, part = n < room ? n : room;

		memcpy(o->buf + o->len, s, part);
		o->len += part;
		s += part;
		n -= part;
		if (o->len == OUT_BUFFER) {
			out_flush(o);
			if (o->error)
				return;
		}
	}
}

static void put_char(struct out *o, char c)
{
	put(o, &c, 1);
}

/* ---- structure ----------------------------------------------------------- */

/* The comma and the key before a value. */
static void key_of(struct out *o, const char *key)
{
	if (o->depth) {
		if (o->level[o->depth].filled)
			put_char(o, ',');
		o->level[o->depth].filled = true;
	}
	if (key && o->depth && !o->level[o->depth].array) {
		put_char(o, '"');
		put(o, key, strlen(key));
		put(o, "\":", 2);
	}
}

static void enter(struct out *o, const char *key, bool array)
{
	key_of(o, key);
	put_char(o, array ? '[' : '{');
	if (o->depth + 1 >= OUT_DEPTH)
		abort();	/* a mistake of ours, whatever the trail holds */
	o->depth++;
	o->level[o->depth].array = array;
	o->level[o->depth].filled = o->level[o->depth].raw = false;
}

void out_begin(struct out *o)
{
	enter(o, NULL, false);
}

void out_object(struct out *o, const char *key)
{
	enter(o, key, false);
}

void out_array(struct out *o, const char *key)
{
	enter(o, key, true);
}

void out_end(struct out *o)
{
	bool array = o->level[o->depth].array, raw = o->level[o->depth].raw;

	if (!array && raw)
		out_bool(o, "raw", true);
	put_char(o, array ? ']' : '}');
	o->depth--;
	/* An array cannot say it itself: the object around it does. */
	if (array && raw && o->depth)
		o->level[o->depth].raw = true;
	if (!o->depth)
		put_char(o, '\n');
}

/* ---- values -------------------------------------------------------------- */

static void put_u64(struct out *o, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	put(o, digits + at, sizeof(digits) - at);
}

void out_u64(struct out *o, const char *key, uint64_t v)
{
	key_of(o, key);
	put_u64(o, v);
}

void out_s64(struct out *o, const char *key, int64_t v)
{
	key_of(o, key);
	if (v < 0)
		put_char(o, '-');
	put_u64(o, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void out_bool(struct out *o, const char *key, bool v)
{
	key_of(o, key);
	put(o, v ? "true" : "false", v ? 4 : 5);
}

void out_hex(struct out *o, const char *key, const void *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	key_of(o, key);
	put_char(o, '"');
	for (size_t i = 0; i < n; i++) {
		put_char(o, hex[p[i] >> 4]);
		put_char(o, hex[p[i] & 15]);
	}
	put_char(o, '"');
}

void out_milli(struct out *o, const char *key, int64_t v)
{
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	char part[8];
	int len = snprintf(part, sizeof(part), ".%03u", (unsigned)(u % 1000));

	while (len > 1 && part[len - 1] == '0')
		len--;
	key_of(o, key);
	if (v < 0)
		put_char(o, '-');
	put_u64(o, u / 1000);
	if (len > 1)
		put(o, part, (size_t)len);
}

/* ---- strings ------------------------------------------------------------- */

size_t utf8_len(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	uint32_t c;
	size_t len;

	if (!n)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	c = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((len == 3 && c < 0x800) || (len == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

static void put_escaped(struct out *o, uint8_t c)
{
	char text[8];

	switch (c) {
	case '"': put(o, "\\\"", 2); return;
	case '\\': put(o, "\\\\", 2); return;
	case '\n': put(o, "\\n", 2); return;
	case '\t': put(o, "\\t", 2); return;
	case '\r': put(o, "\\r", 2); return;
	}
	snprintf(text, sizeof(text), "\\u%04x", c);
	put(o, text, 6);
}

void out_str(struct out *o, const char *key, const char *s, size_t n)
{
	key_of(o, key);
	put_char(o, '"');
	for (size_t i = 0, plain = 0; i <= n; ) {
		size_t len = i < n ? utf8_len(s + i, n - i) : 0;
		uint8_t c = i < n ? (uint8_t)s[i] : 0;

		if (i < n && len && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			i += len;
			continue;
		}
		put(o, s + plain, i - plain);
		if (i == n)
			break;
		if (!len)
			o->level[o->depth].raw = true;
		put_escaped(o, c);
		plain = ++i;
	}
	put_char(o, '"');
}

void out_text(struct out *o, const char *key, const char *s)
{
	if (s)
		out_str(o, key, s, strlen(s));
}

/* ---- text ---------------------------------------------------------------- */

void text_str(FILE *f, const char *s, size_t n)
{
	for (size_t i = 0; i < n; ) {
		size_t len = utf8_len(s + i, n - i);
		uint8_t c = (uint8_t)s[i];

		/* C1 controls are two bytes of UTF-8: c2 80 to c2 9f. */
		if (!len || c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && (uint8_t)s[i + 1] < 0xa0)) {
			fprintf(f, "\\x%02x", c);
			i++;
			continue;
		}
		fwrite(s + i, 1, len, f);
		i += len;
	}
}

const char *text_time(char buf[TEXT_TIME], int64_t axis_ns)
{
	int64_t sec = axis_ns / 1000000000, ns = axis_ns % 1000000000;
	struct tm tm;
	time_t t;
	size_t n;

	if (ns < 0) {
		ns += 1000000000;
		sec--;
	}
	t = (time_t)sec;
	n = gmtime_r(&t, &tm) ? strftime(buf, TEXT_TIME, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
	snprintf(buf + n, TEXT_TIME - n, ".%09dZ", (int)ns);
	return buf;
}

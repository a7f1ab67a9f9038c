/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.c - NDJSON, written directly.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "say.h"

/* ---- the buffer ---------------------------------------------------------- */

void out_open(struct out *o, int fd)
{
	memset(o, 0, sizeof(*o));
	o->fd = fd;
	o->level[0].array = true;	/* a line has no key */
	o->buf = malloc(OUT_BUFFER);
	if (!o->buf) {
		say("out of memory");
		exit(STATUS_CANNOT);
	}
	o->at = o->buf;
	o->end = o->buf + OUT_BUFFER;
}

void out_flush(struct out *o)
{
	const char *from = o->buf;

	while (from < o->at && !o->error) {
		ssize_t n = write(o->fd, from, (size_t)(o->at - from));

		if (n < 0 && errno != EINTR)
			o->error = errno;
		if (n > 0)
			from += n;
	}
	o->at = o->buf;
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

void out_put(struct out *o, const char *s, size_t n)
{
	while (n) {
		size_t part = n < OUT_BUFFER ? n : OUT_BUFFER;

		memcpy(out_room(o, part), s, part);
		o->at += part;
		s += part;
		n -= part;
	}
}

static void put_char(struct out *o, char c)
{
	*out_room(o, 1) = c;
	o->at++;
}

/* ---- structure ----------------------------------------------------------- */

void out_long_key(struct out *o, const char *key, size_t n)
{
	out_key(o, NULL);
	if (o->level[o->depth].array)
		return;
	put_char(o, '"');
	out_put(o, key, n);
	out_put(o, "\":", 2);
}

static void enter(struct out *o, const char *key, bool array)
{
	out_key(o, key);
	put_char(o, array ? '[' : '{');
	o->comma = false;
	if (o->depth + 1 >= OUT_DEPTH)
		abort();	/* a mistake of ours, whatever the trail holds */
	o->depth++;
	o->level[o->depth].array = array;
	o->level[o->depth].raw = false;
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
	o->comma = o->depth;
	/* An array cannot say it itself: the object around it does. */
	if (array && raw && o->depth)
		o->level[o->depth].raw = true;
	if (!o->depth)
		put_char(o, '\n');
}

/* ---- values -------------------------------------------------------------- */

#define SECOND	UINT64_C(1000000000)
#define EIGHT	UINT64_C(100000000)

/* The eight digits of v < EIGHT as bytes 0 to 9, the first in the lowest byte: halves are split side by side. */
static uint64_t eight_digits(uint32_t v)
{
	uint64_t d = v / 10000 | (uint64_t)(v % 10000) << 32, high;

	high = d * 10486 >> 20 & UINT64_C(0x0000007f0000007f);		/* each / 100 */
	d = high | (d - high * 100) << 16;
	high = d * 103 >> 10 & UINT64_C(0x000f000f000f000f);		/* each / 10 */
	return high | (d - high * 10) << 8;
}

static void put_eight(char *p, uint64_t digits)
{
	digits = htole64(digits | UINT64_C(0x3030303030303030));
	memcpy(p, &digits, sizeof(digits));
}

/* Without zeros before it; writes eight bytes, returns what is behind the number. */
static char *put_few(char *p, uint32_t v)
{
	uint64_t digits = eight_digits(v);
	unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;	/* the last digit stays */

	put_eight(p, digits >> 8 * zeros);
	return p + 8 - zeros;
}

void out_value_u64(struct out *o, uint64_t v)
{
	char *p = out_room(o, 24);

	if (v < EIGHT) {
		o->at = put_few(p, (uint32_t)v);
	} else if (v >= SECOND * SECOND && v < 10 * SECOND * SECOND) {
		/* A time of today: ten digits of seconds, nine behind. */
		uint64_t sec = v / SECOND;
		uint32_t ns = (uint32_t)(v % SECOND);

		if (sec != o->sec) {
			o->sec = sec;
			put_few(o->sec_digits, (uint32_t)(sec / EIGHT));
			put_eight(o->sec_digits + 2, eight_digits((uint32_t)(sec % EIGHT)));
		}
		memcpy(p, o->sec_digits, sizeof(o->sec_digits));
		p[10] = (char)('0' + ns / EIGHT);
		put_eight(p + 11, eight_digits(ns % EIGHT));
		o->at = p + 19;
	} else {
		uint64_t rest = v / EIGHT;

		if (rest < EIGHT) {
			p = put_few(p, (uint32_t)rest);
		} else {
			p = put_few(p, (uint32_t)(rest / EIGHT));
			put_eight(p, eight_digits((uint32_t)(rest % EIGHT)));
			p += 8;
		}
		put_eight(p, eight_digits((uint32_t)(v % EIGHT)));
		o->at = p + 8;
	}
}

void out_value_s64(struct out *o, int64_t v)
{
	if (v < 0)
		put_char(o, '-');
	out_value_u64(o, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void out_value_milli(struct out *o, int64_t v)
{
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	unsigned part = (unsigned)(u % 1000);
	const char text[] = { '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10), (char)('0' + part % 10) };
	size_t len = sizeof(text);

	while (len > 1 && text[len - 1] == '0')
		len--;
	if (v < 0)
		put_char(o, '-');
	out_value_u64(o, u / 1000);
	if (len > 1)
		out_put(o, text, len);
}

void out_hex(struct out *o, const char *key, const void *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	out_key(o, key);
	put_char(o, '"');
	for (size_t i = 0; i < n; i++) {
		put_char(o, hex[p[i] >> 4]);
		put_char(o, hex[p[i] & 15]);
	}
	put_char(o, '"');
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
	case '"': out_put(o, "\\\"", 2); return;
	case '\\': out_put(o, "\\\\", 2); return;
	case '\n': out_put(o, "\\n", 2); return;
	case '\t': out_put(o, "\\t", 2); return;
	case '\r': out_put(o, "\\r", 2); return;
	}
	snprintf(text, sizeof(text), "\\u%04x", c);
	out_put(o, text, 6);
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Some of eight bytes, each with its high bit clear, is zero. */
static uint64_t any_zero(uint64_t w)
{
	return (w - UINT64_C(0x0101010101010101)) & UINT64_C(0x8080808080808080);
}

/* Eight bytes of printable ASCII, none of which needs an escape. */
static bool are_plain(uint64_t w)
{
	const uint64_t each = UINT64_C(0x0101010101010101);

	return !((w | any_zero(w & each * 0x60) | any_zero(w ^ each * '"') | any_zero(w ^ each * '\\') |
		  any_zero(w ^ each * 0x7f)) & each * 0x80);
}

/* Copies what needs no second look: how many bytes. */
static size_t put_plain(char *to, const char *s, size_t n)
{
	size_t i = 0;
	uint64_t w;

	for (; i + sizeof(w) <= n; i += sizeof(w)) {
		memcpy(&w, s + i, sizeof(w));
		if (!are_plain(w))
			break;
		memcpy(to + i, &w, sizeof(w));
	}
	/* The rest of most strings: the last eight bytes once more. */
	if (i && i < n && i + sizeof(w) > n) {
		memcpy(&w, s + n - sizeof(w), sizeof(w));
		if (are_plain(w)) {
			memcpy(to + n - sizeof(w), &w, sizeof(w));
			return n;
		}
	}
	for (; i < n && is_plain((uint8_t)s[i]); i++)
		to[i] = s[i];
	return i;
}

void out_value_str(struct out *o, const char *s, size_t n)
{
	put_char(o, '"');
	for (size_t i = 0; i < n; ) {
		size_t part = n - i < OUT_BUFFER / 2 ? n - i : OUT_BUFFER / 2, len;

		len = put_plain(out_room(o, part), s + i, part);
		o->at += len;
		i += len;
		if (i == n || len == part)
			continue;
		len = utf8_len(s + i, n - i);
		if (len > 1) {
			out_put(o, s + i, len);
			i += len;
			continue;
		}
		if (!len)
			o->level[o->depth].raw = true;
		put_escaped(o, (uint8_t)s[i++]);
	}
	put_char(o, '"');
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

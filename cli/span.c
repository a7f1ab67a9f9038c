/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "span.h"

char *span_number(char *p, uint32_t n)
{
	char digits[10];
	unsigned at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	memcpy(p, digits + at, sizeof(digits) - at);
	return p + sizeof(digits) - at;
}

/* As printf rounds; false on the very edge between two, which printf sees to. */
static bool rounded(char *buf, size_t size, uint64_t ns, uint64_t unit, int decimals, const char *name)
{
	uint64_t step = decimals == 2 ? unit / 100 : decimals == 1 ? unit / 10 : unit;
	uint64_t n = ns / step, rest = ns % step;
	uint32_t one = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;

	if (2 * rest == step || size < 24)
		return false;
	n += 2 * rest > step;
	buf = span_number(buf, (uint32_t)(n / one));
	if (decimals)
		*buf++ = '.';
	if (decimals == 2)
		*buf++ = (char)('0' + n / 10 % 10);
	if (decimals)
		*buf++ = (char)('0' + n % 10);
	*buf++ = ' ';
	strcpy(buf, name);
	return true;
}

const char *span_text(char *buf, size_t size, int64_t ns)
{
	static const struct { double unit; uint64_t ns; const char *name; } units[] = {
		{ 1e9, 1000000000, "s" }, { 1e6, 1000000, "ms" }, { 1e3, 1000, "µs" },
	};
	double v = (double)(ns < 0 ? -ns : ns);
	const char *sign = ns < 0 ? "-" : "";

	if (v >= 119.5e9) {
		snprintf(buf, size, "%s%dm%02ds", sign, (int)(v / 60e9), (int)(v / 1e9) % 60);
		return buf;
	}
	for (unsigned i = 0; i < 3; i++) {
		double x = v / units[i].unit;
		int decimals = x < 9.995 ? 2 : x < 99.95 ? 1 : 0;

		if (x < 0.9995)
			continue;
		if (ns < 0 || !rounded(buf, size, (uint64_t)ns, units[i].ns, decimals, units[i].name))
			snprintf(buf, size, "%s%.*f %s", sign, decimals, x, units[i].name);
		return buf;
	}
	snprintf(buf, size, "%" PRId64 " ns", ns);
	return buf;
}

const char *span_column(char *buf, size_t size, int64_t ns, int columns)
{
	char t[32];
	int wide = 0;

	span_text(t, sizeof(t), ns);
	for (const char *p = t; *p; p++)
		wide += ((unsigned char)*p & 0xc0) != 0x80;
	snprintf(buf, size, "%*s%s", wide < columns ? columns - wide : 0, "", t);
	return buf;
}

const char *clock_text(char *buf, size_t size, int64_t axis_ns)
{
	time_t s = (time_t)(axis_ns / 1000000000);
	struct tm tm;

	if (!localtime_r(&s, &tm) || axis_ns <= 0) {
		snprintf(buf, size, "?");
		return buf;
	}
	snprintf(buf, size, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (int)(axis_ns / 1000000 % 1000));
	return buf;
}

const char *date_text(char *buf, size_t size, int64_t axis_ns)
{
	time_t s = (time_t)(axis_ns / 1000000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || axis_ns <= 0) {
		snprintf(buf, size, "?");
		return buf;
	}
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(axis_ns / 1000000 % 1000));
	return buf;
}

int text_put(char *buf, size_t size, int at, const char *format, ...)
{
	va_list ap;
	int n;

	if (at < 0 || (size_t)at >= size)
		return at;
	va_start(ap, format);
	n = vsnprintf(buf + at, size - (size_t)at, format, ap);
	va_end(ap);
	return n < 0 ? at : at + n >= (int)size ? (int)size - 1 : at + n;
}

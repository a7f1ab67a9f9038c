/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * span.h - lengths and points of time for people.
 */
#ifndef ACKTRAIL_SPAN_H
#define ACKTRAIL_SPAN_H

#include <stddef.h>
#include <stdint.h>

/* "812 ns", "45 µs", "3.2 ms", "1.24 s", "2m05s": three digits at most. */
const char *span_text(char *buf, size_t size, int64_t ns);

/* Digits of a number, not terminated: what is behind them. */
char *span_number(char *p, uint32_t n);

/* The same as span_text(), filled with spaces on the left to `columns` (µ is two bytes, one column). */
const char *span_column(char *buf, size_t size, int64_t ns, int columns);

/* "14:03:22.071" of a time on the axis, local time zone unless TZ says otherwise. */
const char *clock_text(char *buf, size_t size, int64_t axis_ns);

/* "2026-01-02T14:03:22.071Z" */
const char *date_text(char *buf, size_t size, int64_t axis_ns);

/* Adds to a text of `at` bytes; what does not fit is cut.  Its length then. */
__attribute__((format(printf, 4, 5)))
int text_put(char *buf, size_t size, int at, const char *format, ...);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* writer_int.h - what the files of the trail's writer share. */
#ifndef ACKTRAIL_WRITER_INT_H
#define ACKTRAIL_WRITER_INT_H

#include <sys/types.h>
#include "writer.h"

/* A small file as a string; its length, or -errno. */
ssize_t at_read_file(const char *path, char *buf, size_t size);
/* Digits behind blanks.  Not strtoull(): newer headers make it a symbol of GLIBC_2.38. */
uint64_t at_number(const char *p);
/* Bytes of the wanted ones that a window on that file system may take; 0: none. */
uint64_t at_affordable(const char *path, uint64_t want);
/* When this process began, in clock ticks since boot; 0 when /proc does not say. */
uint64_t at_start_ticks(void);
/* The events and their fields in words; to out unless it is NULL.  Its length. */
size_t at_schema_text(char *out, size_t size);
/* Bytes before the chunks, in whole pages. */
uint64_t at_front_bytes(uint64_t schema_len);
/* All of the header but the magic, for a window of size bytes. */
void at_fill_header(struct at_writer *w, const struct at_writer_conf *conf, uint64_t size, uint64_t schema_len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_view.h - one batch, as a line of NDJSON (the stable interface) or for people.
 */
#ifndef ACKTRAIL_BATCH_VIEW_H
#define ACKTRAIL_BATCH_VIEW_H

#include <stdio.h>
#include <acktrail/timeline.h>
#include "out.h"

#define VIEW_COLUMNS 100

void batch_json(struct out *o, const struct tl_batch *b);
void verdict_json(struct out *o, const struct tl_verdict *v);

/* Head line, then the phases, wrapped; with attempts also what is known of each. */
void batch_text(FILE *f, const struct tl_batch *b, bool colour, bool attempts);
void batch_head_text(FILE *f, const struct tl_batch *b, bool colour);

/* Prints words within VIEW_COLUMNS, continuing at `indent`. */
struct wrap { FILE *f; unsigned column, indent; };
void wrap_begin(struct wrap *w, FILE *f, unsigned indent);
void wrap_word(struct wrap *w, const char *word);	/* may hold spaces; not broken */
void wrap_text(struct wrap *w, const char *text);	/* broken at spaces */
void wrap_end(struct wrap *w);

const char *in_log_name(enum tl_in_log l);
const char *resend_name(enum tl_resend r);

/* A copy that outlives the callback; strings stay the join's.  free() it; NULL: no memory. */
struct tl_batch *batch_copy(const struct tl_batch *b);
/* Of it the phases alone, with what they point to. */
struct tl_phase *phases_copy(const struct tl_batch *b);
/* The whole into batch_bytes(b) bytes of room, at a multiple of 16. */
size_t batch_bytes(const struct tl_batch *b);
struct tl_batch *batch_pack(void *room, const struct tl_batch *b);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requests_view.h - timeline --requests: a pass over the trails of its own, a line a
 * request, as the filters keep them.
 */
#ifndef ACKTRAIL_REQUESTS_VIEW_H
#define ACKTRAIL_REQUESTS_VIEW_H

#include "joined.h"
#include "out.h"

/* In the order of sending, or with --slowest the slowest first.  How many it told. */
uint64_t requests_show(struct joined *c, struct out *o, bool colour);

#endif

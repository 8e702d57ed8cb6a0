/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls whose list names disks of both sites: each site does its part. A call that names none of
 * ours is passed on whole (route.h) and does not come here.
 */
#ifndef CONTROL_SPLIT_H
#define CONTROL_SPLIT_H

#include "control/call.h"
#include "control/page.h"

/* Of the disks that the list `parameter` names, those that are ours to deal with: all of them,
 * unless the call is split. Repeatable. */
const json_t *split_own(struct call *call, const char *parameter);
/* After our part was judged and before it is done: true: the peer does its part first, and again_cb
 * is called behind it, which judges anew and asks here again; where the peer refuses, the call is
 * answered as it answered. False: nothing is to be asked (any more). */
bool split_ask(struct call *call, const char *parameter, void (*again_cb)(struct call *call));

/* As page_reply(), of a list that may be split: our disks first, then the peer's. */
void split_page(struct call *call, const char *parameter, const struct page_source *source);

#endif

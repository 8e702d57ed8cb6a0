/* SPDX-License-Identifier: Apache-2.0 */
/* Intent bits of a tracked volume (R3): durable before the store sees a write, cleared lazily. */
#ifndef VOLUME_INTENT_LOG_H
#define VOLUME_INTENT_LOG_H

#include "volume/tracking_state.h"

/* -ENOMEM. */
int intent_log_init(struct tracking *tracking);
/* Room for more regions, durable in the file. Blocks; no save may be under way. An error leaves at
 * most unused room. */
int intent_log_widen(struct tracking *tracking, uint64_t region_count, struct err *err);
void intent_log_fini(struct tracking *tracking);

/* A write to these blocks is under way until intent_log_leave(). */
void intent_log_enter(struct tracking *tracking, uint64_t block, uint64_t count);
void intent_log_leave(struct tracking *tracking, uint64_t block, uint64_t count);

/* Are the bits of these blocks durable? */
bool intent_log_is_durable(const struct tracking *tracking, uint64_t block, uint64_t count);
/* Sets the bits, and calls waiter->done_cb when they are durable (never from inside). Waiters share
 * saves. */
void intent_log_require(struct tracking *tracking, struct intent_waiter *waiter, uint64_t block,
                        uint64_t count, void (*done_cb)(struct intent_waiter *waiter, int error));

/* Some bits may have become needless: looks after a while, syncs the store if it must, clears. */
void intent_log_sweep_later(struct tracking *tracking);

#endif

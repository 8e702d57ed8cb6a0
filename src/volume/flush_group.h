/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syncs of one store, shared. Who joins while a sync runs waits for the next one: a sync covers
 * only what ended before it began.
 */
#ifndef VOLUME_FLUSH_GROUP_H
#define VOLUME_FLUSH_GROUP_H

#include "store/store.h"
#include "volume/overlay.h"

struct flush_waiter {
    struct list node;
    void (*done_cb)(struct flush_waiter *waiter, int error);
};

struct flush_group {
    struct store *store;
    const struct overlay_ops *overlay; /* or NULL */
    void *overlay_arg;
    struct list waiting; /* for the next sync */
    struct list running; /* covered by the one under way */
    struct store_op op;
    struct overlay_read flushed;
    bool is_running;
    void (*idle_cb)(struct flush_group *group);
    uint64_t started_count; /* syncs begun: the number of the newest */
    uint64_t synced_number; /* of the newest sync that ended well; all earlier writes are durable */
};

/* `idle_cb`: called whenever a sync has ended and none follows, before its waiters are told. */
void flush_group_init(struct flush_group *group, struct store *store,
                      void (*idle_cb)(struct flush_group *group));
bool flush_group_is_idle(const struct flush_group *group);
/* Calls waiter->done_cb after a sync that begins after this call (never from inside it), and after
 * the overlay recorded what that sync covers (R10). */
void flush_group_join(struct flush_group *group, struct flush_waiter *waiter,
                      void (*done_cb)(struct flush_waiter *waiter, int error));

#endif

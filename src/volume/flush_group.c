/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared syncs.
 *
 *  1. One sync at a time; everybody who joined before it began is covered by it.
 *  2. The overlay hears flushing() at the beginning, and flushed() only after the base is synced
 *     (R10: the base first, then the records); nobody is told before the records are durable too.
 *  3. synced_number rises only with a sync that ended well.
 */
#include "volume/flush_group.h"

#include "base/check.h"

void flush_group_init(struct flush_group *group, struct store *store,
                      void (*idle_cb)(struct flush_group *group))
{
    *group = (struct flush_group){.store = store, .idle_cb = idle_cb};
    list_init(&group->waiting);
    list_init(&group->running);
}

bool flush_group_is_idle(const struct flush_group *group)
{
    return !group->is_running && list_is_empty(&group->waiting);
}

static void sync_begin(struct flush_group *group);

static void sync_end(struct flush_group *group, int error)
{
    struct list done, *node;

    check(group->is_running);
    list_init(&done);
    while ((node = list_pop(&group->running)) != NULL)
        list_append(&done, node);
    group->is_running = false;
    if (!list_is_empty(&group->waiting))
        sync_begin(group);
    else
        group->idle_cb(group);
    while ((node = list_pop(&done)) != NULL) {
        struct flush_waiter *waiter = list_entry(node, struct flush_waiter, node);

        waiter->done_cb(waiter, error);
    }
}

static void overlay_flushed(struct overlay_read *op, int error)
{
    sync_end(container_of(op, struct flush_group, flushed), error);
}

static void store_synced(struct store_op *op, int error)
{
    struct flush_group *group = container_of(op, struct flush_group, op);

    if (error == 0)
        group->synced_number = group->started_count;
    if (error == 0 && group->overlay)
        group->overlay->flushed(group->overlay_arg, &group->flushed, overlay_flushed);
    else
        sync_end(group, error);
}

static void sync_begin(struct flush_group *group)
{
    struct list *node;

    check(!group->is_running && list_is_empty(&group->running));
    while ((node = list_pop(&group->waiting)) != NULL)
        list_append(&group->running, node);
    group->is_running = true;
    group->started_count++;
    if (group->overlay)
        group->overlay->flushing(group->overlay_arg);
    store_sync(group->store, &group->op, store_synced);
}

void flush_group_join(struct flush_group *group, struct flush_waiter *waiter,
                      void (*done_cb)(struct flush_waiter *waiter, int error))
{
    check(done_cb != NULL);
    waiter->done_cb = done_cb;
    list_append(&group->waiting, &waiter->node);
    if (!group->is_running)
        sync_begin(group);
}

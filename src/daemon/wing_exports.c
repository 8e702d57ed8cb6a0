/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports follow two wishes: control's (attached) and the engine's (hosts may write). `settle`
 * compares what is wanted with what is, one step at a time:
 *
 *   state     wanted  step
 *   NONE      yes     add -> ON
 *   ON        no      remove -> GOING; when removed -> NONE, settle again
 *   GOING     any     wait
 *
 * Promises: engine_disk_closed() is called once for each access that was taken away, after the
 * export is gone, and never from inside the engine's callback (a deferred task does it).
 */
#include "daemon/wing_exports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

enum export_state { EXPORT_NONE, EXPORT_ON, EXPORT_GOING };

/* A disk's export, or a snapshot's (then `snapshot` is its id and `disk` the disk's). */
struct wing_export {
    struct list node;
    struct wing_exports *exports;
    char disk[40], snapshot[40], name[112];
    enum export_state state;
    struct nbd_export *nbd;
    bool is_attached, may_write, owes_closed;
    char why[240];
    wing_done_fn done_cb; /* who waits for the removal */
    void *done_arg;
};

struct wing_exports {
    struct loop *loop;
    struct nbd_server *server;
    struct engine *engine;
    struct list disks, snapshots;
    struct loop_task task;
    bool is_ending;
    wing_done_fn ended_cb;
    void *ended_arg;
};

static void settle_all(struct loop_task *task);

struct wing_exports *wing_exports_new(struct loop *loop, struct nbd_server *server)
{
    struct wing_exports *exports = calloc(1, sizeof(*exports));

    check(exports != NULL);
    exports->loop = loop;
    exports->server = server;
    list_init(&exports->disks);
    list_init(&exports->snapshots);
    exports->task.run_cb = settle_all;
    list_init(&exports->task.node);
    return exports;
}

void wing_exports_set_engine(struct wing_exports *exports, struct engine *engine)
{
    check(exports->engine == NULL);
    exports->engine = engine;
}

void wing_exports_free(struct wing_exports *exports)
{
    struct list *node;

    if (exports == NULL)
        return;
    while ((node = list_pop(&exports->disks)) != NULL)
        free(list_entry(node, struct wing_export, node));
    check(list_is_empty(&exports->snapshots));
    free(exports);
}

static struct wing_export *find(struct list *head, const char *id, bool by_snapshot)
{
    struct list *node, *next;

    list_for_each(node, next, head)
    {
        struct wing_export *one = list_entry(node, struct wing_export, node);
        if (strcmp(by_snapshot ? one->snapshot : one->disk, id) == 0)
            return one;
    }
    return NULL;
}

static bool is_wanted(const struct wing_export *one)
{
    if (one->exports->is_ending)
        return false;
    return one->snapshot[0] ? one->is_attached : one->is_attached && one->may_write;
}

static void removed(void *arg)
{
    struct wing_export *one = arg;

    check(one->state == EXPORT_GOING);
    one->state = EXPORT_NONE;
    one->nbd = NULL;
    loop_defer(one->exports->loop, &one->exports->task);
}

static void snapshot_submit(void *arg, struct volume_request *request)
{
    struct wing_export *one = arg;
    engine_snapshot_submit(one->exports->engine, one->snapshot, request);
}

struct extent_answer {
    struct loop_message message;
    struct store_op *op;
    store_done_fn done_cb;
};

static void extent_answered(struct loop_message *message)
{
    struct extent_answer *answer = container_of(message, struct extent_answer, message);
    struct store_op *op = answer->op;
    store_done_fn done_cb = answer->done_cb;

    free(answer);
    done_cb(op, 1);
}

/* A snapshot tells one data extent: what it holds is spread over the layer and the base. */
static void snapshot_extents(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                             struct io_extent *extents, unsigned extent_max, store_done_fn done_cb)
{
    struct wing_export *one = arg;
    struct extent_answer *answer = malloc(sizeof(*answer));

    check(answer != NULL && extent_max > 0);
    extents[0] = (struct io_extent){.offset = offset, .length = length};
    *answer =
        (struct extent_answer){.message.run_cb = extent_answered, .op = op, .done_cb = done_cb};
    loop_post(one->exports->loop, &answer->message);
}

static const struct nbd_export_ops snapshot_ops = {snapshot_submit, snapshot_extents};

static uint64_t snapshot_bytes(struct wing_export *one)
{
    struct engine_snapshot snapshot;

    for (unsigned i = 0; engine_snapshot_at(one->exports->engine, one->disk, i, &snapshot); i++) {
        if (strcmp(snapshot.id, one->snapshot) == 0)
            return snapshot.size_bytes;
    }
    return 0;
}

static void add(struct wing_export *one)
{
    struct nbd_export_options options = {
        .name = one->name, .description = "snapshot", .is_read_only = true, .ops = &snapshot_ops};
    int failed;

    if (one->snapshot[0]) {
        options.arg = one;
        options.size_bytes = snapshot_bytes(one);
        failed = nbd_export_add(one->exports->server, &options, &one->nbd);
    } else {
        failed = nbd_export_add_volume(
            one->exports->server, one->name, engine_disk_volume(one->exports->engine, one->disk),
            engine_disk_bytes(one->exports->engine, one->disk), &one->nbd);
    }
    if (failed) {
        snprintf(one->why, sizeof(one->why), "cannot be exported: %s", err_name(failed));
        log_error("nbd", "export %s: %s", one->name, err_name(failed));
        one->is_attached = false;
        return;
    }
    one->state = EXPORT_ON;
}

void wing_exports_grow(struct wing_exports *exports, const char *disk)
{
    struct wing_export *one = find(&exports->disks, disk, false);

    if (one != NULL && one->state == EXPORT_ON)
        nbd_export_grow(one->nbd, engine_disk_bytes(exports->engine, disk));
}

/* One export towards what is wanted. True: it may be freed (a snapshot that is gone for good). */
static bool settle(struct wing_export *one)
{
    if (one->state == EXPORT_NONE && is_wanted(one))
        add(one);
    if (one->state == EXPORT_ON && !is_wanted(one)) {
        one->state = EXPORT_GOING;
        nbd_export_remove(one->nbd, removed, one);
    }
    if (one->state != EXPORT_NONE)
        return false;
    if (one->owes_closed) {
        one->owes_closed = false;
        engine_disk_closed(one->exports->engine, one->disk);
    }
    if (one->done_cb != NULL && !one->is_attached) {
        wing_done_fn done_cb = one->done_cb;
        one->done_cb = NULL;
        done_cb(one->done_arg);
    }
    return one->snapshot[0] != '\0' && !is_wanted(one);
}

static bool is_quiet(struct list *head)
{
    struct list *node, *next;

    list_for_each(node, next, head)
    {
        if (list_entry(node, struct wing_export, node)->state != EXPORT_NONE)
            return false;
    }
    return true;
}

static void settle_all(struct loop_task *task)
{
    struct wing_exports *exports = container_of(task, struct wing_exports, task);
    struct list *node, *next;

    list_for_each(node, next, &exports->disks) settle(list_entry(node, struct wing_export, node));
    list_for_each(node, next, &exports->snapshots)
    {
        struct wing_export *one = list_entry(node, struct wing_export, node);
        if (settle(one)) {
            list_remove(&one->node);
            free(one);
        }
    }
    if (exports->ended_cb != NULL && is_quiet(&exports->disks) &&
        list_is_empty(&exports->snapshots)) {
        wing_done_fn ended_cb = exports->ended_cb;
        exports->ended_cb = NULL;
        ended_cb(exports->ended_arg);
    }
}

int wing_exports_add_disk(struct wing_exports *exports, const char *disk)
{
    struct wing_export *one = calloc(1, sizeof(*one));
    const char *why = "";

    if (one == NULL)
        return -ENOMEM;
    one->exports = exports;
    snprintf(one->disk, sizeof(one->disk), "%s", disk);
    snprintf(one->name, sizeof(one->name), "%s", disk);
    one->may_write = engine_disk_may_write(exports->engine, disk, &why);
    snprintf(one->why, sizeof(one->why), "%s", why ? why : "");
    list_append(&exports->disks, &one->node);
    wing_exports_snapshots(exports, disk);
    return 0;
}

void wing_exports_remove_disk(struct wing_exports *exports, const char *disk)
{
    struct wing_export *one = find(&exports->disks, disk, false);

    check(one != NULL && one->state == EXPORT_NONE);
    list_remove(&one->node);
    free(one);
}

int wing_exports_attach(struct wing_exports *exports, const char *disk, bool *ret_is_exported,
                        const char **ret_why)
{
    struct wing_export *one = find(&exports->disks, disk, false);

    if (one == NULL)
        return -ENOENT;
    if (one->is_attached)
        return -EALREADY;
    if (one->done_cb != NULL)
        return -EBUSY;
    one->is_attached = true;
    settle(one);
    *ret_is_exported = one->state == EXPORT_ON;
    *ret_why = one->why;
    return 0;
}

int wing_exports_detach(struct wing_exports *exports, const char *disk, wing_done_fn done_cb,
                        void *arg)
{
    struct wing_export *one = find(&exports->disks, disk, false);

    if (one == NULL)
        return -ENOENT;
    if (one->done_cb != NULL)
        return -EBUSY;
    one->is_attached = false;
    one->done_cb = done_cb;
    one->done_arg = arg;
    loop_defer(exports->loop, &exports->task);
    return 0;
}

bool wing_exports_is_open(const struct wing_exports *exports, const char *disk)
{
    const struct wing_export *one = find((struct list *)&exports->disks, disk, false);

    return one != NULL && (one->is_attached || one->state != EXPORT_NONE);
}

void wing_exports_access(struct wing_exports *exports, const char *disk, bool may_write,
                         const char *why)
{
    struct wing_export *one = find(&exports->disks, disk, false);

    if (one == NULL)
        return;
    if (one->may_write && !may_write)
        one->owes_closed = true;
    one->may_write = may_write;
    snprintf(one->why, sizeof(one->why), "%s", may_write || why == NULL ? "" : why);
    if (may_write && one->state == EXPORT_NONE)
        settle(one); /* at once: a failover counts in milliseconds */
    else
        loop_defer(exports->loop, &exports->task);
}

void wing_exports_snapshots(struct wing_exports *exports, const char *disk)
{
    struct engine_snapshot snapshot;
    struct list *node, *next;

    if (exports->is_ending)
        return;
    list_for_each(node, next, &exports->snapshots)
    {
        struct wing_export *one = list_entry(node, struct wing_export, node);
        if (strcmp(one->disk, disk) == 0)
            one->is_attached = false;
    }
    for (unsigned i = 0; engine_snapshot_at(exports->engine, disk, i, &snapshot); i++) {
        struct wing_export *one = find(&exports->snapshots, snapshot.id, true);
        if (one == NULL) {
            one = calloc(1, sizeof(*one));
            check(one != NULL);
            one->exports = exports;
            snprintf(one->disk, sizeof(one->disk), "%s", disk);
            snprintf(one->snapshot, sizeof(one->snapshot), "%s", snapshot.id);
            snprintf(one->name, sizeof(one->name), "%s@%s", disk, snapshot.label);
            list_append(&exports->snapshots, &one->node);
        }
        one->is_attached = one->done_cb == NULL;
    }
    loop_defer(exports->loop, &exports->task);
}

int wing_exports_drop_snapshot(struct wing_exports *exports, const char *snapshot,
                               wing_done_fn done_cb, void *arg)
{
    struct wing_export *one = find(&exports->snapshots, snapshot, true);

    if (one == NULL || one->done_cb != NULL)
        return -ENOENT;
    if (one->state == EXPORT_ON && nbd_export_connections(one->nbd) > 0)
        return -EBUSY;
    one->is_attached = false;
    one->done_cb = done_cb;
    one->done_arg = arg;
    loop_defer(exports->loop, &exports->task);
    return 0;
}

void wing_exports_end(struct wing_exports *exports, wing_done_fn done_cb, void *arg)
{
    exports->is_ending = true;
    exports->ended_cb = done_cb;
    exports->ended_arg = arg;
    loop_defer(exports->loop, &exports->task);
}

unsigned wing_exports_disk_count(const struct wing_exports *exports)
{
    const struct list *node;
    unsigned count = 0;

    for (node = exports->disks.next; node != &exports->disks; node = node->next)
        count++;
    return count;
}

void wing_exports_disk_at(const struct wing_exports *exports, unsigned index,
                          struct wing_disk_facts *ret_facts)
{
    const struct list *node = exports->disks.next;

    while (index-- > 0)
        node = node->next;
    check(node != &exports->disks);
    const struct wing_export *one = (const void *)list_entry(node, const struct wing_export, node);
    *ret_facts = (struct wing_disk_facts){
        .id = one->disk,
        .why = one->why,
        .is_attached = one->is_attached,
        .may_write = one->may_write,
        .is_exported = one->state == EXPORT_ON,
        .connections = one->state == EXPORT_ON ? nbd_export_connections(one->nbd) : 0,
    };
}

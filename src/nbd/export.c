/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lowest part of the server: connections above it find and use exports, and hear by end_cb that
 * one goes away; an export knows nothing of connections.
 *
 *   1. user_count is the number of connections in transmission on this export; it is freed at 0
 *      only, and only after export_remove() (or with the server).
 *   2. An export that is removed is in no list: nobody attaches to it any more.
 */
#include "nbd/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wire/nbd_proto.h"

enum { EXPORT_MAGIC = 0x6e657870 };

int export_new(struct loop *loop, const struct nbd_export_options *options,
               struct nbd_export **ret_export)
{
    const char *description = options->description ? options->description : "";
    size_t name_length = strlen(options->name);
    struct nbd_export *export;

    if (name_length == 0 || name_length >= EXPORT_TEXT_SIZE ||
        strlen(description) >= EXPORT_TEXT_SIZE || options->size_bytes % NBD_BLOCK_BYTES_MIN != 0)
        return -EINVAL;
    check(options->ops && options->ops->submit && options->ops->extents);
    export = calloc(1, sizeof(*export));
    if (export == NULL)
        return -ENOMEM;
    export->magic = EXPORT_MAGIC;
    export->loop = loop;
    list_init(&export->node);
    list_init(&export->users);
    list_init(&export->removal.node);
    memcpy(export->name, options->name, name_length);
    memcpy(export->description, description, strlen(description));
    export->size_bytes = options->size_bytes;
    export->is_read_only = options->is_read_only;
    export->ops = options->ops;
    export->arg = options->arg;
    *ret_export = export;
    return 0;
}

void export_free(struct nbd_export *export)
{
    if (export == NULL)
        return;
    check_magic(export, EXPORT_MAGIC);
    check(export->user_count == 0 && list_is_empty(&export->users));
    list_remove(&export->node);
    export->magic = 0;
    free(export);
}

struct nbd_export *export_find(const struct list *exports, const char *name, size_t length)
{
    for (struct list *node = exports->next; node != exports; node = node->next) {
        struct nbd_export *export = list_entry(node, struct nbd_export, node);

        check_magic(export, EXPORT_MAGIC);
        if (strlen(export->name) == length && memcmp(export->name, name, length) == 0)
            return export;
    }
    return NULL;
}

uint16_t export_flags(const struct nbd_export *export, bool has_structured_replies)
{
    unsigned flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
                     NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE;

    if (export->is_read_only)
        flags |= NBD_FLAG_READ_ONLY;
    else
        flags |= NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
    if (has_structured_replies)
        flags |= NBD_FLAG_SEND_DF;
    return (uint16_t)flags;
}

void export_user_init(struct export_user *user, void (*end_cb)(struct export_user *user))
{
    list_init(&user->node);
    user->export = NULL;
    user->end_cb = end_cb;
}

void export_attach(struct nbd_export *export, struct export_user *user)
{
    check_magic(export, EXPORT_MAGIC);
    check(user->export == NULL && !export->is_removed);
    user->export = export;
    list_append(&export->users, &user->node);
    export->user_count++;
}

static void export_removed(struct loop_task *task)
{
    struct nbd_export *export = list_entry(task, struct nbd_export, removal);
    void (*removed_cb)(void *arg) = export->removed_cb;
    void *arg = export->removed_arg;

    check_magic(export, EXPORT_MAGIC);
    export_free(export);
    if (removed_cb)
        removed_cb(arg);
}

static void finish_removal(struct nbd_export *export)
{
    if (!export->is_removed || export->user_count > 0)
        return;
    export->removal.run_cb = export_removed;
    loop_defer(export->loop, &export->removal);
}

void export_detach(struct export_user *user)
{
    struct nbd_export *export = user->export;

    if (export == NULL)
        return;
    check_magic(export, EXPORT_MAGIC);
    check(export->user_count > 0);
    list_remove(&user->node);
    user->export = NULL;
    export->user_count--;
    finish_removal(export);
}

void export_remove(struct nbd_export *export, void (*removed_cb)(void *arg), void *arg)
{
    struct list *node, *next_node;

    check_magic(export, EXPORT_MAGIC);
    check(!export->is_removed);
    export->is_removed = true;
    export->removed_cb = removed_cb;
    export->removed_arg = arg;
    list_remove(&export->node);
    list_for_each(node, next_node, &export->users)
    {
        struct export_user *user = list_entry(node, struct export_user, node);
        user->end_cb(user);
    }
    finish_removal(export);
}

static void submit_to_volume(void *arg, struct volume_request *request)
{
    volume_submit(arg, request);
}

static void ask_volume_extents(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                               struct io_extent *extents, unsigned extent_max,
                               store_done_fn done_cb)
{
    volume_extents(arg, op, offset, length, extents, extent_max, done_cb);
}

const struct nbd_export_ops export_volume_ops = {
    .submit = submit_to_volume,
    .extents = ask_volume_extents,
};

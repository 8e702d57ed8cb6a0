/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot layer on disk: <id> (sparse data), <id>.map (bitfile), <id>.info (description).
 *
 *   L1  a layer exists if and only if its .info does: it is made last and removed first;
 *   L2  a block's bit is set only after its data were synced, and an op ends only after the map was
 *       saved: what a set bit says can be read, and what an ended op kept survives a power loss;
 *   L3  blocks of zeros are not written: where the data file has a hole it reads as zeros. A block
 *       has one content for as long as it is not kept (its base may not change before), so nothing
 *       else can lie there from a keep that a crash cut short;
 *   L4  the first failed sync or save is final (fence);
 *   L5  what is listed exists durably: a killed process may have left a name in the cache only;
 *   L6  a layer whose base may be overwritten while nobody fills it exists no more: its description
 *       is set aside first, durably, so that no later start takes it for whole.
 */
#include "journal/layer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/id.h"
#include "base/step.h"
#include "journal/layer_info.h"
#include "store/bitfile.h"
#include "store/bitfile_format.h"

enum { LAYER_MAGIC = 0x6c617972 };

struct layer {
    uint32_t magic;
    struct loop *loop;
    char folder[PATH_MAX];
    struct layer_description description;
    struct io_file *file;
    struct bitfile *map;
    uint64_t block_count, kept_count;
    unsigned op_count; /* in flight */
    int fence;
    bool is_busy;        /* a round runs */
    struct list written; /* layer_op: data written, for the next round */
    struct list shared;  /* of the round under way */
    struct list later;   /* done, to be told from the task */
    struct loop_task task;
    struct io_op io;
    struct bitfile_save save;
};

struct layer_work { /* in layer_op.private */
    struct io_op io;
    struct iovec iov;
    struct layer *layer;
    uint8_t *bytes;
    uint64_t block, count, next;
    int error;
};

static void begin_round(struct layer *layer);

static struct layer_work *work_of(struct layer_op *op)
{
    _Static_assert(sizeof(struct layer_work) <= sizeof(op->private), "fits");
    return (struct layer_work *)(void *)op->private;
}

static struct layer_op *op_of(struct layer_work *work)
{
    return container_of((void *)work, struct layer_op, private);
}

static struct layer_work *begin_op(struct layer *layer, struct layer_op *op, uint64_t block,
                                   uint64_t count, const uint8_t *bytes)
{
    struct layer_work *work = work_of(op);

    check_magic(layer, LAYER_MAGIC);
    check(count >= 1 && block < layer->block_count && count <= layer->block_count - block);
    *work = (struct layer_work){.layer = layer,
                                .bytes = (uint8_t *)(uintptr_t)bytes,
                                .block = block,
                                .count = count,
                                .next = block};
    layer->op_count++;
    return work;
}

static void end_op(struct layer_op *op, int error)
{
    struct layer *layer = work_of(op)->layer;

    check(layer->op_count > 0);
    layer->op_count--;
    op->done_cb(op, error);
}

static void end_op_later(struct layer_op *op, int error)
{
    struct layer *layer = work_of(op)->layer;

    work_of(op)->error = error;
    list_append(&layer->later, &op->node);
    loop_defer(layer->loop, &layer->task);
}

static void run_task(struct loop_task *task)
{
    struct layer *layer = container_of(task, struct layer, task);
    struct list done, *node;

    check_magic(layer, LAYER_MAGIC);
    list_init(&done);
    while ((node = list_pop(&layer->later)) != NULL)
        list_append(&done, node);
    while ((node = list_pop(&done)) != NULL) {
        struct layer_op *op = list_entry(node, struct layer_op, node);
        end_op(op, work_of(op)->error);
    }
}

/* --- keeping --------------------------------------------------------------------------------- */

static void end_round(struct layer *layer, int error)
{
    struct list *node;

    check(layer->is_busy);
    layer->is_busy = false;
    if (error != 0 && layer->fence == 0)
        layer->fence = error;
    while ((node = list_pop(&layer->shared)) != NULL)
        end_op_later(list_entry(node, struct layer_op, node), layer->fence);
    begin_round(layer);
}

static void map_saved(struct bitfile_save *save, int error)
{
    struct layer *layer = container_of(save, struct layer, save);

    check_magic(layer, LAYER_MAGIC);
    end_round(layer, error);
}

static void data_synced(struct io_op *io, int64_t result)
{
    struct layer *layer = container_of(io, struct layer, io);

    check_magic(layer, LAYER_MAGIC);
    if (result < 0) {
        end_round(layer, (int)result);
        return;
    }
    for (struct list *node = layer->shared.next; node != &layer->shared; node = node->next) {
        struct layer_work *work = work_of(list_entry(node, struct layer_op, node));

        for (uint64_t i = 0; i < work->count; i++)
            layer->kept_count += !bitfile_has(layer->map, work->block + i);
        bitfile_set(layer->map, work->block, work->count);
    }
    step_point("layer-data-synced");
    bitfile_save(layer->map, &layer->save, map_saved);
}

static void begin_round(struct layer *layer)
{
    struct list *node;

    if (layer->is_busy || list_is_empty(&layer->written))
        return;
    while ((node = list_pop(&layer->written)) != NULL)
        list_append(&layer->shared, node);
    layer->is_busy = true;
    if (layer->fence != 0)
        end_round(layer, layer->fence);
    else
        io_file_sync(layer->loop, &layer->io, layer->file, data_synced);
}

static void keep_step(struct layer_work *work);

static void keep_written(struct io_op *io, int64_t result)
{
    struct layer_work *work = container_of(io, struct layer_work, io);

    if (result < 0) {
        if (result != -ENOSPC && work->layer->fence == 0)
            work->layer->fence = (int)result;
        end_op(op_of(work), (int)result);
        return;
    }
    keep_step(work);
}

/* Has the block to be written? */
static bool needs_write(const struct layer_work *work, uint64_t block)
{
    return !bitfile_has(work->layer->map, block) &&
           !bytes_are_zero(work->bytes + (block - work->block) * BLOCK_SIZE, BLOCK_SIZE);
}

/* Writes the next run of blocks that must be written; none is left: waits for the round. */
static void keep_step(struct layer_work *work)
{
    struct layer *layer = work->layer;
    uint64_t end = work->block + work->count, from = work->next, to;

    while (from < end && !needs_write(work, from))
        from++;
    for (to = from; to < end && needs_write(work, to);)
        to++;
    work->next = to;
    if (from == end) {
        list_append(&layer->written, &op_of(work)->node);
        begin_round(layer);
        return;
    }
    work->iov = (struct iovec){.iov_base = work->bytes + (from - work->block) * BLOCK_SIZE,
                               .iov_len = (size_t)(to - from) * BLOCK_SIZE};
    io_file_write(layer->loop, &work->io, layer->file, &work->iov, 1, from * BLOCK_SIZE,
                  keep_written);
}

void layer_keep(struct layer *layer, struct layer_op *op, uint64_t block, uint64_t count,
                const uint8_t *bytes, void (*done_cb)(struct layer_op *op, int error))
{
    struct layer_work *work = begin_op(layer, op, block, count, bytes);

    op->done_cb = done_cb;
    if (layer->fence != 0)
        end_op_later(op, layer->fence);
    else
        keep_step(work);
}

/* --- reading --------------------------------------------------------------------------------- */

static void read_done(struct io_op *io, int64_t result)
{
    struct layer_work *work = container_of(io, struct layer_work, io);

    end_op(op_of(work), result < 0 ? (int)result : 0);
}

void layer_read(struct layer *layer, struct layer_op *op, uint64_t block, uint64_t count,
                uint8_t *bytes, void (*done_cb)(struct layer_op *op, int error))
{
    struct layer_work *work = begin_op(layer, op, block, count, bytes);

    op->done_cb = done_cb;
    work->iov = (struct iovec){.iov_base = bytes, .iov_len = (size_t)count * BLOCK_SIZE};
    io_file_read(layer->loop, &work->io, layer->file, &work->iov, 1, block * BLOCK_SIZE, read_done);
}

bool layer_lookup(const struct layer *layer, uint64_t block, uint64_t count, uint64_t *ret_count)
{
    bool is_kept = bitfile_has(layer->map, block);
    uint64_t same = 1;

    check(count >= 1 && block < layer->block_count && count <= layer->block_count - block);
    while (same < count && bitfile_has(layer->map, block + same) == is_kept)
        same++;
    *ret_count = same;
    return is_kept;
}

const struct layer_description *layer_describe(const struct layer *layer)
{
    return &layer->description;
}

uint64_t layer_kept_bytes(const struct layer *layer)
{
    return layer->kept_count * BLOCK_SIZE;
}

int layer_fence(const struct layer *layer)
{
    return layer->fence;
}

/* --- making, opening, removing --------------------------------------------------------------- */

static void path_of(const char *folder, const char *id, const char *ending, char *ret_path)
{
    int length = snprintf(ret_path, PATH_MAX, "%s/%s%s", folder, id, ending);

    check(length > 0 && length < PATH_MAX);
}

static struct layer *allocate(struct loop *loop, const char *folder)
{
    struct layer *layer = calloc(1, sizeof(*layer));

    if (layer == NULL)
        return NULL;
    layer->magic = LAYER_MAGIC;
    layer->loop = loop;
    layer->task.run_cb = run_task;
    list_init(&layer->task.node);
    list_init(&layer->written);
    list_init(&layer->shared);
    list_init(&layer->later);
    check(strlen(folder) < sizeof(layer->folder) - 64);
    strcpy(layer->folder, folder);
    return layer;
}

/* The description was read from a file: it must fit what lies beside it. */
static int check_size(const struct layer *layer, struct err *err)
{
    const struct layer_description *description = &layer->description;
    uint64_t bytes = 0;
    int error = io_file_size(layer->loop, layer->file, &bytes);

    if (error == 0 && bytes < description->size_bytes)
        error = -EBADMSG;
    if (error != 0)
        return err_set(err, error, "layer %s: its file has %llu bytes, its description says %llu",
                       description->id, (unsigned long long)bytes,
                       (unsigned long long)description->size_bytes);
    return 0;
}

/* Data file and map of a described layer. */
static int open_parts(struct layer *layer, bool create, struct err *err)
{
    const struct layer_description *description = &layer->description;
    char path[PATH_MAX];
    uint64_t bit = 0;
    int error;

    layer->block_count = description->size_bytes / BLOCK_SIZE;
    if (description->size_bytes % BLOCK_SIZE != 0 || layer->block_count == 0 ||
        layer->block_count > BITFILE_BIT_COUNT_MAX)
        return err_set(err, -EINVAL, "layer %s: size %llu is absurd, or no multiple of 4096",
                       description->id, (unsigned long long)description->size_bytes);
    path_of(layer->folder, description->id, "", path);
    error = io_file_open(layer->loop, path, create ? IO_CREATE : 0, &layer->file, err);
    if (error != 0)
        return error;
    if (create) { /* the whole length is a hole, whatever a cut short create left */
        error = io_file_resize_now(layer->loop, layer->file, 0);
        if (error == 0)
            error = io_file_resize_now(layer->loop, layer->file, description->size_bytes);
        if (error == 0)
            error = io_file_sync_now(layer->loop, layer->file);
        if (error != 0)
            return err_set(err, error, "%s: cannot make it: %s", path, err_name(error));
    }
    error = create ? 0 : check_size(layer, err);
    if (error != 0)
        return error;
    path_of(layer->folder, description->id, ".map", path);
    if (!create && !bitfile_is_there(layer->loop, path))
        return err_set(err, -ENOENT, "%s is missing: which blocks the layer keeps is not known",
                       path);
    error = bitfile_open(layer->loop, path, "LAYR", layer->block_count, &layer->map, err);
    if (error != 0)
        return error;
    for (; bitfile_next(layer->map, bit, &bit); bit++)
        layer->kept_count++;
    return 0;
}

/* L1: written aside, synced, renamed. */
static int write_info(struct layer *layer, struct err *err)
{
    char path[PATH_MAX], aside[PATH_MAX];
    uint8_t bytes[LAYER_INFO_BYTES];
    struct io_file *file;
    int error;

    layer_info_encode(&layer->description, bytes);
    path_of(layer->folder, layer->description.id, ".info", path);
    path_of(layer->folder, layer->description.id, ".new", aside);
    error = io_file_open(layer->loop, aside, IO_CREATE, &file, err);
    if (error != 0)
        return error;
    error = io_file_write_now(layer->loop, file, bytes, sizeof(bytes), 0);
    if (error == 0)
        error = io_file_sync_now(layer->loop, file);
    io_file_close(layer->loop, file);
    if (error == 0)
        error = io_dir_sync(layer->loop, layer->folder); /* data and map have names first */
    if (error == 0) {
        step_point("layer-before-rename");
        error = io_rename(layer->loop, aside, path);
        step_point("layer-renamed");
    }
    if (error == 0)
        error = io_dir_sync(layer->loop, layer->folder);
    return error == 0 ? 0 : err_set(err, error, "%s: cannot make it: %s", path, err_name(error));
}

static int remove_files(struct loop *loop, const char *folder, const char *id)
{
    static const char *const endings[] = {".info", ".new", ".map", ""};
    int first = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(endings); i++) {
        char path[PATH_MAX];
        int error;

        path_of(folder, id, endings[i], path);
        error = io_unlink(loop, path);
        if (error == 0 && i == 0)
            error = io_dir_sync(loop, folder);
        if (error != 0 && error != -ENOENT && first == 0)
            first = error;
    }
    return first;
}

int layer_create(struct loop *loop, const char *folder, const struct layer_description *description,
                 struct layer **ret_layer, struct err *err)
{
    struct layer *layer;
    char path[PATH_MAX];
    int error;

    if (!id_is_valid("l", description->id))
        return err_set(err, -EINVAL, "%s is no id of a layer", description->id);
    layer = allocate(loop, folder);
    if (layer == NULL)
        return err_set(err, -ENOMEM, "no memory");
    layer->description = *description;
    path_of(folder, description->id, ".map", path);
    io_unlink(loop, path); /* of a create that a crash cut short */
    error = open_parts(layer, true, err);
    if (error == 0)
        error = write_info(layer, err);
    if (error != 0) {
        layer_close(layer);
        remove_files(loop, folder, description->id);
        return error;
    }
    *ret_layer = layer;
    return 0;
}

int layer_read_info(struct loop *loop, const char *folder, const char *id,
                    struct layer_description *ret_description, struct err *err)
{
    uint8_t bytes[LAYER_INFO_BYTES];
    struct io_file *file;
    char path[PATH_MAX];
    int error;

    path_of(folder, id, ".info", path);
    error = io_file_open(loop, path, IO_READ_ONLY, &file, err);
    if (error != 0)
        return error;
    error = io_file_read_now(loop, file, bytes, sizeof(bytes), 0);
    io_file_close(loop, file);
    if (error == 0)
        error = layer_info_decode(bytes, ret_description);
    else if (error == -ENODATA)
        error = -EBADMSG;
    if (error == 0 && strcmp(ret_description->id, id) != 0)
        error = -EBADMSG;
    return error == 0 ? 0 : err_set(err, error, "%s cannot be used: %s", path, err_name(error));
}

int layer_open(struct loop *loop, const char *folder, const struct layer_description *description,
               struct layer **ret_layer, struct err *err)
{
    struct layer *layer = allocate(loop, folder);
    int error;

    if (layer == NULL)
        return err_set(err, -ENOMEM, "no memory");
    layer->description = *description;
    error = open_parts(layer, false, err);
    if (error != 0) {
        layer_close(layer);
        return error;
    }
    *ret_layer = layer;
    return 0;
}

int layer_set_aside(struct loop *loop, const char *folder, const char *id, struct err *err)
{
    char path[PATH_MAX], aside[PATH_MAX];
    int error;

    path_of(folder, id, ".info", path);
    path_of(folder, id, ".lost", aside);
    error = io_rename(loop, path, aside);
    if (error == 0)
        error = io_dir_sync(loop, folder);
    return error == 0 ? 0
                      : err_set(err, error, "%s: cannot rename it to %s: %s", path, aside,
                                err_name(error));
}

void layer_close(struct layer *layer)
{
    if (layer == NULL)
        return;
    check_magic(layer, LAYER_MAGIC);
    check(layer->op_count == 0 && !layer->is_busy);
    bitfile_close(layer->map);
    if (layer->file != NULL)
        io_file_close(layer->loop, layer->file);
    layer->magic = 0;
    free(layer);
}

int layer_remove(struct layer *layer, struct err *err)
{
    struct loop *loop = layer->loop;
    char folder[PATH_MAX], id[sizeof(layer->description.id)];
    int error;

    strcpy(folder, layer->folder);
    strcpy(id, layer->description.id);
    layer_close(layer);
    error = remove_files(loop, folder, id);
    return error == 0
               ? 0
               : err_set(err, error, "%s/%s: cannot remove it: %s", folder, id, err_name(error));
}

struct listing {
    void (*layer_cb)(void *arg, const char *id);
    void *arg;
};

static void list_name(void *arg, const char *name)
{
    const struct listing *listing = arg;
    size_t length = strlen(name);
    char id[ID_SIZE];

    if (length <= 5 || length - 5 >= sizeof(id) || strcmp(name + length - 5, ".info") != 0)
        return;
    memcpy(id, name, length - 5);
    id[length - 5] = 0;
    if (id_is_valid("l", id))
        listing->layer_cb(listing->arg, id);
}

int layer_list(struct loop *loop, const char *folder, void (*layer_cb)(void *arg, const char *id),
               void *arg)
{
    struct listing listing = {layer_cb, arg};
    int error = io_dir_sync(loop, folder); /* L5 */

    return error == 0 ? io_dir_list(loop, folder, list_name, &listing) : error;
}

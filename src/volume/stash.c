/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stash of a stream.
 *
 *  1. A block is in the stash from the moment stash_put() is called until it is taken or dropped,
 *     first in, first out; a take of a block whose spill is not written yet waits for it.
 *  2. The spill file is a ring of 4 KiB slots. A slot is free again when its block was taken and
 *     read, or dropped and no write to it is under way; slots are freed in order.
 *  3. What is dropped while it is being written ends well for the one who put it: nobody wants it
 *     any more. An error is reported only for a block that is still wanted.
 *
 * Nothing here is durable: after a crash the intent bits name what must be compared.
 */
#include "volume/stash.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blockset.h"
#include "base/check.h"

enum { STASH_MAGIC = 0x73746173 };

enum entry_state {
    ENTRY_READY,   /* in memory, or its spill is written */
    ENTRY_WRITING, /* its spill is being written */
    ENTRY_READING, /* taken, its spill is being read */
};

struct entry {
    struct list node;       /* in stash->entries until taken or dropped */
    struct list spill_node; /* in stash->spilled until its slot is free */
    uint64_t block;
    uint64_t position; /* in the ring, counted on for ever */
    unsigned volume;
    enum entry_state state;
    bool is_spilled;
    bool is_dropped;
    struct stash_op *put_op;
    struct stash_op *take_op; /* taken while it was being written */
    uint8_t *take_bytes;
    uint8_t bytes[]; /* BLOCK_SIZE, unless spilled */
};

struct stash {
    uint32_t magic;
    struct loop *loop;
    uint64_t memory_max, slot_count; /* blocks */
    char spill_path[PATH_MAX];
    unsigned volume_count_max;
    struct list entries;
    struct list spilled; /* by position */
    uint64_t count, memory_count;
    uint64_t tail; /* next position in the ring */
    bool is_spill_full;
    struct io_file *spill;
};

/* In stash_op.private. */
struct soon {
    struct loop_task task;
    int error;
};

_Static_assert(sizeof(struct soon) <= sizeof(((struct stash_op *)NULL)->private), "soon fits");

int stash_new(struct loop *loop, const struct stash_options *options, struct stash **ret_stash)
{
    struct stash *stash;

    if (strlen(options->spill_path) >= sizeof(stash->spill_path))
        return -ENAMETOOLONG;
    stash = calloc(1, sizeof(*stash));
    if (!stash)
        return -ENOMEM;
    stash->magic = STASH_MAGIC;
    stash->loop = loop;
    stash->memory_max = options->memory_bytes_max / BLOCK_SIZE;
    stash->slot_count = options->spill_bytes_max / BLOCK_SIZE;
    stash->volume_count_max = options->volume_count_max;
    snprintf(stash->spill_path, sizeof(stash->spill_path), "%s", options->spill_path);
    list_init(&stash->entries);
    list_init(&stash->spilled);
    *ret_stash = stash;
    return 0;
}

void stash_free(struct stash *stash)
{
    if (!stash)
        return;
    check_magic(stash, STASH_MAGIC);
    stash_clear(stash);
    check(list_is_empty(&stash->spilled));
    if (stash->spill) {
        io_file_close(stash->loop, stash->spill);
        io_unlink(stash->loop, stash->spill_path);
    }
    stash->magic = 0;
    free(stash);
}

static void soon_run(struct loop_task *task)
{
    struct soon *soon = container_of(task, struct soon, task);
    struct stash_op *op = container_of((uint64_t *)soon, struct stash_op, private[0]);

    op->done_cb(op, soon->error);
}

static void done_soon(struct stash_op *op, int error)
{
    struct soon *soon = (struct soon *)op->private;

    list_init(&soon->task.node);
    soon->task.run_cb = soon_run;
    soon->error = error;
    loop_defer(op->stash->loop, &soon->task);
}

/* ---- room ----------------------------------------------------------------------------------- */

static uint64_t spill_room(const struct stash *stash)
{
    const struct entry *oldest;

    if (stash->is_spill_full)
        return 0;
    if (list_is_empty(&stash->spilled))
        return stash->slot_count;
    oldest = list_entry(stash->spilled.next, struct entry, spill_node);
    check(stash->tail - oldest->position <= stash->slot_count);
    return stash->slot_count - (stash->tail - oldest->position);
}

bool stash_has_room(const struct stash *stash, uint64_t count)
{
    check_magic(stash, STASH_MAGIC);
    return count <= stash->memory_max - stash->memory_count + spill_room(stash);
}

uint64_t stash_count(const struct stash *stash)
{
    check_magic(stash, STASH_MAGIC);
    return stash->count;
}

static void entry_free(struct stash *stash, struct entry *entry)
{
    check(list_is_empty(&entry->node));
    if (entry->is_spilled) {
        list_remove(&entry->spill_node);
        if (list_is_empty(&stash->spilled))
            stash->is_spill_full = false;
    } else {
        check(stash->memory_count > 0);
        stash->memory_count--;
    }
    free(entry);
}

/* Out of the entries that can be taken. */
static void entry_unlink(struct stash *stash, struct entry *entry)
{
    check(stash->count > 0);
    list_remove(&entry->node);
    stash->count--;
}

static struct entry *entry_new(struct stash *stash, unsigned volume, uint64_t block,
                               bool is_spilled)
{
    struct entry *entry = malloc(sizeof(*entry) + (is_spilled ? 0 : BLOCK_SIZE));

    if (!entry)
        return NULL;
    *entry = (struct entry){.block = block, .volume = volume, .is_spilled = is_spilled};
    list_init(&entry->spill_node);
    list_append(&stash->entries, &entry->node);
    stash->count++;
    return entry;
}

/* ---- spill ---------------------------------------------------------------------------------- */

static uint64_t slot_offset(const struct stash *stash, const struct entry *entry)
{
    return entry->position % stash->slot_count * BLOCK_SIZE;
}

/* The entry of a put or take on the spill file; the operation's private[0] while it runs. */
static struct entry **op_entry(struct stash_op *op)
{
    return (struct entry **)&op->private[0];
}

static void spill_read_done(struct io_op *io, int64_t result)
{
    struct stash_op *op = container_of(io, struct stash_op, io);
    struct entry *entry = *op_entry(op);

    check(entry->state == ENTRY_READING);
    entry_free(op->stash, entry);
    op->done_cb(op, result < 0 ? (int)result : 0);
}

static void spill_read(struct stash *stash, struct entry *entry, struct stash_op *op,
                       uint8_t *bytes)
{
    entry->state = ENTRY_READING;
    *op_entry(op) = entry;
    op->iov = (struct iovec){bytes, BLOCK_SIZE};
    io_file_read(stash->loop, &op->io, stash->spill, &op->iov, 1, slot_offset(stash, entry),
                 spill_read_done);
}

static void spill_write_failed(struct stash *stash, struct entry *entry, int error)
{
    struct stash_op *take_op = entry->take_op;

    stash->is_spill_full = true;
    if (!take_op)
        entry_unlink(stash, entry);
    entry_free(stash, entry);
    if (take_op)
        done_soon(take_op, error);
}

static void spill_write_done(struct io_op *io, int64_t result)
{
    struct stash_op *op = container_of(io, struct stash_op, io);
    struct stash *stash = op->stash;
    struct entry *entry = *op_entry(op);
    int error = 0;

    check_magic(stash, STASH_MAGIC);
    check(entry->state == ENTRY_WRITING && entry->put_op == op);
    if (entry->is_dropped) {
        entry_free(stash, entry);
    } else if (result < 0) {
        error = (int)result;
        spill_write_failed(stash, entry, error);
    } else if (entry->take_op) {
        spill_read(stash, entry, entry->take_op, entry->take_bytes);
    } else {
        entry->state = ENTRY_READY;
    }
    op->done_cb(op, error);
}

static int spill_open(struct stash *stash)
{
    int error;

    if (stash->spill)
        return 0;
    io_unlink(stash->loop, stash->spill_path); /* of an earlier process */
    error = io_file_open(stash->loop, stash->spill_path, IO_CREATE, &stash->spill, NULL);
    if (error < 0)
        stash->spill = NULL;
    return error;
}

static void put_spilled(struct stash *stash, struct stash_op *op, unsigned volume, uint64_t block,
                        const uint8_t *bytes)
{
    struct entry *entry = NULL;

    if (spill_room(stash) > 0 && spill_open(stash) == 0)
        entry = entry_new(stash, volume, block, true);
    if (!entry) {
        done_soon(op, -ENOSPC);
        return;
    }
    entry->state = ENTRY_WRITING;
    entry->put_op = op;
    entry->position = stash->tail++;
    list_append(&stash->spilled, &entry->spill_node);
    *op_entry(op) = entry;
    op->iov = (struct iovec){(void *)bytes, BLOCK_SIZE};
    io_file_write(stash->loop, &op->io, stash->spill, &op->iov, 1, slot_offset(stash, entry),
                  spill_write_done);
}

/* ---- the calls ------------------------------------------------------------------------------ */

void stash_put(struct stash *stash, struct stash_op *op, unsigned volume, uint64_t block,
               const uint8_t *bytes, void (*done_cb)(struct stash_op *op, int error))
{
    struct entry *entry;

    check_magic(stash, STASH_MAGIC);
    check(volume < stash->volume_count_max && done_cb != NULL);
    op->stash = stash;
    op->done_cb = done_cb;
    if (stash->memory_count >= stash->memory_max) {
        put_spilled(stash, op, volume, block, bytes);
        return;
    }
    entry = entry_new(stash, volume, block, false);
    if (!entry) {
        done_soon(op, -ENOSPC);
        return;
    }
    stash->memory_count++;
    memcpy(entry->bytes, bytes, BLOCK_SIZE);
    done_soon(op, 0);
}

bool stash_take(struct stash *stash, struct stash_op *op, unsigned *ret_volume, uint64_t *ret_block,
                uint8_t *bytes, void (*done_cb)(struct stash_op *op, int error))
{
    struct entry *entry;

    check_magic(stash, STASH_MAGIC);
    check(bytes != NULL && done_cb != NULL);
    if (list_is_empty(&stash->entries))
        return false;
    entry = list_entry(stash->entries.next, struct entry, node);
    entry_unlink(stash, entry);
    op->stash = stash;
    op->done_cb = done_cb;
    *ret_volume = entry->volume;
    *ret_block = entry->block;
    if (entry->state == ENTRY_WRITING) {
        entry->take_op = op;
        entry->take_bytes = bytes;
    } else if (entry->is_spilled) {
        spill_read(stash, entry, op, bytes);
    } else {
        memcpy(bytes, entry->bytes, BLOCK_SIZE);
        entry_free(stash, entry);
        done_soon(op, 0);
    }
    return true;
}

void stash_each(const struct stash *stash, unsigned volume,
                void (*block_cb)(void *arg, uint64_t block), void *arg)
{
    struct list *node, *next;

    check_magic(stash, STASH_MAGIC);
    list_for_each(node, next, &stash->entries)
    {
        struct entry *entry = list_entry(node, struct entry, node);

        if (entry->volume == volume)
            block_cb(arg, entry->block);
    }
}

static void drop(struct stash *stash, bool is_all, unsigned volume)
{
    struct list *node, *next;

    check_magic(stash, STASH_MAGIC);
    list_for_each(node, next, &stash->entries)
    {
        struct entry *entry = list_entry(node, struct entry, node);

        if (!is_all && entry->volume != volume)
            continue;
        entry_unlink(stash, entry);
        if (entry->state == ENTRY_WRITING)
            entry->is_dropped = true;
        else
            entry_free(stash, entry);
    }
}

void stash_drop_volume(struct stash *stash, unsigned volume)
{
    drop(stash, false, volume);
}

void stash_clear(struct stash *stash)
{
    drop(stash, true, 0);
}

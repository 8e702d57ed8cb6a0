/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `state` of a stream: two slots (state_codec.c), of which one is always whole and
 * durable.
 *
 * A save writes the slot that is not the durable one, syncs, reads it back past the page cache, and
 * then does the same with the other slot and the same content. So
 *
 *   S1  at every instant one slot is durable, and it is the newest save that ended, or a later one;
 *   S2  when a save has ended both slots are durable: one bad sector never turns a role back;
 *   S3  a write that was lost, or that landed elsewhere, is told by the save it was for. The twin's
 *       may land on the slot that was good, so it must be told, too;
 *   S4  saves that wait together share one round, and a round encodes the state as it stands when
 *       the round begins: at or after each of their calls.
 *
 * The first I/O error is final (fence): what a failed sync covered is unknown.
 */
#include "replication/state_file.h"
#include "replication/stream_state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/step.h"
#include "replication/state_codec.h"

enum { STATE_FILE_MAGIC = 0x73746174, STATE_SLOT_ALIGN = 4096 };

struct state_file {
    uint32_t magic;
    struct loop *loop;
    struct io_file *file, *reader; /* of the same; `reader` goes to the device where it can */
    char path[PATH_MAX];
    struct stream_state *state;
    uint64_t sequence;     /* of the durable slot */
    unsigned slot_durable; /* 0 or 1 */
    bool is_busy;
    bool is_twin;          /* of the round under way: the first slot is durable */
    int fence;             /* the error that ended it, or 0 */
    struct list waiting;   /* struct state_save: for the next round */
    struct list shared;    /* of the round under way */
    struct loop_task task; /* begins a round, or fails what waits: never from inside a call */
    struct io_op op;
    struct iovec iov;
    uint8_t slot[STATE_SLOT_BYTES];
    uint8_t *found; /* a slot, as it was read back; aligned */
};

static void run_round(struct loop_task *task);
static void write_slot(struct state_file *file);

static void finish_list(struct list *saves, int error)
{
    struct list done, *node;

    list_init(&done);
    while ((node = list_pop(saves)) != NULL)
        list_append(&done, node);
    while ((node = list_pop(&done)) != NULL) {
        struct state_save *save = list_entry(node, struct state_save, node);
        save->done_cb(save, error);
    }
}

static void end_round(struct state_file *file, int64_t result)
{
    check(file->is_busy);
    file->is_busy = false;
    if (result < 0)
        file->fence = (int)result;
    if (!list_is_empty(&file->waiting))
        loop_defer(file->loop, &file->task);
    finish_list(&file->shared, file->fence); /* last: a callee may close the file */
}

/* The slot that is being written. */
static uint64_t slot_offset(const struct state_file *file)
{
    return (uint64_t)(1 - file->slot_durable) * STATE_SLOT_BYTES;
}

static void slot_found(struct io_op *op, int64_t result)
{
    struct state_file *file = container_of(op, struct state_file, op);

    check_magic(file, STATE_FILE_MAGIC);
    if (result >= 0 && memcmp(file->found, file->slot, STATE_SLOT_BYTES) != 0) {
        log_error("replication", "%s: what was written at offset %llu is not there", file->path,
                  (unsigned long long)slot_offset(file));
        result = -EIO;
    }
    if (result < 0 || file->is_twin) {
        end_round(file, result);
        return;
    }
    step_point("state-synced");
    file->slot_durable = 1 - file->slot_durable;
    file->sequence++;
    file->is_twin = true;
    write_slot(file);
}

static void slot_synced(struct io_op *op, int64_t result)
{
    struct state_file *file = container_of(op, struct state_file, op);

    check_magic(file, STATE_FILE_MAGIC);
    if (result < 0) {
        end_round(file, result);
        return;
    }
    file->iov = (struct iovec){.iov_base = file->found, .iov_len = STATE_SLOT_BYTES};
    io_file_read(file->loop, &file->op, file->reader, &file->iov, 1, slot_offset(file), slot_found);
}

static void slot_written(struct io_op *op, int64_t result)
{
    struct state_file *file = container_of(op, struct state_file, op);

    check_magic(file, STATE_FILE_MAGIC);
    if (file->is_twin)
        step_point("state-twin-written");
    else
        step_point("state-before-sync");
    if (result < 0)
        end_round(file, result);
    else
        io_file_sync(file->loop, &file->op, file->file, slot_synced);
}

static void write_slot(struct state_file *file)
{
    file->iov = (struct iovec){.iov_base = file->slot, .iov_len = STATE_SLOT_BYTES};
    io_file_write(file->loop, &file->op, file->file, &file->iov, 1, slot_offset(file),
                  slot_written);
}

static void run_round(struct loop_task *task)
{
    struct state_file *file = container_of(task, struct state_file, task);
    struct list *node;

    check_magic(file, STATE_FILE_MAGIC);
    if (file->is_busy || list_is_empty(&file->waiting))
        return;
    if (file->fence != 0) {
        finish_list(&file->waiting, file->fence);
        return;
    }
    check(list_is_empty(&file->shared));
    while ((node = list_pop(&file->waiting)) != NULL)
        list_append(&file->shared, node);
    file->is_busy = true;
    file->is_twin = false;
    step_point("state-before-write");
    state_encode(file->state, file->sequence + 1, file->slot);
    write_slot(file);
}

void state_file_save(struct state_file *file, struct state_save *save,
                     void (*done_cb)(struct state_save *save, int error))
{
    check_magic(file, STATE_FILE_MAGIC);
    check(done_cb != NULL);
    save->done_cb = done_cb;
    list_append(&file->waiting, &save->node);
    if (!file->is_busy)
        loop_defer(file->loop, &file->task);
}

/* Both slots get the content of *state, durably, one after the other. */
static int write_both_now(struct state_file *file)
{
    int error = 0;

    state_encode(file->state, file->sequence, file->slot);
    for (unsigned i = 0; i < STATE_SLOT_COUNT && error == 0; i++) {
        unsigned slot = i == 0 ? 1 - file->slot_durable : file->slot_durable;

        error = io_file_write_now(file->loop, file->file, file->slot, STATE_SLOT_BYTES,
                                  (uint64_t)slot * STATE_SLOT_BYTES);
        if (error == 0)
            error = io_file_sync_now(file->loop, file->file);
    }
    return error;
}

/* Takes the whole slot with the highest sequence and repairs the other from it. */
static int load(struct state_file *file, const char *path, struct err *err)
{
    uint64_t sequence[STATE_SLOT_COUNT] = {0};
    int found[STATE_SLOT_COUNT], error;
    unsigned best;

    for (unsigned i = 0; i < STATE_SLOT_COUNT; i++) {
        error = io_file_read_now(file->loop, file->file, file->slot, STATE_SLOT_BYTES,
                                 (uint64_t)i * STATE_SLOT_BYTES);
        if (error != 0 && error != -ENODATA)
            return err_set(err, error, "%s: cannot read: %s", path, err_name(error));
        found[i] = error == 0 ? state_slot_check(file->slot, &sequence[i]) : -EBADMSG;
        if (found[i] == -EPROTONOSUPPORT)
            return err_set(err, -EPROTONOSUPPORT,
                           "%s was written by a newer version of Verso: install that version",
                           path);
    }
    if (found[0] != 0 && found[1] != 0)
        return err_set(err, -EBADMSG, "%s is damaged: neither of its two slots is whole", path);
    best = found[0] != 0 || (found[1] == 0 && sequence[1] > sequence[0]) ? 1 : 0;
    error = io_file_read_now(file->loop, file->file, file->slot, STATE_SLOT_BYTES,
                             (uint64_t)best * STATE_SLOT_BYTES);
    if (error == 0)
        error = state_decode(file->slot, file->state);
    if (error != 0)
        return err_set(err, error, "%s: slot %u cannot be used: %s", path, best, err_name(error));
    file->slot_durable = best;
    file->sequence = sequence[best];
    /* A life that was killed may have left the best slot unsynced: first it, then its twin. */
    error = io_file_sync_now(file->loop, file->file);
    if (error == 0)
        error = write_both_now(file);
    return error == 0 ? 0 : err_set(err, error, "%s: cannot write: %s", path, err_name(error));
}

/* Whole under its name, or not there. */
static int make(struct state_file *file, const char *folder, const char *made, const char *path,
                struct err *err)
{
    int error;

    file->sequence = 1;
    error = write_both_now(file);
    if (error == 0)
        error = io_rename(file->loop, made, path);
    if (error == 0)
        error = io_dir_sync(file->loop, folder);
    return error == 0 ? 0 : err_set(err, error, "%s: cannot make it: %s", path, err_name(error));
}

int state_file_open(struct loop *loop, const char *folder, bool create, struct stream_state *state,
                    struct state_file **ret_file, struct err *err)
{
    struct state_file *file = calloc(1, sizeof(*file));
    char *path, made[PATH_MAX];
    int error;

    if (file == NULL)
        return err_set(err, -ENOMEM, "no memory");
    *file = (struct state_file){.magic = STATE_FILE_MAGIC, .loop = loop, .state = state};
    path = file->path;
    file->task.run_cb = run_round;
    list_init(&file->task.node);
    list_init(&file->waiting);
    list_init(&file->shared);
    if (snprintf(path, PATH_MAX, "%s/state", folder) >= PATH_MAX ||
        snprintf(made, sizeof(made), "%s.new", path) >= (int)sizeof(made)) {
        state_file_close(file);
        return err_set(err, -ENAMETOOLONG, "%s is too long", folder);
    }
    /* A file left by a crash while it was made is overwritten: its stream never existed. */
    error = io_file_open(loop, create ? made : path, create ? IO_CREATE : 0, &file->file, err);
    if (error == 0)
        error = create ? make(file, folder, made, path, err) : load(file, path, err);
    file->found = aligned_alloc(STATE_SLOT_ALIGN, STATE_SLOT_BYTES);
    if (error == 0 && file->found == NULL)
        error = err_set(err, -ENOMEM, "no memory");
    if (error == 0)
        error = io_file_open(loop, path, IO_READ_ONLY | IO_DIRECT, &file->reader, err);
    if (error != 0) {
        state_file_close(file);
        return error;
    }
    *ret_file = file;
    return 0;
}

int state_file_peek(struct loop *loop, const char *folder, struct stream_state *ret_state)
{
    uint8_t *slots = malloc((size_t)STATE_SLOT_COUNT * STATE_SLOT_BYTES);
    uint64_t best = 0, sequence;
    struct io_file *file;
    char path[PATH_MAX];
    int error, result = -EBADMSG;

    if (slots == NULL)
        return -ENOMEM;
    snprintf(path, sizeof(path), "%s/state", folder);
    error = io_file_open(loop, path, IO_READ_ONLY, &file, NULL);
    if (error == 0) {
        error = io_file_read_now(loop, file, slots, (size_t)STATE_SLOT_COUNT * STATE_SLOT_BYTES, 0);
        io_file_close(loop, file);
    }
    for (unsigned i = 0; error == 0 && i < STATE_SLOT_COUNT; i++) {
        const uint8_t *slot = slots + (size_t)i * STATE_SLOT_BYTES;

        if (state_slot_check(slot, &sequence) != 0 || (result == 0 && sequence <= best))
            continue;
        best = sequence;
        result = state_decode(slot, ret_state);
    }
    free(slots);
    return error != 0 ? error : result;
}

void state_file_close(struct state_file *file)
{
    if (file == NULL)
        return;
    check_magic(file, STATE_FILE_MAGIC);
    check(!file->is_busy && list_is_empty(&file->waiting) && list_is_empty(&file->shared));
    if (file->file != NULL)
        io_file_close(file->loop, file->file);
    if (file->reader != NULL)
        io_file_close(file->loop, file->reader);
    free(file->found);
    file->magic = 0;
    free(file);
}

struct stream_state *state_file_state(struct state_file *file)
{
    check_magic(file, STATE_FILE_MAGIC);
    return file->state;
}

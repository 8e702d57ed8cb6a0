/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending, committing, aborting.
 *
 *   J1  a record's place and sequence are given when the append is called; the writes run
 *       concurrently and in any order;
 *   J2  commit: extent tables are written; every touched segment (and the folder, when a segment
 *       was made) is synced; only then the commit record and its twin are written and synced. So a
 *       commit record that can be read proves that all before it was durable, and what is broken
 *       before it is damage, not a torn tail;
 *   J3  an append that failed, whatever the reason, leaves the partial epoch without those blocks:
 *       it can then only be aborted, which cuts the files back to where it began;
 *   J4  any other I/O error is final (fence);
 *   J5  an epoch whose commit found no room may have a commit record in the file all the same. Its
 *       abort is durable before anything follows: else a power loss could bring that record back
 *       behind what took its place, and recovery would call the journal damaged.
 */
#include "journal/journal_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/step.h"

static void commit_step(struct journal *journal);
static void append_start(struct journal *journal, struct journal_op *op);

static void finish_now(struct journal_op *op, int error)
{
    struct journal_op_state *state = op_state(op);

    free(state->head);
    state->head = NULL;
    op->done_cb(op, error);
}

void journal_finish_later(struct journal *journal, struct journal_op *op, int error)
{
    op_state(op)->error = error;
    list_append(&journal->later, &op->node);
    loop_defer(journal->loop, &journal->task);
}

static void fence(struct journal *journal, int64_t error)
{
    check(error < 0);
    if (journal->fence == 0)
        journal->fence = (int)error;
}

static bool is_quiet(const struct journal *journal)
{
    return journal->append_count == 0 && journal->commit.op == NULL;
}

/* J3: back to the place of the partial epoch's first record. J5 */
static void drop_partial(struct journal *journal)
{
    struct index_epoch *partial = journal->partial;
    bool may_show = partial != NULL && partial->segment_end != 0;
    int error;

    journal->partial_error = 0;
    if (partial == NULL)
        return;
    if (partial->segment_first != 0 && journal->fence == 0) {
        error = segment_set_cut(&journal->segments, partial->segment_first, partial->offset_first,
                                may_show);
        if (error == 0 && may_show)
            error = segment_set_sync_now(&journal->segments);
        if (error != 0)
            fence(journal, error);
    }
    index_epoch_drop(&journal->index, partial);
    journal->partial = NULL;
    journal->partial_bytes = 0;
    journal->partial_number++;
}

static void commit_index(struct journal *journal);

/* Tells what is done, starts what waited. Callees may call in again. */
static void run_task(struct loop_task *task)
{
    struct journal *journal = container_of(task, struct journal, task);
    struct list done, *node;

    check_magic(journal, JOURNAL_MAGIC);
    if (journal->commit.is_closing || journal->commit.is_showing)
        commit_index(journal);
    if (is_quiet(journal) && !list_is_empty(&journal->aborts)) {
        check(list_is_empty(&journal->held));
        drop_partial(journal);
        while ((node = list_pop(&journal->aborts)) != NULL) {
            op_state(list_entry(node, struct journal_op, node))->error = 0;
            list_append(&journal->later, node);
        }
    }
    while (journal->commit.op == NULL && (node = list_pop(&journal->held)) != NULL)
        append_start(journal, list_entry(node, struct journal_op, node));
    list_init(&done);
    while ((node = list_pop(&journal->later)) != NULL)
        list_append(&done, node);
    while ((node = list_pop(&done)) != NULL) {
        struct journal_op *op = list_entry(node, struct journal_op, node);
        finish_now(op, op_state(op)->error);
    }
}

void journal_write_init(struct journal *journal)
{
    list_init(&journal->later);
    list_init(&journal->held);
    list_init(&journal->aborts);
    journal->task.run_cb = run_task;
    list_init(&journal->task.node);
}

/* Room for `bytes` in the last segment, or in a new one; the record's place. */
static int take_place(struct journal *journal, uint64_t bytes, struct journal_segment **ret_segment,
                      uint64_t *ret_offset)
{
    struct segment_set *set = &journal->segments;
    struct journal_segment *segment = segment_last(set);
    int error;

    if (segment == NULL || set->is_sealed ||
        (segment->end + bytes > journal->segment_bytes && segment->end > SEGMENT_HEADER_BYTES)) {
        error = segment_make(set, &segment);
        if (error != 0)
            return error;
    }
    *ret_segment = segment;
    *ret_offset = segment->end;
    segment->is_touched = true;
    segment_grow(set, segment, bytes);
    return 0;
}

static int begin_partial(struct journal *journal)
{
    if (journal->partial == NULL)
        journal->partial = index_epoch_new();
    return journal->partial == NULL ? -ENOMEM : 0;
}

static void note_record(struct journal *journal, const struct journal_record *record,
                        uint64_t bytes)
{
    struct index_epoch *partial = journal->partial;

    if (partial->segment_first == 0) {
        partial->segment_first = record->segment;
        partial->offset_first = record->offset;
        partial->sequence_first = record->sequence;
    }
    partial->record_count += record->type == RECORD_COMMIT ? 0 : 1;
    journal->partial_bytes += bytes;
}

static struct journal_record next_record(struct journal *journal, enum record_type type,
                                         const struct journal_segment *segment, uint64_t offset)
{
    return (struct journal_record){.type = type,
                                   .sequence = ++journal->sequence,
                                   .life = segment->life,
                                   .segment = segment->number,
                                   .offset = offset,
                                   .partial = journal->partial_number,
                                   .count = 1};
}

/* --- append ---------------------------------------------------------------------------------- */

static int check_crcs(const uint8_t *bytes, const uint32_t *crcs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (crc32c(0, bytes + i * BLOCK_SIZE, BLOCK_SIZE) != crcs[i])
            return -EBADMSG;
    return 0;
}

static void append_written(struct io_op *io, int64_t result)
{
    struct journal_op *op = container_of(io, struct journal_op, io);
    struct journal *journal = op->journal;

    check_magic(journal, JOURNAL_MAGIC);
    check(journal->append_count > 0);
    journal->append_count--;
    if (result == -ENOSPC)
        journal->partial_error = -ENOSPC;
    else if (result < 0)
        fence(journal, result);
    if (journal->append_count == 0 && !list_is_empty(&journal->aborts))
        loop_defer(journal->loop, &journal->task);
    finish_now(op, result < 0 ? (int)result : 0);
}

/* Record in memory and place in the file. */
static int append_prepare(struct journal *journal, struct journal_op *op,
                          struct journal_record *ret_record, struct journal_segment **ret_segment)
{
    struct journal_op_state *state = op_state(op);
    enum record_type type = state->is_hole ? RECORD_HOLE : RECORD_DATA;
    uint64_t bytes = journal_record_bytes(type, state->count), offset;
    int error = journal->fence != 0 ? journal->fence : journal->partial_error;

    if (error != 0)
        return error;
    if (journal->segments.bytes + bytes > journal->bytes_max)
        return -ENOSPC;
    state->head = malloc(journal_record_head_bytes(type, state->count));
    state->record = index_record_new(state->disk, state->block, state->count, state->is_hole);
    error = state->head == NULL || state->record == NULL ? -ENOMEM : begin_partial(journal);
    if (error == 0)
        error = take_place(journal, bytes, ret_segment, &offset);
    if (error != 0) {
        free(state->record);
        return error;
    }
    *ret_record = next_record(journal, type, *ret_segment, offset);
    ret_record->disk = state->disk;
    ret_record->block = state->block;
    ret_record->count = state->count;
    state->record->segment = *ret_segment;
    state->record->sequence = ret_record->sequence;
    state->record->offset = offset + journal_record_head_bytes(type, state->count);
    if (!state->is_hole)
        memcpy(state->record->crcs, state->crcs, state->count * sizeof(uint32_t));
    note_record(journal, ret_record, bytes);
    if (index_epoch_add(journal->partial, state->record) != 0) {
        free(state->record);
        return -ENOMEM; /* its place stays empty */
    }
    return 0;
}

static void append_start(struct journal *journal, struct journal_op *op)
{
    struct journal_op_state *state = op_state(op);
    struct journal_segment *segment;
    struct journal_record record;
    unsigned iov_count = 1;
    int error = append_prepare(journal, op, &record, &segment);

    if (error != 0) {
        journal->partial_error = error; /* J3 */
        journal_finish_later(journal, op, error);
        return;
    }
    op->iov[0].iov_base = state->head;
    op->iov[0].iov_len = journal_record_head_bytes(record.type, record.count);
    if (state->is_hole) {
        journal_record_encode_hole(&record, state->head);
    } else {
        journal_record_encode_data(&record, state->crcs, state->head);
        op->iov[1].iov_base = state->bytes;
        op->iov[1].iov_len = state->count * BLOCK_SIZE;
        iov_count = 2;
    }
    journal->append_count++;
    io_file_write(journal->loop, &op->io, segment->file, op->iov, iov_count, record.offset,
                  append_written);
}

static void append(struct journal *journal, struct journal_op *op)
{
    const struct journal_op_state *state = op_state(op);

    check_magic(journal, JOURNAL_MAGIC);
    check(state->count >= 1 && state->disk < journal->disk_count_max);
    check(state->count <= RECORD_BLOCK_MAX && state->block <= RECORD_BLOCK_MAX - state->count);
    check(list_is_empty(&journal->aborts));
    op->journal = journal;
    if (journal->commit.op != NULL)
        list_append(&journal->held, &op->node);
    else
        append_start(journal, op);
}

void journal_append(struct journal *journal, struct journal_op *op, unsigned disk, uint64_t block,
                    uint64_t count, const uint8_t *bytes, const uint32_t *crcs,
                    void (*done_cb)(struct journal_op *op, int error))
{
    check(count <= RECORD_DATA_BLOCKS_MAX);
    op->done_cb = done_cb;
    *op_state(op) = (struct journal_op_state){.bytes = (uint8_t *)(uintptr_t)bytes,
                                              .crcs = crcs,
                                              .disk = disk,
                                              .block = block,
                                              .count = count};
    if (check_crcs(bytes, crcs, count) != 0) {
        journal->partial_error = -EBADMSG; /* J3 */
        journal_finish_later(journal, op, -EBADMSG);
        return;
    }
    append(journal, op);
}

void journal_append_hole(struct journal *journal, struct journal_op *op, unsigned disk,
                         uint64_t block, uint64_t count,
                         void (*done_cb)(struct journal_op *op, int error))
{
    op->done_cb = done_cb;
    *op_state(op) =
        (struct journal_op_state){.disk = disk, .block = block, .count = count, .is_hole = true};
    append(journal, op);
}

/* --- commit ---------------------------------------------------------------------------------- */

static void commit_end(struct journal *journal, int error)
{
    struct journal_commit_state *commit = &journal->commit;
    struct journal_op *op = commit->op;
    struct index_epoch *partial = journal->partial;

    free(commit->head);
    *commit = (struct journal_commit_state){0};
    if (error == 0) {
        journal->epoch_last = partial->info.epoch;
        index_commit(&journal->index, partial);
        journal->partial = NULL;
        journal->partial_bytes = 0;
        journal->partial_number++;
    }
    journal_finish_later(journal, op, error); /* the task then starts what was held, and aborts */
}

static void commit_written(struct io_op *io, int64_t result)
{
    struct journal *journal = container_of(io, struct journal, commit.io);

    check_magic(journal, JOURNAL_MAGIC);
    free(journal->commit.head);
    journal->commit.head = NULL;
    if (result == -ENOSPC) {
        journal->partial_error = -ENOSPC;
        commit_end(journal, -ENOSPC);
    } else if (result < 0) {
        fence(journal, result);
        commit_end(journal, (int)result);
    } else {
        commit_step(journal);
    }
}

static void commit_synced(struct io_op *io, int64_t result)
{
    struct journal *journal = container_of(io, struct journal, commit.io);

    check_magic(journal, JOURNAL_MAGIC);
    if (result < 0) {
        fence(journal, result);
        commit_end(journal, (int)result);
        return;
    }
    commit_step(journal);
}

static void commit_write(struct journal *journal, struct journal_segment *segment, uint64_t bytes,
                         uint64_t offset)
{
    struct journal_commit_state *commit = &journal->commit;

    commit->iov = (struct iovec){.iov_base = commit->head, .iov_len = (size_t)bytes};
    io_file_write(journal->loop, &commit->io, segment->file, &commit->iov, 1, offset,
                  commit_written);
}

static int write_table(struct journal *journal)
{
    struct journal_commit_state *commit = &journal->commit;
    struct index_epoch *partial = journal->partial;
    uint64_t count = partial->extent_count - commit->extents_written, bytes, offset;
    struct journal_table_entry *entries;
    struct journal_segment *segment;
    struct journal_record record;
    int error;

    count = count < journal->table_entries ? count : journal->table_entries;
    bytes = journal_record_bytes(RECORD_TABLE, count);
    entries = calloc((size_t)count, sizeof(entries[0]));
    commit->head = malloc((size_t)bytes);
    error = entries == NULL || commit->head == NULL ? -ENOMEM : 0;
    if (error == 0)
        error = take_place(journal, bytes, &segment, &offset);
    if (error == 0) {
        for (uint64_t i = 0; i < count; i++) {
            struct journal_extent extent;

            index_epoch_extent(partial, commit->extents_written + i, &extent);
            entries[i] =
                (struct journal_table_entry){.disk = extent.disk,
                                             .is_hole = extent.is_hole,
                                             .block = extent.block,
                                             .count = extent.count,
                                             .sequence = index_extent_record(&extent)->sequence,
                                             .start = extent.location[1]};
        }
        commit->extents_written += count;
        record = next_record(journal, RECORD_TABLE, segment, offset);
        record.count = count;
        note_record(journal, &record, bytes);
        journal_record_encode_table(&record, entries, commit->head);
        commit_write(journal, segment, bytes, offset);
    }
    free(entries);
    return error;
}

/* The commit record and its twin, in one write: one rotten sector does not lose an epoch. */
static int write_commit(struct journal *journal)
{
    struct journal_commit_state *commit = &journal->commit;
    struct index_epoch *partial = journal->partial;
    struct journal_segment *segment = segment_last(&journal->segments);
    struct journal_commit_record content;
    uint64_t offset = segment->end;

    commit->head = malloc(2 * RECORD_ALIGN);
    if (commit->head == NULL)
        return -ENOMEM;
    /* It never opens a segment: the folder is synced already. */
    segment_grow(&journal->segments, segment, 2 * RECORD_ALIGN);
    segment->is_touched = true;
    partial->info.bytes = journal->partial_bytes + 2 * RECORD_ALIGN;
    for (unsigned i = 0; i < 2; i++) {
        struct journal_record record =
            next_record(journal, RECORD_COMMIT, segment, offset + i * RECORD_ALIGN);

        record.block = i;
        note_record(journal, &record, RECORD_ALIGN);
        content = (struct journal_commit_record){.epoch = partial->info,
                                                 .epoch_previous = partial->previous,
                                                 .sequence_first = partial->sequence_first,
                                                 .record_count = partial->record_count,
                                                 .extent_count = partial->extent_count};
        journal_record_encode_commit(&record, &content, commit->head + i * RECORD_ALIGN);
    }
    partial->segment_end = segment->number;
    partial->offset_end = segment->end;
    commit->is_commit_written = true;
    commit_write(journal, segment, 2 * RECORD_ALIGN, offset);
    return 0;
}

/* True: a sync was started. */
static bool sync_touched(struct journal *journal)
{
    struct segment_set *set = &journal->segments;

    for (struct list *node = set->all.next; node != &set->all; node = node->next) {
        struct journal_segment *segment = list_entry(node, struct journal_segment, node);

        if (segment->is_touched) {
            segment->is_touched = false;
            step_point("commit-before-sync");
            io_file_sync(journal->loop, &journal->commit.io, segment->file, commit_synced);
            return true;
        }
    }
    return false;
}

/* J2: one thing after the other. */
static void commit_step(struct journal *journal)
{
    struct journal_commit_state *commit = &journal->commit;
    struct segment_set *set = &journal->segments;
    int error = 0;

    if (commit->extents_written < journal->partial->extent_count) {
        step_point("commit-before-table");
        error = write_table(journal);
    } else if (segment_last(set) == NULL || set->is_sealed) {
        struct journal_segment *segment; /* an empty epoch at the very beginning */
        error = segment_make(set, &segment);
        if (error == 0)
            commit_step(journal);
    } else if (sync_touched(journal)) {
        return;
    } else if (set->is_dir_touched) {
        error = io_dir_sync(journal->loop, set->folder);
        set->is_dir_touched = false;
        if (error == 0)
            commit_step(journal);
        else
            fence(journal, error);
    } else if (!commit->is_commit_written) {
        step_point("commit-before-record");
        error = write_commit(journal);
    } else {
        step_point("commit-durable");
        commit->is_showing = true;
        commit_index(journal);
    }
    if (error == 0)
        return;
    journal->partial_error = error;
    commit_end(journal, error);
}

/* Before the tables: the list of extents; behind the last sync: the newest view. In pieces: hosts
 * of other disks, the peer and a failover wait for each. */
static void commit_index(struct journal *journal)
{
    struct journal_commit_state *commit = &journal->commit;
    int rest;

    if (commit->is_closing)
        rest = index_epoch_close(journal->partial, journal->index_extents);
    else
        rest = !index_show(&journal->index, journal->partial, journal->index_extents);
    if (rest > 0) {
        loop_defer(journal->loop, &journal->task);
    } else if (rest < 0) {
        journal->partial_error = rest;
        commit_end(journal, rest);
    } else if (commit->is_showing) {
        commit_end(journal, 0);
    } else {
        commit->is_closing = false;
        commit_step(journal);
    }
}

void journal_commit(struct journal *journal, struct journal_op *op,
                    const struct journal_epoch *epoch,
                    void (*done_cb)(struct journal_op *op, int error))
{
    int error = journal->fence != 0 ? journal->fence : journal->partial_error;

    check_magic(journal, JOURNAL_MAGIC);
    check(is_quiet(journal) && list_is_empty(&journal->aborts));
    check(epoch->epoch > journal->epoch_last);
    op->done_cb = done_cb;
    op->journal = journal;
    *op_state(op) = (struct journal_op_state){0};
    if (error == 0)
        error = begin_partial(journal);
    if (error == 0) {
        journal->partial->info = *epoch;
        journal->partial->previous = journal->epoch_last;
        error = index_reserve(&journal->index);
        journal->partial_error = error;
    }
    if (error != 0) {
        journal_finish_later(journal, op, error);
        return;
    }
    journal->commit = (struct journal_commit_state){.op = op, .is_closing = true};
    commit_index(journal);
}

void journal_abort(struct journal *journal, struct journal_op *op,
                   void (*done_cb)(struct journal_op *op, int error))
{
    struct list *node;

    check_magic(journal, JOURNAL_MAGIC);
    op->done_cb = done_cb;
    op->journal = journal;
    *op_state(op) = (struct journal_op_state){0};
    while ((node = list_pop(&journal->held)) != NULL) /* never began */
        journal_finish_later(journal, list_entry(node, struct journal_op, node), -ECANCELED);
    list_append(&journal->aborts, &op->node);
    loop_defer(journal->loop, &journal->task);
}

int journal_free_segments(struct journal *journal)
{
    struct segment_set *set = &journal->segments;
    uint64_t needed = index_segment_needed(&journal->index);
    struct journal_segment *first;
    int error = 0;

    if (journal->partial != NULL && journal->partial->segment_first != 0 &&
        journal->partial->segment_first < needed)
        needed = journal->partial->segment_first;
    if (journal->commit.op != NULL || journal->fence != 0)
        return 0; /* its syncs are of segments; journal_step() does it behind it */
    while (error == 0 && (first = segment_first(set)) != NULL && first->number < needed) {
        /* The last one is kept for what comes, unless it is well filled or takes nothing more. */
        if (first == segment_last(set) && !set->is_sealed &&
            first->end < journal->segment_bytes / 2)
            break;
        if (journal->released.segment == first->number) /* the number may be used again */
            journal->released.segment = journal->released.offset = 0;
        error = segment_remove(set, first);
        if (error == 0)
            error = io_dir_sync(journal->loop, set->folder);
    }
    if (error != 0)
        fence(journal, error);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's door: opening, reading, releasing. Writing is journal_write.c, recovery is
 * journal_recover.c, what is known in memory is journal_index.c, bytes are journal_record.c.
 */
#include "journal/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "journal/journal_recover.h"
#include "journal/journal_write.h"

#define SEGMENT_BYTES_USUAL (64ull << 20)
#define SEGMENT_BYTES_MIN (64ull << 10)

/* Up to a microsecond each among millions, and a turn of the loop runs up to eight tasks of one. */
enum { INDEX_EXTENTS = 256 };

/* An eighth of the journal at most: space comes back by whole segments. */
static uint64_t segment_bytes(const struct journal_options *options)
{
    uint64_t bytes = options->segment_bytes != 0 ? options->segment_bytes : SEGMENT_BYTES_USUAL;

    if (options->segment_bytes == 0 && bytes > options->bytes_max / 8)
        bytes = options->bytes_max / 8;
    return bytes < SEGMENT_BYTES_MIN && options->segment_bytes == 0 ? SEGMENT_BYTES_MIN : bytes;
}

int journal_open(struct loop *loop, const struct journal_options *options,
                 struct journal **ret_journal, struct err *err)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    int error;

    if (journal == NULL)
        return err_set(err, -ENOMEM, "no memory");
    check(options->disk_count_max > 0 && options->bytes_max > 0);
    journal->magic = JOURNAL_MAGIC;
    journal->loop = loop;
    journal->segment_bytes = segment_bytes(options);
    journal->bytes_max = options->bytes_max;
    journal->table_entries = RECORD_TABLE_ENTRIES_MAX;
    if (options->table_entries != 0 && options->table_entries < RECORD_TABLE_ENTRIES_MAX)
        journal->table_entries = options->table_entries;
    journal->index_extents = options->index_extents != 0 ? options->index_extents : INDEX_EXTENTS;
    journal->disk_count_max = options->disk_count_max;
    journal_write_init(journal);
    error = index_init(&journal->index);
    if (error != 0)
        err_set(err, error, "no memory");
    if (error == 0) {
        error = segment_set_init(&journal->segments, loop, options->folder, options->stream, err);
        if (error != 0)
            list_init(&journal->segments.all);
    } else {
        list_init(&journal->segments.all);
    }
    if (error == 0) {
        error = io_dir_make_durable(loop, options->folder);
        if (error != 0)
            err_set(err, error, "%s: cannot make it: %s", options->folder, err_name(error));
    }
    if (error == 0)
        error = journal_recover(journal, err);
    if (error != 0) {
        journal_close(journal);
        return error;
    }
    *ret_journal = journal;
    return 0;
}

static bool is_idle(const struct journal *journal)
{
    return journal->append_count == 0 && journal->read_count == 0 && journal->commit.op == NULL;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    check_magic(journal, JOURNAL_MAGIC);
    check(is_idle(journal));
    check(list_is_empty(&journal->later) && list_is_empty(&journal->held));
    check(list_is_empty(&journal->aborts));
    list_remove(&journal->task.node); /* what it told may be the end, and it be queued again */
    index_epoch_free(journal->partial);
    index_fini(&journal->index);
    segment_set_fini(&journal->segments);
    journal->magic = 0;
    free(journal);
}

/* --- what is there --------------------------------------------------------------------------- */

unsigned journal_epoch_count(const struct journal *journal)
{
    return journal->index.epoch_count;
}

const struct journal_epoch *journal_epoch_at(const struct journal *journal, unsigned index)
{
    check(index < journal->index.epoch_count);
    return &journal->index.epochs[index]->info;
}

uint64_t journal_missing(const struct journal *journal)
{
    return journal->epoch_missing;
}

uint64_t journal_epochs_bytes(const struct journal *journal)
{
    return journal->index.bytes;
}

uint64_t journal_bytes(const struct journal *journal)
{
    return journal->segments.bytes;
}

uint64_t journal_partial_bytes(const struct journal *journal)
{
    return journal->partial_bytes;
}

bool journal_epoch_next(const struct journal *journal, uint64_t epoch, uint64_t *cursor,
                        struct journal_extent *ret_extent)
{
    const struct index_epoch *found = index_find(&journal->index, epoch);

    if (found == NULL || *cursor >= found->extent_count)
        return false;
    index_epoch_extent(found, (*cursor)++, ret_extent);
    return true;
}

bool journal_lookup(const struct journal *journal, unsigned disk, uint64_t block, uint64_t count,
                    struct journal_extent *ret_extent)
{
    return index_lookup(&journal->index, disk, block, count, ret_extent);
}

bool journal_next(const struct journal *journal, unsigned disk, uint64_t block, uint64_t count_max,
                  struct journal_extent *ret_extent)
{
    return index_next(&journal->index, disk, block, count_max, ret_extent);
}

/* --- reading --------------------------------------------------------------------------------- */

/* 0, or -EBADMSG and a line that names the place. */
static int check_blocks(const struct journal *journal, const struct journal_op_state *state)
{
    const struct index_record *record = state->record;

    for (uint64_t i = 0; i < state->count; i++) {
        uint64_t at = state->block + i;
        char path[PATH_MAX];

        if (crc32c(0, state->bytes + i * BLOCK_SIZE, BLOCK_SIZE) == record->crcs[at])
            continue;
        segment_path(&journal->segments, record->segment->number, path);
        log_error("journal", "%s is damaged at offset %llu: block %llu of disk %u, epoch %llu",
                  path, (unsigned long long)(record->offset + at * BLOCK_SIZE),
                  (unsigned long long)(record->block + at), record->disk,
                  (unsigned long long)record->epoch->info.epoch);
        return -EBADMSG;
    }
    return 0;
}

static void read_done(struct io_op *io, int64_t result)
{
    struct journal_op *op = container_of(io, struct journal_op, io);
    struct journal *journal = op->journal;
    struct journal_op_state *state = op_state(op);
    int error = result < 0 ? (int)result : 0;

    check_magic(journal, JOURNAL_MAGIC);
    check(journal->read_count > 0);
    journal->read_count--;
    if (error == -ENODATA) /* the file lost its end under us */
        error = -EBADMSG;
    else if (error == 0)
        error = check_blocks(journal, state);
    if (index_read_end(&journal->index, state->epoch))
        journal_free_segments(journal);
    op->done_cb(op, error);
}

void journal_read(struct journal *journal, struct journal_op *op,
                  const struct journal_extent *extent, uint8_t *bytes,
                  void (*done_cb)(struct journal_op *op, int error))
{
    struct index_record *record = index_extent_record(extent);
    uint64_t start = extent->location[1];

    check_magic(journal, JOURNAL_MAGIC);
    check(!extent->is_hole && !record->is_hole);
    check(extent->count >= 1 && start + extent->count <= record->count);
    op->done_cb = done_cb;
    op->journal = journal;
    *op_state(op) = (struct journal_op_state){.record = record,
                                              .epoch = record->epoch,
                                              .bytes = bytes,
                                              .block = start,
                                              .count = extent->count};
    index_read_begin(record);
    journal->read_count++;
    op->iov[0] = (struct iovec){.iov_base = bytes, .iov_len = extent->count * BLOCK_SIZE};
    io_file_read(journal->loop, &op->io, record->segment->file, op->iov, 1,
                 record->offset + start * BLOCK_SIZE, read_done);
}

void journal_crcs(const struct journal *journal, const struct journal_extent *extent,
                  uint32_t *ret_crcs)
{
    const struct index_record *record = index_extent_record(extent);

    check(!record->is_hole && extent->location[1] + extent->count <= record->count);
    memcpy(ret_crcs, &record->crcs[extent->location[1]], extent->count * sizeof(uint32_t));
}

/* --- letting go ------------------------------------------------------------------------------ */

void journal_supersede(struct journal *journal, unsigned disk, uint64_t block, uint64_t count)
{
    check_magic(journal, JOURNAL_MAGIC);
    index_supersede(&journal->index, disk, block, count);
}

void journal_release(struct journal *journal, uint64_t epoch)
{
    check_magic(journal, JOURNAL_MAGIC);
    for (unsigned i = 0; i < journal->index.epoch_count; i++) {
        if (journal->index.epochs[i]->info.epoch > epoch)
            break;
        journal->released = index_epoch_end(journal->index.epochs[i]);
    }
    index_release(&journal->index, epoch);
}

void journal_forget_after(struct journal *journal, uint64_t epoch)
{
    check_magic(journal, JOURNAL_MAGIC);
    index_forget_after(&journal->index, epoch);
}

bool journal_step(struct journal *journal)
{
    bool is_more;

    check_magic(journal, JOURNAL_MAGIC);
    is_more = index_step(&journal->index, journal->index_extents);
    if (journal->commit.op == NULL && index_take_left(&journal->index))
        journal_free_segments(journal);
    return is_more;
}

bool journal_is_settled(const struct journal *journal)
{
    check_magic(journal, JOURNAL_MAGIC);
    return index_is_settled(&journal->index);
}

bool journal_let_go(struct journal *journal)
{
    check_magic(journal, JOURNAL_MAGIC);
    check(is_idle(journal));
    index_epoch_drop(&journal->index, journal->partial);
    journal->partial = NULL;
    index_clear(&journal->index);
    return !index_step(&journal->index, journal->index_extents);
}

static void forget_partial(struct journal *journal)
{
    index_epoch_drop(&journal->index, journal->partial);
    journal->partial = NULL;
    journal->partial_bytes = 0;
    journal->partial_error = 0;
    journal->partial_number++;
}

int journal_discard_after(struct journal *journal, uint64_t epoch, struct err *err)
{
    struct index_end end;
    int error;

    check_magic(journal, JOURNAL_MAGIC);
    check(is_idle(journal));
    if (journal->fence != 0)
        return err_set(err, journal->fence, "%s is fenced", journal->segments.folder);
    forget_partial(journal);
    index_forget_after(&journal->index, epoch);
    while (!index_is_settled(&journal->index)) /* when it is opened; else it was forgotten before */
        index_step(&journal->index, UINT64_MAX / 2);
    end = journal->released;
    if (index_newest(&journal->index) != NULL)
        end = index_epoch_end(index_newest(&journal->index));
    journal->epoch_last = end.epoch;
    error = segment_set_cut(&journal->segments, end.segment, end.offset, true);
    if (error == 0)
        error = segment_set_sync_now(&journal->segments);
    /* What is left may be of an earlier life: an epoch that begun there could not go on elsewhere.
     */
    journal->segments.is_sealed = segment_last(&journal->segments) != NULL;
    if (error != 0) {
        journal->fence = error;
        return err_set(err, error, "%s: cannot discard epochs after %llu: %s",
                       journal->segments.folder, (unsigned long long)epoch, err_name(error));
    }
    return 0;
}

int journal_reset(struct journal *journal, struct err *err)
{
    int error;

    check_magic(journal, JOURNAL_MAGIC);
    check(is_idle(journal));
    forget_partial(journal);
    index_clear(&journal->index);
    journal->epoch_last = 0;
    journal->epoch_missing = 0;
    journal->released = (struct index_end){0};
    error = segment_set_cut(&journal->segments, 0, 0, true);
    if (error == 0)
        error = segment_set_sync_now(&journal->segments);
    if (error != 0) {
        journal->fence = error;
        return err_set(err, error, "%s: cannot remove the segments: %s", journal->segments.folder,
                       err_name(error));
    }
    return 0;
}

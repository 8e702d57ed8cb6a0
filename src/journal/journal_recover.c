/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: every byte of every segment is read in order and checked; the index is made on the way.
 *
 * Where a record is not valid, or a segment ends early, the journal is broken there. What is behind
 * tells which way: a commit record is written only after all before it was synced (J2), so
 *
 *   V1  broken, and a valid commit record behind the place, in this segment or a later one, or in
 *       the place itself, where it does not follow what is left before it: damage. -EBADMSG names
 *       file and offset; nothing is cut off;
 *   V2  broken, and none behind: a torn tail. Writes that were never synced may survive a power
 *       loss in any order, so valid data records behind it prove nothing;
 *   V3  a broken commit record whose twin behind it is valid counts as that commit;
 *   V4  records behind the last commit belong to no epoch: they are cut off, durably;
 *   V5  the first epoch may lack its beginning when segments before it were freed: it was in the
 *       base then. The journal remembers its number for journal_missing().
 */
#include "journal/journal_recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"

enum { SEARCH_BYTES = 1 << 20 };

struct recovery {
    struct journal *journal;
    struct err *err;
    uint64_t *numbers; /* of the segments found, ascending */
    size_t number_count, number_room;
    bool is_listing_short; /* of memory */
    uint8_t *bytes;        /* one record, as long as the longest */
    struct journal_segment *segment;
    uint64_t size, offset;   /* of its file; of the next record */
    uint64_t commit_segment; /* behind the newest commit */
    uint64_t commit_offset;  /* (0: there is none) */
    uint64_t tables_seen;    /* entries of the present epoch's tables so far */
    uint64_t partial, life;  /* of the present partial epoch */
    bool is_table_wrong;
    bool is_anything_seen;             /* a record or a commit */
    bool is_twin_due;                  /* the record before was a commit, not its twin */
    struct journal_commit_record twin; /* what it must say */
};

/* --- finding the segments -------------------------------------------------------------------- */

static void note_name(void *arg, const char *name)
{
    struct recovery *recovery = arg;
    unsigned long long number;
    char again[64];

    if (sscanf(name, "%20llu.seg", &number) != 1 || number == 0)
        return;
    snprintf(again, sizeof(again), "%llu.seg", number);
    if (strcmp(again, name) != 0)
        return;
    if (recovery->number_count == recovery->number_room) {
        size_t room = recovery->number_room * 2 + 64;
        uint64_t *numbers = realloc(recovery->numbers, room * sizeof(numbers[0]));
        if (numbers == NULL) {
            recovery->is_listing_short = true;
            return;
        }
        recovery->numbers = numbers;
        recovery->number_room = room;
    }
    recovery->numbers[recovery->number_count++] = number;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static int find_segments(struct recovery *recovery)
{
    struct segment_set *set = &recovery->journal->segments;
    int error = io_dir_list(set->loop, set->folder, note_name, recovery);

    if (error == 0 && recovery->is_listing_short)
        error = -ENOMEM;
    if (error != 0)
        return err_set(recovery->err, error, "%s: cannot list: %s", set->folder, err_name(error));
    if (recovery->number_count > 0)
        qsort(recovery->numbers, recovery->number_count, sizeof(uint64_t), compare_numbers);
    return 0;
}

/* --- damage or torn tail --------------------------------------------------------------------- */

/* Is the record at `bytes` a whole commit, whatever its sequence? */
static bool is_commit(const uint8_t *bytes, uint64_t number, uint64_t offset)
{
    struct journal_record record;

    return journal_record_decode(bytes, number, offset, &record) == 0 &&
           record.type == RECORD_COMMIT && journal_record_check_head(&record, bytes) == 0;
}

/* Looks for a commit in a file from `offset` on: 1 found, 0 none, or an error. */
static int search_file(struct recovery *recovery, struct io_file *file, uint64_t number,
                       uint64_t offset)
{
    struct loop *loop = recovery->journal->loop;
    uint64_t size;
    int error = io_file_size(loop, file, &size);

    offset = (offset + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    while (error == 0 && offset + RECORD_ALIGN <= size) {
        uint64_t length = size - offset < SEARCH_BYTES ? size - offset : SEARCH_BYTES;

        error = io_file_read_now(loop, file, recovery->bytes, (size_t)length, offset);
        for (uint64_t at = 0; error == 0 && at + RECORD_ALIGN <= length; at += RECORD_ALIGN)
            if (is_commit(recovery->bytes + at, number, offset + at))
                return 1;
        offset += length;
    }
    return error;
}

static int search_behind(struct recovery *recovery, uint64_t number, uint64_t offset)
{
    struct segment_set *set = &recovery->journal->segments;
    int found = 0;

    for (size_t i = 0; i < recovery->number_count && found == 0; i++) {
        char path[PATH_MAX];
        struct io_file *file;

        if (recovery->numbers[i] < number)
            continue;
        segment_path(set, recovery->numbers[i], path);
        found = io_file_open(set->loop, path, IO_READ_ONLY, &file, recovery->err);
        if (found != 0)
            return found;
        found = search_file(recovery, file, recovery->numbers[i],
                            recovery->numbers[i] == number ? offset : 0);
        io_file_close(set->loop, file);
        if (found < 0)
            err_set(recovery->err, found, "%s: cannot read: %s", path, err_name(found));
    }
    return found;
}

/* V1 or V2: -EBADMSG, another error, or 0 when the tail is torn. */
static int broken(struct recovery *recovery, uint64_t number, uint64_t offset, const char *what)
{
    char path[PATH_MAX];
    int found = search_behind(recovery, number, offset);

    if (found <= 0)
        return found;
    segment_path(&recovery->journal->segments, number, path);
    return err_set(recovery->err, -EBADMSG,
                   "%s is damaged at offset %llu (%s), with committed records there or behind it",
                   path, (unsigned long long)offset, what);
}

/* --- records --------------------------------------------------------------------------------- */

static int join_partial(struct recovery *recovery, const struct journal_record *record)
{
    struct journal *journal = recovery->journal;

    if (journal->partial != NULL)
        return 0;
    journal->partial = index_epoch_new();
    if (journal->partial == NULL)
        return -ENOMEM;
    journal->partial->segment_first = record->segment;
    journal->partial->offset_first = record->offset;
    journal->partial->sequence_first = record->sequence;
    if (record->type == RECORD_COMMIT && record->block == 1) { /* V3 of an empty epoch */
        journal->partial->offset_first -= RECORD_ALIGN;
        journal->partial->sequence_first--;
    }
    recovery->partial = record->partial;
    recovery->life = record->life;
    recovery->tables_seen = 0;
    recovery->is_table_wrong = false;
    return 0;
}

static int take_extents(struct recovery *recovery, const struct journal_record *record)
{
    struct index_record *kept;
    bool is_hole = record->type == RECORD_HOLE;

    if (record->disk >= recovery->journal->disk_count_max)
        return -EBADMSG;
    kept = index_record_new(record->disk, record->block, record->count, is_hole);
    if (kept == NULL)
        return -ENOMEM;
    kept->segment = recovery->segment;
    kept->sequence = record->sequence;
    kept->offset = record->offset + journal_record_head_bytes(record->type, record->count);
    if (!is_hole)
        journal_record_crcs(record, recovery->bytes, kept->crcs);
    if (index_epoch_add(recovery->journal->partial, kept) != 0) {
        free(kept);
        return -ENOMEM;
    }
    return 0;
}

/* A table must say what the records said; the front of an epoch without its beginning cannot. */
static int take_table(struct recovery *recovery, const struct journal_record *record)
{
    struct index_epoch *partial = recovery->journal->partial;
    int error = 0;

    if (partial->extents == NULL)
        error = index_epoch_close(partial, UINT64_MAX);
    for (uint64_t i = 0; i < record->count && error == 0; i++, recovery->tables_seen++) {
        struct journal_table_entry entry;
        struct journal_extent extent;

        error = journal_record_table_entry(record, recovery->bytes, i, &entry);
        if (error != 0 || recovery->tables_seen >= partial->extent_count)
            continue;
        index_epoch_extent(partial, recovery->tables_seen, &extent);
        if (entry.disk == extent.disk && entry.block == extent.block &&
            entry.count == extent.count && entry.is_hole == extent.is_hole &&
            entry.start == extent.location[1] &&
            entry.sequence == index_extent_record(&extent)->sequence)
            continue;
        recovery->is_table_wrong = true;
    }
    return error;
}

/* V5 and the counts. */
static int take_commit(struct recovery *recovery, const struct journal_record *record)
{
    struct journal *journal = recovery->journal;
    struct index_epoch *partial = journal->partial;
    struct journal_commit_record commit;
    uint64_t before;

    journal_record_commit(record, recovery->bytes, &commit);
    before = record->sequence - record->block - commit.record_count; /* of the epoch's first */
    if (commit.epoch.epoch <= journal->epoch_last || before != commit.sequence_first ||
        before > partial->sequence_first ||
        (journal->epoch_last != 0 && commit.epoch_previous != journal->epoch_last))
        return -EBADMSG;
    if (partial->extents == NULL && index_epoch_close(partial, UINT64_MAX) != 0)
        return -ENOMEM;
    if (index_reserve(&journal->index) != 0)
        return -ENOMEM;
    if (commit.sequence_first < partial->sequence_first) { /* its beginning was freed */
        if (recovery->is_anything_seen)
            return -EBADMSG;
        journal->epoch_missing = commit.epoch.epoch;
        index_epoch_free(partial);
    } else {
        uint64_t blocks = partial->info.block_count;

        if (recovery->tables_seen != partial->extent_count ||
            commit.extent_count != partial->extent_count || recovery->is_table_wrong ||
            commit.epoch.block_count != blocks)
            return -EBADMSG;
        if (!recovery->is_anything_seen)
            journal->epoch_missing = commit.epoch_previous;
        partial->info = commit.epoch;
        partial->previous = commit.epoch_previous;
        partial->record_count = commit.record_count;
        check(index_show(&journal->index, partial, UINT64_MAX));
        index_commit(&journal->index, partial);
    }
    journal->partial = NULL;
    journal->epoch_last = commit.epoch.epoch;
    recovery->is_anything_seen = true;
    recovery->is_twin_due = record->block == 0;
    recovery->twin = commit;
    return 0;
}

/* The second copy of the commit just taken. */
static int take_twin(struct recovery *recovery, const struct journal_record *record)
{
    struct journal_commit_record commit;

    journal_record_commit(record, recovery->bytes, &commit);
    recovery->is_twin_due = false;
    return memcmp(&commit, &recovery->twin, sizeof(commit)) == 0 ? 0 : -EBADMSG;
}

/* Reads the record at the present offset whole and checks it; -EBADMSG also for a short file. */
static int read_record(struct recovery *recovery, struct journal_record *ret_record)
{
    struct loop *loop = recovery->journal->loop;
    struct io_file *file = recovery->segment->file;
    uint64_t left = recovery->size - recovery->offset, bytes, head;
    uint32_t crcs[RECORD_DATA_BLOCKS_MAX];
    int error;

    if (left < RECORD_ALIGN)
        return -EBADMSG;
    error = io_file_read_now(loop, file, recovery->bytes, RECORD_ALIGN, recovery->offset);
    if (error == 0)
        error = journal_record_decode(recovery->bytes, recovery->segment->number, recovery->offset,
                                      ret_record);
    if (error != 0)
        return error;
    bytes = journal_record_bytes(ret_record->type, ret_record->count);
    if (bytes > left)
        return -EBADMSG;
    error = io_file_read_now(loop, file, recovery->bytes, (size_t)bytes, recovery->offset);
    if (error == 0)
        error = journal_record_check_head(ret_record, recovery->bytes);
    if (error != 0 || ret_record->type != RECORD_DATA)
        return error;
    head = journal_record_head_bytes(ret_record->type, ret_record->count);
    journal_record_crcs(ret_record, recovery->bytes, crcs);
    for (uint64_t i = 0; i < ret_record->count; i++)
        if (crc32c(0, recovery->bytes + head + i * BLOCK_SIZE, BLOCK_SIZE) != crcs[i])
            return -EBADMSG;
    return 0;
}

/* Does it follow what came before? */
static bool does_follow(const struct recovery *recovery, const struct journal_record *record)
{
    const struct journal *journal = recovery->journal;

    if (record->life != recovery->segment->life)
        return false;
    if (journal->partial != NULL || recovery->is_twin_due)
        return record->sequence == journal->sequence + 1 && record->partial == recovery->partial &&
               record->life == recovery->life;
    return record->sequence > journal->sequence;
}

/* V3: the first of the two is broken, the second is whole. */
static int read_twin(struct recovery *recovery, struct journal_record *ret_record)
{
    recovery->offset += RECORD_ALIGN;
    if (recovery->offset <= recovery->size && read_record(recovery, ret_record) == 0 &&
        ret_record->type == RECORD_COMMIT && ret_record->block == 1 && ret_record->sequence > 1) {
        recovery->journal->sequence++; /* the broken one's */
        if (does_follow(recovery, ret_record))
            return 0;
        recovery->journal->sequence--;
    }
    recovery->offset -= RECORD_ALIGN;
    return -EBADMSG;
}

/* The newest epoch ends at the present offset. */
static void note_end(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    struct index_epoch *newest = index_newest(&journal->index);

    recovery->commit_segment = recovery->segment->number;
    recovery->commit_offset = recovery->offset;
    if (newest != NULL && newest->info.epoch == journal->epoch_last) {
        newest->segment_end = recovery->commit_segment;
        newest->offset_end = recovery->commit_offset;
    } else {
        journal->released = (struct index_end){journal->epoch_last, recovery->commit_segment,
                                               recovery->commit_offset};
    }
}

static int take_record(struct recovery *recovery, const struct journal_record *record)
{
    struct journal *journal = recovery->journal;
    int error;

    if (recovery->is_twin_due && record->type == RECORD_COMMIT && record->block == 1)
        error = take_twin(recovery, record);
    else {
        recovery->is_twin_due = false;
        error = join_partial(recovery, record);
        if (error == 0 && journal->partial->extents != NULL && record->type <= RECORD_HOLE)
            error = -EBADMSG; /* data behind a table */
        if (error == 0 && record->type <= RECORD_HOLE)
            error = take_extents(recovery, record);
        else if (error == 0 && record->type == RECORD_TABLE)
            error = take_table(recovery, record);
        else if (error == 0)
            error = take_commit(recovery, record);
    }
    if (error != 0)
        return error;
    journal->sequence = record->sequence;
    recovery->offset += journal_record_bytes(record->type, record->count);
    if (record->type == RECORD_COMMIT)
        note_end(recovery);
    return 0;
}

/* The second copy is broken: the first one counted, so it is passed over. */
static bool skip_twin(struct recovery *recovery)
{
    if (!recovery->is_twin_due || recovery->size - recovery->offset < RECORD_ALIGN)
        return false;
    recovery->is_twin_due = false;
    recovery->offset += RECORD_ALIGN;
    return true;
}

/* Walks the segment. *ret_is_torn: the journal ends in it. */
static int walk(struct recovery *recovery, bool *ret_is_torn)
{
    while (recovery->offset < recovery->size) {
        struct journal_record record;
        int error = read_record(recovery, &record);

        if (error == 0 && !does_follow(recovery, &record))
            error = -EBADMSG;
        if (error == -EBADMSG && skip_twin(recovery))
            continue;
        if (error == -EBADMSG)
            error = read_twin(recovery, &record);
        if (error == 0)
            error = take_record(recovery, &record);
        if (error == -EBADMSG) {
            *ret_is_torn = true;
            return broken(recovery, recovery->segment->number, recovery->offset, "bad record");
        }
        if (error != 0)
            return err_set(recovery->err, error, "%s/%llu.seg: offset %llu: %s",
                           recovery->journal->segments.folder,
                           (unsigned long long)recovery->segment->number,
                           (unsigned long long)recovery->offset, err_name(error));
    }
    return 0;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* A gap in the numbers: removed segments that a power loss brought back in part, or damage. */
static int check_gap(struct recovery *recovery, size_t i, bool *ret_is_torn)
{
    if (i == 0 || recovery->numbers[i] == recovery->numbers[i - 1] + 1)
        return 0;
    *ret_is_torn = true;
    return broken(recovery, recovery->numbers[i - 1] + 1, 0, "the file is missing");
}

static int open_segment(struct recovery *recovery, uint64_t number, bool *ret_is_torn)
{
    struct journal *journal = recovery->journal;
    struct segment_set *set = &journal->segments;
    struct journal_segment_header header;
    struct journal_segment *segment;
    char path[PATH_MAX];
    int error = segment_open(set, number, &segment, recovery->err);

    if (error != 0)
        return error;
    segment_path(set, number, path);
    error = io_file_size(set->loop, segment->file, &recovery->size);
    if (error == 0 && recovery->size < SEGMENT_HEADER_BYTES)
        error = -EBADMSG;
    if (error == 0)
        error =
            io_file_read_now(set->loop, segment->file, recovery->bytes, SEGMENT_HEADER_BYTES, 0);
    if (error == 0)
        error = journal_segment_header_decode(recovery->bytes, number, &header);
    if (error == -EBADMSG) {
        *ret_is_torn = true;
        return broken(recovery, number, 0, "bad segment header");
    }
    if (error == -EPROTONOSUPPORT)
        return err_set(recovery->err, error,
                       "%s was written by a newer version of Verso: install that version", path);
    if (error != 0)
        return err_set(recovery->err, error, "%s: cannot read: %s", path, err_name(error));
    if (strcmp(header.stream, set->stream) != 0)
        return err_set(recovery->err, -EINVAL, "%s belongs to stream %s, not to %s", path,
                       header.stream, set->stream);
    segment->life = header.life;
    segment->is_touched = true; /* a kill may have come between a commit and its sync */
    segment_grow(set, segment, recovery->size);
    recovery->segment = segment;
    recovery->offset = SEGMENT_HEADER_BYTES;
    recovery->is_twin_due = false;
    return 0;
}

/* V2, V4: everything behind the newest commit goes, newest first. */
static int cut_tail(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    struct segment_set *set = &journal->segments;
    struct journal_segment *last = segment_last(set);
    uint64_t opened = last != NULL ? last->number : 0;
    int error = 0;

    index_epoch_free(journal->partial);
    journal->partial = NULL;
    for (size_t i = recovery->number_count; i > 0 && error == 0; i--) {
        char path[PATH_MAX];

        if (recovery->numbers[i - 1] <= opened)
            break;
        segment_path(set, recovery->numbers[i - 1], path);
        error = io_unlink(set->loop, path);
    }
    if (error == 0)
        error = segment_set_cut(set, recovery->commit_segment, recovery->commit_offset, false);
    if (error == 0)
        error = segment_set_sync_now(set);
    if (error != 0)
        return err_set(recovery->err, error, "%s: cannot cut the tail off: %s", set->folder,
                       err_name(error));
    set->is_sealed = segment_last(set) != NULL;
    return 0;
}

int journal_recover(struct journal *journal, struct err *err)
{
    struct recovery recovery = {.journal = journal, .err = err};
    bool is_torn = false;
    int error;

    recovery.bytes = malloc(SEARCH_BYTES + RECORD_HEAD_BYTES_MAX);
    if (recovery.bytes == NULL)
        return err_set(err, -ENOMEM, "no memory");
    error = find_segments(&recovery);
    for (size_t i = 0; i < recovery.number_count && error == 0 && !is_torn; i++) {
        error = check_gap(&recovery, i, &is_torn);
        if (error == 0 && !is_torn)
            error = open_segment(&recovery, recovery.numbers[i], &is_torn);
        if (error == 0 && !is_torn)
            error = walk(&recovery, &is_torn);
    }
    if (error == 0)
        error = cut_tail(&recovery);
    journal->partial_number++;
    free(recovery.numbers);
    free(recovery.bytes);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files. Removal at the front syncs the folder after each file (the caller does), so that a
 * power loss never brings back an older one without its neighbour; a gap in the numbers is damage.
 */
#include "journal/journal_segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "journal/journal_record.h"

int segment_set_init(struct segment_set *set, struct loop *loop, const char *folder,
                     const char *stream, struct err *err)
{
    *set = (struct segment_set){.loop = loop, .life = loop_random(loop)};
    list_init(&set->all);
    if (strlen(folder) > sizeof(set->folder) - 32 || strlen(stream) >= sizeof(set->stream))
        return err_set(err, -ENAMETOOLONG, "journal folder %.100s: name too long", folder);
    strcpy(set->folder, folder);
    strcpy(set->stream, stream);
    return 0;
}

static void drop(struct segment_set *set, struct journal_segment *segment)
{
    check(set->bytes >= segment->end);
    set->bytes -= segment->end;
    list_remove(&segment->node);
    io_file_close(set->loop, segment->file);
    free(segment);
}

void segment_set_fini(struct segment_set *set)
{
    while (!list_is_empty(&set->all))
        drop(set, segment_last(set));
}

void segment_path(const struct segment_set *set, uint64_t number, char *ret_path)
{
    int length =
        snprintf(ret_path, PATH_MAX, "%s/%llu.seg", set->folder, (unsigned long long)number);

    check(length > 0 && length < PATH_MAX);
}

struct journal_segment *segment_last(const struct segment_set *set)
{
    if (list_is_empty(&set->all))
        return NULL;
    /* A dropped segment is unlinked before it is freed. */
    return list_entry(set->all.prev, struct journal_segment, node); /* NOLINT */
}

struct journal_segment *segment_first(const struct segment_set *set)
{
    if (list_is_empty(&set->all))
        return NULL;
    return list_entry(set->all.next, struct journal_segment, node);
}

struct journal_segment *segment_next(const struct segment_set *set,
                                     const struct journal_segment *segment)
{
    if (segment->node.next == &set->all)
        return NULL;
    return list_entry(segment->node.next, struct journal_segment, node);
}

static int add(struct segment_set *set, uint64_t number, unsigned flags,
               struct journal_segment **ret_segment, struct err *err)
{
    struct journal_segment *segment = calloc(1, sizeof(*segment));
    char path[PATH_MAX];
    int error;

    if (segment == NULL)
        return err_set(err, -ENOMEM, "no memory");
    segment_path(set, number, path);
    error = io_file_open(set->loop, path, flags, &segment->file, err);
    if (error != 0) {
        free(segment);
        return error;
    }
    segment->number = number;
    list_append(&set->all, &segment->node);
    if (number > set->number_last)
        set->number_last = number;
    *ret_segment = segment;
    return 0;
}

int segment_open(struct segment_set *set, uint64_t number, struct journal_segment **ret_segment,
                 struct err *err)
{
    check(segment_last(set) == NULL || segment_last(set)->number < number);
    return add(set, number, 0, ret_segment, err);
}

int segment_make(struct segment_set *set, struct journal_segment **ret_segment)
{
    struct journal_segment_header header = {.number = set->number_last + 1, .life = set->life};
    struct journal_segment *segment;
    uint8_t *bytes;
    int error;

    bytes = malloc(SEGMENT_HEADER_BYTES);
    if (bytes == NULL)
        return -ENOMEM;
    error = add(set, header.number, IO_CREATE, &segment, NULL);
    if (error == 0) {
        strcpy(header.stream, set->stream);
        journal_segment_header_encode(&header, bytes);
        /* A file of this number may be left from a removal that a power loss undid. */
        error = io_file_resize_now(set->loop, segment->file, 0);
        if (error == 0)
            error = io_file_write_now(set->loop, segment->file, bytes, SEGMENT_HEADER_BYTES, 0);
        segment->life = set->life;
        segment->is_touched = true;
        set->is_dir_touched = true;
        segment_grow(set, segment, SEGMENT_HEADER_BYTES);
        if (error != 0)
            segment_remove(set, segment);
        else
            *ret_segment = segment;
    }
    set->is_sealed = error != 0 && set->is_sealed;
    free(bytes);
    return error;
}

void segment_grow(struct segment_set *set, struct journal_segment *segment, uint64_t bytes)
{
    segment->end += bytes;
    set->bytes += bytes;
}

int segment_remove(struct segment_set *set, struct journal_segment *segment)
{
    char path[PATH_MAX];

    segment_path(set, segment->number, path);
    if (segment == segment_last(set))
        set->number_last = segment->number - 1; /* used again: no gap may come behind the others */
    drop(set, segment);
    return io_unlink(set->loop, path);
}

int segment_set_cut(struct segment_set *set, uint64_t number, uint64_t offset, bool is_ordered)
{
    struct journal_segment *last;
    int error = 0;

    while ((last = segment_last(set)) != NULL && last->number > number && error == 0) {
        error = segment_remove(set, last);
        if (error == 0 && is_ordered)
            error = io_dir_sync(set->loop, set->folder);
    }
    if (error != 0 || last == NULL || last->number < number)
        return error;
    check(offset >= SEGMENT_HEADER_BYTES);
    set->bytes = set->bytes - last->end + offset;
    last->end = offset;
    last->is_touched = true;
    return io_file_resize_now(set->loop, last->file, offset);
}

int segment_set_sync_now(struct segment_set *set)
{
    int error;

    for (struct list *node = set->all.next; node != &set->all; node = node->next) {
        struct journal_segment *segment = list_entry(node, struct journal_segment, node);

        error = segment->is_touched ? io_file_sync_now(set->loop, segment->file) : 0;
        if (error != 0)
            return error;
        segment->is_touched = false;
    }
    error = io_dir_sync(set->loop, set->folder);
    if (error == 0)
        set->is_dir_touched = false;
    return error;
}

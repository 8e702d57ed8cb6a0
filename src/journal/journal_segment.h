/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment files of a journal: N.seg in its folder, N rising without gaps. Every call here
 * blocks shortly (files are made, cut and removed rarely: once in 64 MiB).
 */
#ifndef JOURNAL_JOURNAL_SEGMENT_H
#define JOURNAL_JOURNAL_SEGMENT_H

#include <limits.h>

#include "base/list.h"
#include "io/file.h"

struct journal_segment {
    struct list node;
    struct io_file *file;
    uint64_t number;
    uint64_t life;
    uint64_t end;    /* where the next record goes; the bytes of the segment */
    bool is_touched; /* written since its last sync */
};

struct segment_set {
    struct loop *loop;
    char folder[PATH_MAX];
    char stream[64];
    uint64_t life;   /* of segments made from now on */
    struct list all; /* oldest first */
    uint64_t number_last;
    uint64_t bytes;      /* sum of `end` */
    bool is_dir_touched; /* a segment was made since the last sync of the folder */
    bool is_sealed;      /* the last segment is of an earlier life: nothing is appended to it */
};

int segment_set_init(struct segment_set *set, struct loop *loop, const char *folder,
                     const char *stream, struct err *err);
void segment_set_fini(struct segment_set *set); /* closes the files */

void segment_path(const struct segment_set *set, uint64_t number, char *ret_path);
struct journal_segment *segment_last(const struct segment_set *set);  /* NULL: none */
struct journal_segment *segment_first(const struct segment_set *set); /* NULL: none */
struct journal_segment *segment_next(const struct segment_set *set,
                                     const struct journal_segment *segment);
/* Opens an existing one behind the last. Its life and end are the caller's to set. */
int segment_open(struct segment_set *set, uint64_t number, struct journal_segment **ret_segment,
                 struct err *err);
/* Makes the next one, with its header written (not synced). */
int segment_make(struct segment_set *set, struct journal_segment **ret_segment);
void segment_grow(struct segment_set *set, struct journal_segment *segment, uint64_t bytes);
/* Removes the file; order and durability are the caller's care. */
int segment_remove(struct segment_set *set, struct journal_segment *segment);
/* Removes every segment behind `number`, newest first, and cuts that one at `offset`. With
 * `is_ordered` each removal is durable before the next (commits in them must not come back out of
 * order); the cut itself is durable after segment_set_sync_now(). */
int segment_set_cut(struct segment_set *set, uint64_t number, uint64_t offset, bool is_ordered);
/* Syncs the touched files and the folder. */
int segment_set_sync_now(struct segment_set *set);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal knows in memory: its records, each epoch's extents, the newest view. Pure: no
 * I/O. Costs about 56 + 4 bytes a block for a record, 40 for an extent of its epoch, 46 for one of
 * the newest view.
 */
#ifndef JOURNAL_JOURNAL_INDEX_H
#define JOURNAL_JOURNAL_INDEX_H

#include "base/extent_map.h"
#include "base/list.h"
#include "journal/journal.h"

struct journal_segment;

struct index_record {
    struct index_record *next; /* of its epoch */
    struct index_epoch *epoch;
    struct journal_segment *segment;
    uint64_t offset; /* of the first block in the segment (DATA) */
    uint64_t sequence;
    uint64_t block, count;
    unsigned disk;
    bool is_hole;
    uint32_t crcs[]; /* DATA */
};

struct index_end { /* the place behind an epoch */
    uint64_t epoch, segment, offset;
};

struct index_epoch {
    struct journal_epoch info;
    uint64_t previous;                     /* epoch before it; 0: unknown */
    uint64_t segment_first, offset_first;  /* where its first record stands */
    uint64_t sequence_first, record_count; /* tables included */
    uint64_t segment_end, offset_end;      /* behind its commit records */
    struct index_record *records;
    struct extent_map *map; /* of a partial one: key -> record */
    struct extent *extents; /* of a closed one: at = key, tag = record, place = block of it */
    uint64_t extent_count;
    unsigned readers;
    bool is_released; /* freed with its last reader */
    struct list node; /* in `zombies` then */
};

struct journal_index {
    struct index_epoch **epochs; /* committed, unreleased, oldest first */
    unsigned epoch_count, epoch_room;
    struct extent_map *newest;
    struct list zombies;
};

int index_init(struct journal_index *index);
void index_fini(struct journal_index *index);

struct index_epoch *index_epoch_new(void);
void index_epoch_free(struct index_epoch *epoch); /* NULL is fine */
/* A record with room for its CRCs (`count` of them unless it is a hole), not yet in an epoch. */
struct index_record *index_record_new(unsigned disk, uint64_t block, uint64_t count, bool is_hole);
/* The newest record of the partial epoch: what older ones say of its blocks is forgotten. -ENOMEM:
 * nothing has changed, the record is still the caller's. */
int index_epoch_add(struct index_epoch *epoch, struct index_record *record);
/* Makes the extents (and block_count) out of the map; no record may follow. -ENOMEM. */
int index_epoch_close(struct index_epoch *epoch);
/* Extent `i` as the journal's users see it. */
void index_epoch_extent(const struct index_epoch *epoch, uint64_t i,
                        struct journal_extent *ret_extent);

/* Room for one more epoch: 0 or -ENOMEM. */
int index_reserve(struct journal_index *index);
/* A closed epoch becomes the newest; index_reserve() was called. Lack of memory for its view ends
 * the process: the epoch is durable. */
void index_commit(struct journal_index *index, struct index_epoch *epoch);
struct index_end index_epoch_end(const struct index_epoch *epoch);
struct index_epoch *index_find(const struct journal_index *index, uint64_t epoch);
struct index_epoch *index_newest(const struct journal_index *index); /* NULL: none */
void index_release(struct journal_index *index, uint64_t epoch);
/* Drops epochs > `epoch`; the newest view is made anew (what was superseded is in it again). */
void index_forget_after(struct journal_index *index, uint64_t epoch);
/* The oldest segment that some epoch still needs; UINT64_MAX: none. */
uint64_t index_segment_needed(const struct journal_index *index);

bool index_lookup(const struct journal_index *index, unsigned disk, uint64_t block, uint64_t count,
                  struct journal_extent *ret_extent);
bool index_next(const struct journal_index *index, unsigned disk, uint64_t block,
                uint64_t count_max, struct journal_extent *ret_extent);
void index_supersede(struct journal_index *index, unsigned disk, uint64_t block, uint64_t count);

void index_read_begin(const struct index_record *record);
/* True: that was the last reader of a released epoch, segments may go. */
bool index_read_end(struct index_epoch *epoch);
struct index_record *index_extent_record(const struct journal_extent *extent);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal knows in memory: its records, each epoch's extents, the newest view. Pure: no
 * I/O. Costs about 56 + 4 bytes a block for a record, 40 for an extent of its epoch, 46 for one of
 * the newest view.
 *
 * An epoch has millions of extents when hosts wrote all over a disk. What walks them goes in steps
 * of some of them: making the list of an epoch (index_epoch_close), showing it (index_show), and
 * all that follows a release, a forgetting and an abort (index_step).
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
    uint64_t listed_to; /* key up to which the list is made */
    uint64_t step;      /* extents that are listed, then shown, then hidden */
    unsigned readers;
    bool is_released; /* freed with its last reader */
    struct list node; /* in `leaving`, `zombies` or `dying` then */
};

struct journal_index {
    struct index_epoch **epochs; /* committed, unreleased, oldest first */
    unsigned epoch_count, epoch_room;
    uint64_t bytes; /* of these, as their commits say */
    struct extent_map *newest;
    struct extent_map *spare; /* NULL: memory was short */
    bool is_remaking;         /* the newest view, behind index_forget_after() */
    unsigned remade_count;    /* epochs that are in it */
    struct list leaving;      /* released, but still in the newest view; oldest first */
    struct list zombies;      /* out of it, but read */
    struct list dying;        /* to be freed */
    bool has_left;            /* an epoch left since index_take_left() */
};

int index_init(struct journal_index *index);
void index_fini(struct journal_index *index);

struct index_epoch *index_epoch_new(void);
void index_epoch_free(struct index_epoch *epoch); /* at once; NULL is fine */
/* The same in steps; nobody reads it, and it is not in the newest view. */
void index_epoch_drop(struct journal_index *index, struct index_epoch *epoch);
/* A record with room for its CRCs (`count` of them unless it is a hole), not yet in an epoch. */
struct index_record *index_record_new(unsigned disk, uint64_t block, uint64_t count, bool is_hole);
/* The newest record of the partial epoch: what older ones say of its blocks is forgotten. -ENOMEM:
 * nothing has changed, the record is still the caller's. */
int index_epoch_add(struct index_epoch *epoch, struct index_record *record);
/* Makes the extents (and block_count) out of the map, at most `max` of them; no record may follow.
 * 1: call it again; 0: done; -ENOMEM. */
int index_epoch_close(struct index_epoch *epoch, uint64_t max);
/* Extent `i` as the journal's users see it. */
void index_epoch_extent(const struct index_epoch *epoch, uint64_t i,
                        struct journal_extent *ret_extent);

/* Room for one more epoch: 0 or -ENOMEM. */
int index_reserve(struct journal_index *index);
/* Brings the next `max` extents of a closed epoch into the newest view; true: all are in it. Lack
 * of memory for it ends the process: the epoch is durable. */
bool index_show(struct journal_index *index, struct index_epoch *epoch, uint64_t max);
/* A closed epoch that is shown becomes the newest; index_reserve() was called. */
void index_commit(struct journal_index *index, struct index_epoch *epoch);
struct index_end index_epoch_end(const struct index_epoch *epoch);
struct index_epoch *index_find(const struct journal_index *index, uint64_t epoch);
struct index_epoch *index_newest(const struct journal_index *index); /* NULL: none */
/* Epochs <= `epoch` are not there any more, but stay in the newest view and keep their segments
 * until index_step() has taken them out: what they show is in the base too. */
void index_release(struct journal_index *index, uint64_t epoch);
/* Drops epochs > `epoch`; the newest view is made anew (what was superseded is in it again), by
 * index_step(): until then it says nothing of use. Nothing may be leaving. */
void index_forget_after(struct journal_index *index, uint64_t epoch);
/* Everything goes. */
void index_clear(struct journal_index *index);
/* Does a part of what is left to do, of `max` extents or records; true: there is more. */
bool index_step(struct journal_index *index, uint64_t max);
/* Is the newest view what the epochs say? What is left then is freeing only. */
bool index_is_settled(const struct journal_index *index);
/* Did epochs leave since this was asked? Their segments may go. */
bool index_take_left(struct journal_index *index);
/* The oldest segment that some epoch still needs; UINT64_MAX: none. */
uint64_t index_segment_needed(const struct journal_index *index);

bool index_lookup(const struct journal_index *index, unsigned disk, uint64_t block, uint64_t count,
                  struct journal_extent *ret_extent);
bool index_next(const struct journal_index *index, unsigned disk, uint64_t block,
                uint64_t count_max, struct journal_extent *ret_extent);
void index_supersede(struct journal_index *index, unsigned disk, uint64_t block, uint64_t count);

void index_read_begin(const struct index_record *record);
/* True: that was the last reader of a released epoch, segments may go. */
bool index_read_end(struct journal_index *index, struct index_epoch *epoch);
struct index_record *index_extent_record(const struct journal_extent *extent);

#endif

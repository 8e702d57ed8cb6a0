/* SPDX-License-Identifier: Apache-2.0 */
/* Records and segment headers of the journal <-> bytes; pure. Format: docs/journal.md. */
#ifndef JOURNAL_JOURNAL_RECORD_H
#define JOURNAL_JOURNAL_RECORD_H

#include "journal/journal.h"

enum {
    RECORD_ALIGN = 512, /* every record begins and ends at a multiple */
    RECORD_HEADER_BYTES = 128,
    RECORD_DATA_BLOCKS_MAX = 256,
    RECORD_TABLE_ENTRIES_MAX = 8192,
    RECORD_TABLE_ENTRY_BYTES = 40,
    RECORD_HEAD_BYTES_MAX = 336 * 1024, /* the longest head: a full extent table */
    SEGMENT_HEADER_BYTES = 4096,
    SEGMENT_STREAM_MAX = 64,
};

#define RECORD_BLOCK_MAX (1ull << 40) /* blocks of a disk: 4 PiB */

enum record_type { RECORD_DATA = 1, RECORD_HOLE, RECORD_TABLE, RECORD_COMMIT, RECORD_TYPE_COUNT };

struct journal_record { /* the header of a record */
    enum record_type type;
    uint64_t sequence;        /* rises by one from record to record of one partial epoch */
    uint64_t life;            /* of the segment: random, new whenever a journal is opened */
    uint64_t segment, offset; /* its own place */
    uint64_t partial;         /* number of the partial epoch that it belongs to, within the life */
    unsigned disk;            /* DATA, HOLE */
    uint64_t block, count;    /* DATA, HOLE: blocks; TABLE: count entries; COMMIT: count 1, block 1
                                 for the twin, else 0 */
};

struct journal_table_entry {
    unsigned disk;
    bool is_hole;
    uint64_t block, count;
    uint64_t sequence, start; /* of the record that holds it, and at which block of it */
};

struct journal_commit_record {
    struct journal_epoch epoch;
    uint64_t epoch_previous; /* 0: unknown */
    uint64_t sequence_first; /* of the epoch's first record (its own if there is none) */
    uint64_t record_count;   /* before the commit record: data, holes, tables */
    uint64_t extent_count;   /* entries of all its tables */
};

struct journal_segment_header {
    char stream[SEGMENT_STREAM_MAX];
    uint64_t number;
    uint64_t life;
};

/* The head is header and body, zeros up to a multiple of RECORD_ALIGN; behind it DATA has its
 * blocks. */
uint64_t journal_record_head_bytes(enum record_type type, uint64_t count);
uint64_t journal_record_bytes(enum record_type type, uint64_t count);

/* Each fills journal_record_head_bytes() of `head`. */
void journal_record_encode_data(const struct journal_record *record, const uint32_t *crcs,
                                uint8_t *head);
void journal_record_encode_hole(const struct journal_record *record, uint8_t *head);
void journal_record_encode_table(const struct journal_record *record,
                                 const struct journal_table_entry *entries, uint8_t *head);
void journal_record_encode_commit(const struct journal_record *record,
                                  const struct journal_commit_record *commit, uint8_t *head);

/* Reads a header from RECORD_ALIGN bytes: 0 or -EBADMSG. All values are bounded then, and the place
 * is as asked. The head is not checked yet. */
int journal_record_decode(const uint8_t *bytes, uint64_t segment, uint64_t offset,
                          struct journal_record *ret_record);
/* Checks the whole head behind the header (zeros included): 0 or -EBADMSG. */
int journal_record_check_head(const struct journal_record *record, const uint8_t *head);
/* Of a checked head. */
void journal_record_crcs(const struct journal_record *record, const uint8_t *head,
                         uint32_t *ret_crcs);
int journal_record_table_entry(const struct journal_record *record, const uint8_t *head,
                               uint64_t index, struct journal_table_entry *ret_entry);
void journal_record_commit(const struct journal_record *record, const uint8_t *head,
                           struct journal_commit_record *ret_commit);

/* SEGMENT_HEADER_BYTES. */
void journal_segment_header_encode(const struct journal_segment_header *header, uint8_t *bytes);
/* -EBADMSG: not whole, or of another number; -EPROTONOSUPPORT: whole, of an unknown version. */
int journal_segment_header_decode(const uint8_t *bytes, uint64_t number,
                                  struct journal_segment_header *ret_header);

#endif

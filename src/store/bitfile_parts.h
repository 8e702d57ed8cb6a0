/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct bitfile, for the units that open it and that save it. */
#ifndef STORE_BITFILE_PARTS_H
#define STORE_BITFILE_PARTS_H

#include <limits.h>

#include "store/bitfile.h"
#include "store/bitfile_format.h"

enum { BITFILE_MAGIC = 0x76626974, BITFILE_WRITES = 8 };

struct bitfile_page {
    uint64_t sequence; /* of the newest durable slot; 0: never saved */
    uint32_t set_count;
    uint8_t slot; /* which one that is */
    bool is_dirty;
    bool is_saving;   /* in the round that runs */
    bool is_doubtful; /* when it was read, a slot had no valid copy: torn, or rotten in both */
};

struct bitfile_write {
    struct io_op op;
    struct iovec iov;
    struct bitfile *file;
};

struct bitfile {
    uint32_t magic;
    struct loop *loop;
    struct io_file *file;
    char path[PATH_MAX];
    char kind[5];
    uint64_t bit_count, page_count;
    uint64_t *bits, *durable; /* BITFILE_PAGE_WORDS a page, little-endian */
    uint8_t *images;          /* BITFILE_PAGE_BYTES a page */
    struct bitfile_page *pages;
    uint64_t dirty_from, dirty_to; /* all dirty pages lie in [from, to) */
    struct list waiting, running;
    struct bitfile_write writes[BITFILE_WRITES];
    unsigned writes_active;
    uint64_t round_from, round_to; /* pages of the round: [from, to) */
    uint64_t round_next;           /* copies of them that are begun, from the first page's */
    int round_error;
    bool is_round;
    bool may_differ; /* in its number of bits from what was asked for, when it is opened */
    int fence;       /* the error that fenced the file, 0: none */
    struct loop_task task;
    struct io_op sync;
};

static inline uint64_t bitfile_page_bits(const struct bitfile *file, uint64_t page)
{
    uint64_t left = file->bit_count - page * BITFILE_PAGE_BITS;

    return left < BITFILE_PAGE_BITS ? left : BITFILE_PAGE_BITS;
}

static inline void bitfile_page_changed(struct bitfile *file, uint64_t page)
{
    file->pages[page].is_dirty = true;
    if (file->dirty_from == file->dirty_to) {
        file->dirty_from = page;
        file->dirty_to = page + 1;
    }
    if (page < file->dirty_from)
        file->dirty_from = page;
    if (page >= file->dirty_to)
        file->dirty_to = page + 1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A journal on the threads loop in a folder of its own, with calls that wait; for its tests. */
#ifndef TESTS_JOURNAL_BENCH_H
#define TESTS_JOURNAL_BENCH_H

#include "journal/journal.h"

struct journal_bench {
    struct loop *loop;
    struct journal *journal;
    char folder[200];
    struct journal_options options;
    struct err err;
};

void bench_begin(struct journal_bench *bench); /* makes loop and folder */
void bench_end(struct journal_bench *bench);   /* closes, removes */
int bench_open(struct journal_bench *bench);   /* the journal; the error */
void bench_close(struct journal_bench *bench);

/* The content of a block that says which it is. */
void bench_fill(uint8_t *bytes, uint64_t stamp, uint64_t count);
int bench_append(struct journal_bench *bench, unsigned disk, uint64_t block, uint64_t count,
                 uint64_t stamp);
/* One block whose CRC is wrong. */
int bench_append_rotten(struct journal_bench *bench, unsigned disk, uint64_t block);
int bench_hole(struct journal_bench *bench, unsigned disk, uint64_t block, uint64_t count);
/* Releases, and takes all steps that follow. */
void bench_release(struct journal_bench *bench, uint64_t epoch);
void bench_forget_after(struct journal_bench *bench, uint64_t epoch);
int bench_commit(struct journal_bench *bench, uint64_t epoch);
int bench_abort(struct journal_bench *bench);
int bench_read(struct journal_bench *bench, const struct journal_extent *extent, uint8_t *bytes);

/* Whole files of the folder. */
uint8_t *bench_load(struct journal_bench *bench, unsigned segment, size_t *ret_length);
void bench_store(struct journal_bench *bench, unsigned segment, const uint8_t *bytes,
                 size_t length);
void bench_remove(struct journal_bench *bench, unsigned segment);

#endif

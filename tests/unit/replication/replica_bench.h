/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's receiving side on the threads loop in a folder of its own, with calls that wait. */
#ifndef TESTS_REPLICA_BENCH_H
#define TESTS_REPLICA_BENCH_H

#include "replication/replica.h"
#include "volume/volume.h"

enum { BENCH_DISKS = 2, BENCH_BLOCKS = 512 };

struct replica_bench {
    struct loop *loop;
    struct replica *replica;
    struct state_file *file;
    struct stream_state *state;
    struct volume *volumes[BENCH_DISKS];
    char folder[200];
    uint64_t journal_bytes_max, retain_ns, retain_bytes;
    unsigned changes;
    struct err err;
    struct loop_timer timer;
    int result;
};

void replica_bench_begin(struct replica_bench *bench, bool is_initial); /* a new target, open */
void replica_bench_end(struct replica_bench *bench);                    /* closes, removes */
int replica_bench_open(struct replica_bench *bench);
void replica_bench_close(struct replica_bench *bench);
/* What a kill would leave at this very moment becomes the folder of `ret_other`; with `power`, as
 * if the kernel had been started anew (nothing unsynced is lost, but volatile memory counts no
 * more). Not open yet. */
void replica_bench_image(struct replica_bench *bench, bool power, struct replica_bench *ret_other);

/* Stamp 0: zeros. */
int replica_bench_data(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t count,
                       uint64_t stamp);
/* One block whose checksum is wrong. */
int replica_bench_rotten(struct replica_bench *bench, unsigned disk, uint64_t block);
int replica_bench_hole(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t count);
/* A hole and, before it has ended, one block of data. */
int replica_bench_hole_and_data(struct replica_bench *bench, uint64_t hole_count, uint64_t block,
                                uint64_t stamp);
int replica_bench_commit(struct replica_bench *bench, uint64_t epoch);
int replica_bench_abort(struct replica_bench *bench);
int replica_bench_promote(struct replica_bench *bench, uint64_t point,
                          void (*differs_cb)(void *arg, unsigned disk, uint64_t block,
                                             uint64_t count),
                          void *arg);
int replica_bench_save(struct replica_bench *bench);

/* As a host, one block. */
uint64_t replica_bench_read(struct replica_bench *bench, unsigned disk, uint64_t block);
int replica_bench_write(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t stamp);
int replica_bench_flush(struct replica_bench *bench, unsigned disk);
/* What the base's file holds, past every view. */
uint64_t replica_bench_base(struct replica_bench *bench, unsigned disk, uint64_t block);

/* Runs the loop until the condition holds; fails after five seconds. */
bool replica_bench_until(struct replica_bench *bench, bool (*cond)(struct replica_bench *bench));

#endif

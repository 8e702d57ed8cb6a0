/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two engines in one process on one real loop, without TLS, in temporary folders: paris listens,
 * lyon dials. Each has DISKS small disks in one stream. Waiting is for conditions, with a limit
 * that only a failure reaches.
 */
#ifndef TESTS_PAIR_LAB_H
#define TESTS_PAIR_LAB_H

#include "replication/engine.h"

enum { PARIS, LYON, SITES, DISKS = 2, DISK_BLOCKS = 3000 };

struct pair_site {
    struct pair_lab *lab;
    const char *name;
    char folder[200], listen[240];
    struct engine *engine;
    bool is_closed[DISKS];                     /* told to close the export, not to open it since */
    void (*opened_cb)(struct pair_site *site); /* NULL, or: a disk may be written from now on */
    unsigned changes;
    uint64_t grown_bytes; /* of the disk that has grown last, as told */
    char found[600];      /* what the last start found, or as before */
};

struct pair_lab {
    struct loop *loop;
    struct pair_site sites[SITES];
    char folder[160];
    enum stream_role roles[SITES]; /* at creation */
    bool is_forgetful;             /* sites that start know no stream, as old records */
    struct engine_settings settings;
    struct pieces pieces;
};

void pair_lab_open(struct pair_lab *lab);
/* The same in two steps: settings may be changed between them. */
void pair_lab_prepare(struct pair_lab *lab);
void pair_lab_start(struct pair_lab *lab);
void pair_lab_close(struct pair_lab *lab);
/* `create`: disks and stream are new. */
void pair_site_start(struct pair_lab *lab, unsigned site, bool create);
/* Makes the stream anew after pair_remove(); its disks hold a copy already. */
void pair_seed(struct pair_lab *lab, unsigned site);
void pair_site_stop(struct pair_lab *lab, unsigned site); /* cleanly */
/* Leaves the files as they are at this moment: what kill -9 does. */
void pair_site_kill(struct pair_lab *lab, unsigned site);

/* Anew, at both sites, over disks that are open. */
void pair_stream_create(struct pair_lab *lab);

/* Runs the loop until the condition holds. */
void pair_wait(struct pair_lab *lab, bool (*is_so)(struct pair_lab *lab, void *arg), void *arg);
void pair_run_ms(struct pair_lab *lab, unsigned ms);

struct engine_stream_status pair_status(struct pair_lab *lab, unsigned site);
/* Seeds from here on make content that does not compress. */
enum { PAIR_NOISE = 1000 };
/* Fills blocks with `seed`, as a host; the disk must be writable there. */
void pair_write(struct pair_lab *lab, unsigned site, unsigned disk, unsigned block, unsigned count,
                unsigned seed);
void pair_read(struct pair_lab *lab, unsigned site, unsigned disk, uint8_t *ret_bytes);
void pair_read_snapshot(struct pair_lab *lab, unsigned site, unsigned disk, uint8_t *ret_bytes);
bool pair_is_equal(struct pair_lab *lab);
/* Waits until everything is acknowledged, then asserts that both sites read the same. */
void pair_settle(struct pair_lab *lab, unsigned source);

/* Each runs the loop until done and returns its error. */
int pair_start(struct pair_lab *lab, unsigned site, bool one_shot);
int pair_stop(struct pair_lab *lab, unsigned site);
int pair_failover(struct pair_lab *lab, unsigned site); /* to the newest point */
int pair_failover_to(struct pair_lab *lab, unsigned site, uint64_t point);
int pair_reprotect(struct pair_lab *lab, unsigned site, bool reverse);
/* The same once the asked site has heard its peer: after a restart or a cut either end may be up
 * first, and what the other one shows does not tell. */
int pair_reprotect_met(struct pair_lab *lab, unsigned site, bool reverse);
int pair_remove(struct pair_lab *lab, unsigned site);
int pair_grow(struct pair_lab *lab, unsigned site, unsigned disk, uint64_t blocks);
/* As the site's volume says; and such a disk as a host reads it, to be freed. */
uint64_t pair_blocks(struct pair_lab *lab, unsigned site, unsigned disk);
uint8_t *pair_read_all(struct pair_lab *lab, unsigned site, unsigned disk);
void pair_begin_remove(struct pair_lab *lab, unsigned site);                /* and does not wait */
int pair_remove_journal(struct pair_lab *lab, unsigned site, bool give_up); /* without it */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Images: what all watched places of a site show, read through its engine. */
#ifndef SIM_IMAGE_H
#define SIM_IMAGE_H

#include "replication/engine.h"
#include "sim_judge.h"

struct node;

/* What its user wants to know again when it is read. */
struct image_note {
    uint64_t epoch, cut_ns;
    enum stream_role role;
    struct generation generation;
};

/* Reads every span of the universe through a volume or a snapshot. */
struct image {
    struct node *node;
    const struct judge_universe *universe;
    unsigned life, pending;
    bool is_bad;     /* an error, or torn */
    bool is_dropped; /* nobody waits for it any more */
    int error;
    char why[JUDGE_WHY_SIZE];
    uint64_t *values; /* universe->sector_count; sectors not read stay 0 */
    void (*done_cb)(struct image *image);
    struct image_note note;
    void *arg; /* the user's */
    struct image_part *parts;
    struct image *next; /* of node->images */
};

/* The image frees itself after done_cb, which may run inside these. */
void image_read(struct node *node, const struct judge_universe *universe, struct image_note note,
                void (*done_cb)(struct image *image), void *arg);
void image_read_snapshot(struct node *node, unsigned disk, const char *id,
                         void (*done_cb)(struct image *image), void *arg);
/* The site died: done_cb of all, with is_bad. */
void images_drop(struct node *node);

#endif

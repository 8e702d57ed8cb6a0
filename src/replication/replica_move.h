/* SPDX-License-Identifier: Apache-2.0 */
/* Block ranges from the journal to the base, and syncs of the bases: what apply and drain share. */
#ifndef REPLICATION_REPLICA_MOVE_H
#define REPLICATION_REPLICA_MOVE_H

#include "replication/replica_parts.h"

/* Blocks of one move: data by REPLICA_BLOCKS, holes by more. */
uint64_t replica_move_max(const struct replica *replica, const struct journal_extent *extent);
/* A mover that is free; NULL: all are busy. */
struct replica_mover *replica_mover_free(struct replica *replica);
/* Reads the extent (checked by its CRCs) and writes it to the base. `locked_cb` as that of a
 * base_write, or NULL. The work task is kicked after done_cb. */
void replica_mover_start(struct replica_mover *mover, const struct journal_extent *extent,
                         bool (*locked_cb)(struct replica_mover *mover),
                         void (*done_cb)(struct replica_mover *mover, int error));
/* Syncs every touched base; replica->syncing counts them down, work_error gets the first error. */
void replica_sync_bases(struct replica *replica);
/* Saves the state; replica->is_saving until then, work_error. */
void replica_save_state(struct replica *replica);
/* The work under way failed: says why, tries again after a while. */
void replica_fail_work(struct replica *replica, const char *what);

#endif

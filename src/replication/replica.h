/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replica: the receiving side of one stream. It owns the journal and, for each disk, the
 * overlay over its volume (from the start: the volume of a target always reads base + journal),
 * applies old epochs to the base (R12), is promoted (R13), and drains the journal into the base
 * behind the host's back (R10). It knows nothing of links, generations or hosts: the stream tells
 * it what came and what was decided.
 */
#ifndef REPLICATION_REPLICA_H
#define REPLICATION_REPLICA_H

#include "journal/journal.h"
#include "replication/pieces.h"
#include "replication/state_file.h"
#include "replication/stream_state.h"
#include "volume/base_write.h"

struct replica;

struct replica_options {
    const char *stream;
    const char *folder;       /* DATA/streams/<id> */
    struct state_file *state; /* the stream's */
    struct volume **volumes;  /* state->disk_count of them, copied */
    uint64_t journal_bytes_max;
    uint64_t retain_ns, retain_bytes;
    const struct pieces *pieces; /* NULL: the usual ones */
    /* Points, space or drain state changed (for status and for a sender that waits). */
    void (*changed_cb)(void *arg);
    void *arg;
};

/* Opens and recovers journal, superseded bitmaps (R10) and kill-safe memory; sets the overlays;
 * role TARGET: apply runs; role PROMOTED: the drain runs. Also used by a source that still drains.
 * Blocks. */
int replica_open(struct loop *loop, const struct replica_options *options,
                 struct replica **ret_replica, struct err *err);
/* Ends background work, then closed_cb; then it is freed. Overlays are taken away. */
void replica_close(struct replica *replica, void (*closed_cb)(void *arg), void *arg);

struct replica_op {
    void (*done_cb)(struct replica_op *op, int error);
    struct list node;
    struct replica *replica;
    struct journal_op journal_op;
    struct base_write base_write;
    uint64_t private[16];
};

/* Data of the partial epoch, as received: `count` <= 256 blocks with their CRCs, checked. Goes to
 * the journal, or straight to the base for a disk whose first copy is not done. -ENOSPC: the
 * journal is full: replica_needed_bytes() says what it would take; or that base's store is:
 * replica_full_disk(). After any error the partial
 * epoch can only be aborted: replica_commit() refuses it. `bytes`, `crcs` stay until done. */
void replica_data(struct replica *replica, struct replica_op *op, unsigned disk, uint64_t block,
                  uint64_t count, const uint8_t *bytes, const uint32_t *crcs,
                  void (*done_cb)(struct replica_op *op, int error));
void replica_hole(struct replica *replica, struct replica_op *op, unsigned disk, uint64_t block,
                  uint64_t count, void (*done_cb)(struct replica_op *op, int error));
/* All data ended. Bases of first copies are synced, then the journal commits; is_initial and
 * has_point become durable in the state before done_cb. */
void replica_commit(struct replica *replica, struct replica_op *op,
                    const struct journal_epoch *epoch,
                    void (*done_cb)(struct replica_op *op, int error));
/* Drops the partial epoch (R9): at the end of a connection, at the source's ABORT, before a
 * promotion. */
void replica_abort(struct replica *replica, struct replica_op *op,
                   void (*done_cb)(struct replica_op *op, int error));

/* Newest committed epoch (0: none) and the wall time of its cut. */
uint64_t replica_epoch(const struct replica *replica, uint64_t *ret_cut_wall_ns);
uint64_t replica_journal_bytes(const struct replica *replica);
uint64_t replica_needed_bytes(const struct replica *replica); /* in the journal; 0: not blocked */
/* The name of the volume whose store had no room for data of its first copy; NULL: none. It is
 * tried again by itself, some seconds later. */
const char *replica_full_disk(const struct replica *replica);
/* What keeps apply or drain from going on, for a person; "" when well. It is tried again by itself.
 */
const char *replica_trouble(const struct replica *replica);

/* R13, the replica's half, called with no partial epoch: stops apply, discards epochs after `point`
 * and reports their blocks as differing (differs_cb, before done). The caller then saves role,
 * generation and point in the state, in the order of README.md, and calls replica_drain(). Volumes
 * may be written from done_cb on. -ENODATA: no such point. When the caller gives the promotion up,
 * a replica whose point was not the newest refuses data (-ESHUTDOWN) until it is opened again. */
void replica_promote(struct replica *replica, struct replica_op *op, uint64_t point,
                     void (*differs_cb)(void *arg, unsigned disk, uint64_t block, uint64_t count),
                     void *arg, void (*done_cb)(struct replica_op *op, int error));
/* Starts (or goes on with) the drain; changed_cb when is_drained became durable. Also used to bring
 * the journal of a target into the base before the stream ends (retention is ignored then). */
void replica_drain(struct replica *replica);
bool replica_is_drained(const struct replica *replica);
/* After a reprotect: nothing in the journal or the superseded maps counts any more. Drained before.
 */
int replica_reset(struct replica *replica, struct err *err);

#endif

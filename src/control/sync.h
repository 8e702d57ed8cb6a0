/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two sites' records of pairs and groups are kept alike: what changed here is pushed to the
 * peer, everything is pushed again when the peer comes back, and of two versions the one with the
 * higher (term, version) stands; when both changed it while apart, production's. A deleted record
 * leaves a tombstone, so that it stays deleted.
 */
#ifndef CONTROL_SYNC_H
#define CONTROL_SYNC_H

#include "control/peer.h"
#include "control/relation.h"

/* Of users, keys and policies as well: roster.h. */
void sync_init(struct site *site);
void sync_fini(struct site *site);
void sync_stop(struct site *site);

/* After the commit: this record (or its tombstone) changed here. */
void sync_mark(struct site *site, const char *id);
/* The peer is there (again): everything that concerns it is pushed. */
void sync_peer_up(struct site *site, const char *peer);

/* Are the peers there, and have they been told all that changed here? */
bool sync_is_told(const struct site *site);

enum sync_verdict {
    SYNC_TAKEN,   /* theirs was newer, or new to us */
    SYNC_SAME,    /* equal */
    SYNC_OLDER,   /* ours is newer; it is pushed */
    SYNC_DELETED, /* was deleted here */
    SYNC_UNKNOWN, /* theirs never came to life: its creation did not end */
    SYNC_WAIT,    /* cannot be taken yet (its group, or a disk, is not there) */
    SYNC_GOING,   /* ours is being deleted; its end is told */
    SYNC_REFUSED, /* malformed, or none of that peer's business */
};

/* Reads and checks {"kind":"pair","record":{...}}: well-formed, and between us and that peer. */
bool sync_parse(struct site *site, const char *peer, const json_t *tree,
                struct relation *ret_relation);
/* Is what counts up in it as far as it can have come since ours (NULL: there is none here)? If not,
 * the log says so. */
bool sync_is_in_reach(struct site *site, const char *peer, const struct replica_record *theirs,
                      const struct replica_record *ours);
/* Takes over a peer's record ({"kind":"pair","record":{...}}) if it is newer. */
enum sync_verdict sync_adopt(struct site *site, const char *peer, const json_t *tree);
/* {"kind":..., "record":...} of a pair or group here; NULL: there is none. */
json_t *sync_record_tree(struct site *site, const char *id);

/* Services for the table of peer_receive(). */
void sync_serve_put(struct peer_answer *answer);
void sync_serve_delete(struct peer_answer *answer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replication needs of a volume at the source (and of a promoted one): which blocks changed.
 *
 * Sets of a tracked volume, all over 4 KiB blocks:
 *   open     changed in the open epoch, or not yet known to be at the target
 *   frozen   changed in the closed epoch, still to ship
 *   stash    frozen blocks whose content was copied away before a write reached them (R4)
 *   unacked  shipped, not yet acknowledged (R7)
 *   suspect  perhaps different after an unclean stop: to be compared by hash before shipping
 *   settled  a first copy's: the target holds it, in its present life, not durably (R17)
 *
 * Invariant (I10): a block that may differ from the target's newest acknowledged epoch is in one of
 * them, or held by a write under way. An intent bit (4 MiB) is set durably while any of its
 * blocks is in a set, under a write, or written since the last sync of the store (R3).
 */
#ifndef VOLUME_TRACKING_H
#define VOLUME_TRACKING_H

#include "volume/request.h"
#include "volume/tracking_options.h"

/* Begins tracking; all sets empty but `suspect`, which gets every block of the regions whose intent
 * bit is set. Requests of hosts must not be under way (hold them). -ENOMEM. */
int tracking_start(struct volume *volume, const struct tracking_options *options);
/* Forgets the sets (the intent file stays as it is). Nothing may be under way: the volume is held
 * and quiet, or volume_is_idle(). */
void tracking_stop(struct volume *volume);
bool tracking_is_on(const struct volume *volume);

/* Read-only; for counts, saving at a clean stop, and the exchange at a reprotect. */
const struct blockset *tracking_set(const struct volume *volume, enum tracking_set which);

/* Adds to open or suspect; the intent bits are set too and made durable by `save`, whose done_cb
 * must be awaited before the marks may be relied on. -ENOMEM: a superset is marked, try again. */
int tracking_mark(struct volume *volume, enum tracking_set which, uint64_t block, uint64_t count);
void tracking_save_intent(struct volume *volume, struct bitfile_save *save,
                          void (*done_cb)(struct bitfile_save *save, int error));
/* Blocks proven equal by the target's verdict, or about to be shipped: out of `suspect`. -ENOMEM:
 * they stay there; never when it is the whole disk. */
int tracking_clear_suspect(struct volume *volume, uint64_t block, uint64_t count);
/* Suspects that the target holds, but not durably yet (its first copy): to `into`, which is unacked
 * or settled. */
int tracking_suspect_equals(struct volume *volume, enum tracking_set into, uint64_t block,
                            uint64_t count);
/* Settled becomes suspect: the target may have another life. -ENOMEM: all stays settled. */
int tracking_unsettle(struct volume *volume);
/* Unacked becomes suspect: a target whose first copy was cut short keeps what it got, without a
 * promise. Before tracking_merge(). -ENOMEM: they stay unacked. */
int tracking_doubt(struct volume *volume);
/* Open becomes suspect: the target has a copy, and nobody knows how new it is. -ENOMEM: all stays
 * open. */
int tracking_doubt_open(struct volume *volume);
/* Suspects that differ: to open. */
int tracking_suspect_differs(struct volume *volume, uint64_t block, uint64_t count);

/* A larger disk, in two steps. Both block; the volume is held and quiet until the second one.
 * tracking_widen(): sets and intent log have room for `size_bytes`, and the intent bits of the
 * blocks to come are set; tracking_save_intent() makes them durable. An error leaves at most unused
 * room. tracking_grow(): the store has that size, durably, and all its new blocks are open. */
int tracking_widen(struct volume *volume, uint64_t size_bytes, struct err *err);
int tracking_grow(struct volume *volume, uint64_t size_bytes, struct err *err);

/* R8: open becomes frozen. Call it on all volumes of the stream within one callback. The frozen and
 * unacked sets and the stash must be empty but for blocks pre-copied since the last ack, which stay
 * in unacked. Never fails. */
void tracking_cut(struct volume *volume);
/* Link lost or epoch aborted: open |= frozen | stash | unacked, those become empty (R7). */
void tracking_merge(struct volume *volume);
/* The target acknowledged all that was shipped: unacked and settled become empty; intent bits may
 * go (R3), lazily, behind a sync of the store that this starts itself when none came from a host.
 */
void tracking_acked(struct volume *volume);

/* One read for shipping. Embedded in the sender; one at a time. */
struct ship {
    /* `error` 0: `bytes` holds `count` blocks as they stood under the shared range lock. -ENOENT:
     * the set had no block. Another error: the blocks are back in the set they came from. */
    void (*done_cb)(struct ship *ship, int error);
    uint64_t block, count; /* what was taken */
    uint8_t *bytes;        /* the caller's, room for count_max blocks */
    bool is_hole;          /* nothing but zeros, and a hole in the store: bytes are not filled */
    /* The volume's: */
    struct volume *volume;
    struct store_op store_op;
    uint64_t private[136];
};

/* Finds the first run at or after `from` (at most count_max blocks; a run of holes may be longer;
 * wraps around at the end of the volume) of `which` (OPEN for pre-copy, FROZEN, or SUSPECT), waits
 * for the writes that overlap it (R6), and only then, the shared lock held, moves what is still in
 * the set to unacked and reads it through the overlay: a write that came first has put its frozen
 * blocks into the stash, and those must not be read here any more. SUSPECT blocks are only read and
 * stay in their set. */
void tracking_ship(struct volume *volume, struct ship *ship, enum tracking_set which, uint64_t from,
                   uint64_t count_max, void (*done_cb)(struct ship *ship, int error));

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the source of a stream does next: compare, pre-copy, cut, ship, close, abort. Pure: no I/O,
 * clock, log, allocation; time and the sizes of the sets come in with each event, what is to be
 * done goes out as a short list. source_shell.c acts.
 *
 * Invariants:
 *   1. At most one epoch is cut and not acknowledged.
 *   2. Nothing of the open set is read while a cut is open, and no cut falls while such a read is
 *      under way: else content written after the cut would travel with the epoch.
 *   3. No cut while suspects are left: a point is complete only when all that may differ is known.
 *   4. Nothing is compared, shipped or cut before what is settled is known to be so still (R17).
 *   5. Sets are cleared (CLEAR) only by an ACK that names the epoch that was sent.
 */
#ifndef REPLICATION_SOURCE_CORE_H
#define REPLICATION_SOURCE_CORE_H

#include <stdbool.h>
#include <stdint.h>

enum source_phase {
    SOURCE_OPEN,     /* no cut: comparing, pre-copying, or waiting for the interval */
    SOURCE_CUT_OPEN, /* frozen and stash are being shipped */
    SOURCE_CUT_SENT  /* the target is to acknowledge */
};

struct source_policy {
    uint64_t interval_ns;
    uint64_t small_blocks;   /* what is left fits the stash's memory: cut now */
    uint64_t stashed_blocks; /* all that the stash can ever hold */
    uint64_t retry_ns;       /* rest after a failed read */
};

struct source_core {
    struct source_policy policy;
    enum source_phase phase;
    bool is_started, is_one_shot, is_connected, is_blocked;
    bool needs_epoch;    /* an epoch is due though nothing is dirty: the target has no point */
    bool has_overflowed; /* the stash was full since the last acknowledgement */
    bool is_copying;     /* ahead of the cut, in rounds */
    bool is_forced;      /* the dirt does not shrink: cut all the same */
    uint64_t epoch;      /* newest number used */
    uint64_t cut_wall_ns, cut_ns; /* of that epoch, by both clocks */
    uint64_t due_ns;              /* no cut before */
    uint64_t current_ns;          /* no heartbeat before */
    uint64_t rest_until_ns;
    uint64_t round_ns, round_open, round_shipped; /* of the pre-copy: is the dirt shrinking? */
};

enum source_event_kind {
    SOURCE_EVENT_POLL, /* a read ended, room on the link, the timer, something got dirty */
    SOURCE_EVENT_START,
    SOURCE_EVENT_STOP,
    SOURCE_EVENT_CONNECTED, /* epoch: the target's newest; has_point: it has one */
    SOURCE_EVENT_DISCONNECTED,
    SOURCE_EVENT_ACK, /* epoch; the shell checked the generation */
    SOURCE_EVENT_STASH_FULL,
    SOURCE_EVENT_BLOCKED,
    SOURCE_EVENT_RESUME,
    SOURCE_EVENT_READ_FAILED
};

/* The state of the world at the event. Counts are blocks, over all disks of the stream. */
struct source_facts {
    uint64_t now_ns, wall_ns;
    uint64_t open, frozen, stashed, unacked, suspect, settled;
    uint64_t shipped;   /* ever; never goes back */
    unsigned compares;  /* fingerprints asked and not answered, reads for them included */
    unsigned precopies; /* reads of the open set under way */
    unsigned ships;     /* reads of the frozen set or the stash under way */
    unsigned unsent;    /* read, waiting for the link */
    unsigned slots;     /* free ones: so many reads may begin */
    bool is_unmet;      /* what is settled may be another life's: the target has not said yet */
};

struct source_event {
    enum source_event_kind kind;
    uint64_t epoch;
    bool has_point, is_one_shot;
    struct source_facts facts;
};

enum source_action_kind {
    SOURCE_ACTION_COMPARE,  /* begin so many reads of suspects */
    SOURCE_ACTION_PRECOPY,  /* begin so many reads of the open set */
    SOURCE_ACTION_SHIP,     /* begin so many reads of the stash or the frozen set */
    SOURCE_ACTION_CUT,      /* R8, now, on all disks; then step again */
    SOURCE_ACTION_CLOSE,    /* send CUT for core->epoch */
    SOURCE_ACTION_MERGE,    /* R7, on all disks */
    SOURCE_ACTION_ABORT,    /* tell the target to drop the partial epoch */
    SOURCE_ACTION_CLEAR,    /* acknowledged: unacked becomes empty */
    SOURCE_ACTION_CURRENT,  /* tell the target: nothing newer than facts.wall_ns */
    SOURCE_ACTION_FINISHED, /* one shot: the first epoch is acknowledged; it is stopped now */
    SOURCE_ACTION_TIMER     /* poll at `value` */
};

struct source_action {
    enum source_action_kind kind;
    uint64_t value;
};

enum { SOURCE_ACTIONS_MAX = 6 };

struct source_actions {
    unsigned count;
    struct source_action list[SOURCE_ACTIONS_MAX];
};

/* Is this the epoch whose acknowledgement is owed? */
bool source_core_awaits_ack(const struct source_core *core, uint64_t epoch);

void source_core_init(struct source_core *core, const struct source_policy *policy);
void source_core_step(struct source_core *core, const struct source_event *event,
                      struct source_actions *ret_actions);

#endif

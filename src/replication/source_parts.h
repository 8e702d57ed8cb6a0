/* SPDX-License-Identifier: Apache-2.0 */
/* What the units behind source.h share: source_shell.c (events and actions), source_read.c (slots
 * and reads), source_send.c (what goes out, and when), source_settled.c (R17). */
#ifndef REPLICATION_SOURCE_PARTS_H
#define REPLICATION_SOURCE_PARTS_H

#include "replication/source.h"
#include "replication/source_core.h"
#include "wire/payload.h"
#include "wire/stream_message.h"

enum {
    SOURCE_MAGIC = 0x73726365,
    SLOT_COUNT = 8,
    SLOT_BLOCKS = STREAM_MESSAGE_BLOCKS_MAX, /* the most; source->read_blocks: as it is asked for */
};

#define RETRY_NS (2 * UINT64_C(1000000000))
#define SECOND_NS UINT64_C(1000000000)

enum slot_state { SLOT_FREE, SLOT_READING, SLOT_ASKED, SLOT_UNSENT };

enum slot_work { SLOT_COMPARE, SLOT_PRECOPY, SLOT_SHIP };

struct slot {
    struct source *source;
    enum slot_state state;
    enum slot_work work;
    unsigned volume;
    uint64_t token; /* asked */
    uint64_t block, count;
    uint64_t sent;        /* of an unsent slot: so many of its blocks are out */
    uint64_t merge_count; /* of the source when a stashed block was taken */
    uint64_t shipped;     /* asked: of the source when the question left */
    bool is_hole;
    bool is_reading;  /* an operation below is under way; may be true in no other state than READING
                       */
    struct list node; /* unsent */
    struct ship ship;
    struct stash_op stash_op;
    uint8_t *bytes;
    uint32_t crcs[SLOT_BLOCKS];
};

/* More questions without an answer than this, and all is compared again. */
enum { WHO_COUNT = 8 };

/* Of the target (R17). Counts are of our shipped_blocks. */
struct source_peer_life {
    bool is_unsent;           /* WHO waits for the link */
    bool is_known;            /* LIFE came on this connection */
    uint64_t life;            /* 0: never told */
    uint64_t whos[WHO_COUNT]; /* tokens: the newest one's, then those that it may have met last */
    uint64_t asked;           /* when that left */
    uint64_t lost;            /* never came: by the newest LIFE */
    uint64_t sure;            /* came, at least: before the newest question that was answered */
};

struct source {
    uint32_t magic;
    struct loop *loop;
    struct link *link; /* NULL: not connected */
    char stream[40];
    struct volume **volumes;
    unsigned volume_count;
    struct stash *stash;
    struct source_callbacks callbacks;
    struct source_core core;
    struct generation generation;
    struct slot slots[SLOT_COUNT];
    struct list unsent;
    bool abort_unsent, cut_unsent;
    uint64_t read_blocks;
    unsigned volume_turn;
    bool *is_initial;        /* a volume: the target's first copy of it is not done */
    uint64_t *cursors;       /* a volume: where the next read begins */
    uint64_t compare_cursor; /* of volume compare_volume */
    unsigned compare_volume;
    uint64_t token_next, merge_count;
    struct source_peer_life peer;
    uint64_t numbered_epoch;      /* durable (R16) */
    uint64_t digest, block_count; /* of the partial epoch, as sent */
    uint64_t shipped_blocks, shipped_bytes, current_wall_ns, current_ns;
    uint64_t bandwidth_bytes, credit_ns;
    int64_t credit_bytes; /* below 0: the last frame was more than there was */
    bool is_tight;        /* the link or the limit made us wait in this epoch: compress */
    struct payload_codec *codec;
    struct payload_gauge gauge;
    uint8_t *packed;
    struct loop_task poll;
    struct loop_timer timer, credit_timer;
    void (*idle_cb)(void *arg);
    void *idle_arg;
};

/* Decide anew, later in this turn. */
void source_poll_soon(struct source *source);
void source_step(struct source *source, struct source_event event);
bool source_may_send(const struct source *source);
void source_free_slot(struct slot *slot);

/* source_send.c */
void source_flush(struct source *source);
/* A partial epoch begins at the target: after a handshake, an ABORT or a CUT. */
void source_begin_partial(struct source *source);

/* source_read.c: begin as many reads as there are free slots. */
void source_begin_compares(struct source *source);
void source_begin_ships(struct source *source, enum slot_work work);

/* source_settled.c */
void source_meet_life(struct source *source); /* a connection begins */
/* True: WHO is out, or none is owed. Behind the connection's first ABORT. */
bool source_send_who(struct source *source);
bool source_take_life(struct source *source, const struct link_frame_in *frame, struct err *why);
/* The target holds this block of a first copy: where it goes. */
int source_settle_block(struct source *source, const struct slot *slot, uint64_t block);
void source_unsettle(struct source *source);
uint64_t source_settled_count(const struct source *source);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sites meet, part, fail over, fence, reprotect, crash, and are put back from old copies:
 * the handshake of generations, for the model checker Spin. `make model` runs it (tools/model).
 *
 * What is modelled, and where it stands in the code (src/replication/):
 *
 *   roles, lines, what a meeting decides   generation.c: the table itself is taken out of that file
 *                                          by tools/model, so the two cannot differ
 *   HELLO, fencing, memory of the peer     meeting.c
 *   promotion                              failover.c
 *   the exchange of a reprotect            reprotect.c
 *   epochs and acknowledgements            source_core.c, target.c, with a disk of one block
 *   the intent bit and its sweep           ../volume/intent_log.c
 *
 * A disk has one block; each write has a number of its own. `past` is the set of writes that a
 * content descends from. Connections have numbers; frames of an old one may arrive late. Saves take
 * time: a crash in between leaves the old state or the new one.
 *
 * Properties, each an assertion or the rest state:
 *
 *   M1 (I8)       a generation has one writer ever; a target, a fenced site, a closed one never writes;
 *                 nor does a source that starts again while its peer is promoted, unless forced
 *   M2 (I9, R15)  content that is overwritten by replication is an ancestor of what comes, or was kept
 *   M3 (I10, I11) a source that says "in sync" holds what its target holds
 *   M4 (I14)      terms and generations of a site never go back, but by an old copy that was put back;
 *                 with one, M2 and M3 hold all the same: it is recognised, and nothing is shipped
 *   M5            frames of an old connection or another generation change nothing
 *   M6            nothing hangs: at rest with the link up both sites are source and target in sync, or
 *                 wait for an operator in a pair of roles that one can get out of, or refuse old copies
 *   M7            a planned move loses nothing
 */
#include "handshake_table.h"

#ifndef WRITES
#define WRITES 3 /* host writes in all */
#endif
#ifndef CUTS
#define CUTS 1 /* losses of the link */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef FAILOVERS
#define FAILOVERS 2
#endif
#ifndef REPROTECTS
#define REPROTECTS 2
#endif
#ifndef RESTORES
#define RESTORES 0 /* old copies put back */
#endif
#ifndef FORCES
#define FORCES 0 /* force-open of a source that waits for its peer */
#endif
#ifndef PLANNED
#define PLANNED 0 /* planned moves too */
#endif

/* Rules that can be left out, to see that each is needed: tools/model does. */
#ifdef NO_CHECKED
#define CHECKED(x) true
#else
#define CHECKED(x) (x)
#endif
#ifdef NO_MEMORY
#define RULE_MEMORY(x) false
#else
#define RULE_MEMORY(x) (x)
#endif
#ifdef NO_OLD_SOURCE
#define RULE_OLD_SOURCE(x) false
#else
#define RULE_OLD_SOURCE(x) (x)
#endif
#ifdef NO_OLD_LOSER
#define RULE_OLD_LOSER(x) false
#else
#define RULE_OLD_LOSER(x) (x)
#endif
#ifdef NO_ACK_DURABLE
#define RULE_ACK_DURABLE(x) skip
#else
#define RULE_ACK_DURABLE(x) x
#endif
#ifdef NO_WAIT_FOR_PEER
#define RULE_WAIT_FOR_PEER(x) true
#else
#define RULE_WAIT_FOR_PEER(x) (x)
#endif
#ifdef NO_KEEP
#define RULE_KEEP(x) skip
#else
#define RULE_KEEP(x) x
#endif
#ifdef NO_UNION
#define RULE_UNION(x) false
#else
#define RULE_UNION(x) (x)
#endif
#ifdef NO_MERGE
#define RULE_MERGE(x) skip
#else
#define RULE_MERGE(x) x
#endif
#ifdef NO_NONCE
#define RULE_NONCE(x) true
#else
#define RULE_NONCE(x) (x)
#endif
#ifdef NO_CUT_DURABLE
#define RULE_CUT_DURABLE(x) skip
#else
#define RULE_CUT_DURABLE(x) x
#endif

#define GENERATIONS 6
#define DEPTH 12 /* frames under way in one direction */
#define other(i) (1 - (i))

mtype = { HELLO, EPOCH, ACK, REPROTECT, DIRTY, COMMIT, DONE, REFUSED };

/* steps of a reprotect */
#define NONE_ 0
#define ASKED 1     /* winner: waits for the loser's sets */
#define CLOSING 2   /* loser: state being saved, exports closing */
#define TOLD 3      /* loser: has told its sets */
#define COMMITTED 4 /* winner: durable, waits for DONE */

/* what is being saved, with hosts and peer held */
#define IDLE 0
#define PROMOTING 1
#define WINNING 2
#define BECOMING 3

typedef Site {
    /* memory */
    byte role, gen, epoch;
    bit is_open, is_reverse, ever;     /* reprotect open, its direction; source has shipped ever */
    byte conn, h_role, h_gen, h_epoch, h_parent; /* connection, newest HELLO on it */
    bit has_hello, weighed, h_open, shipping, receiving, confirmed, stale;
    bit open, unacked, forced, must_wait; /* must_wait: what it may not know is that its peer wins */
    byte step, nonce, busy, commit_gen, commit_epoch;
    bit unsaved, closed;
    byte memory_gen, memory_epoch; /* of the peer: newest generation, newest epoch it had */
    /* durable */
    byte d_role, d_gen, d_epoch, d_memory_gen, d_memory_epoch;
    bit d_open, d_reverse, d_ever, has_point;
    byte value, past, parent_epoch; /* at which the newest generation left its parent */
    bit intent, d_clean, d_dirty; /* of a clean stop: the exact sets */
};

Site site[2];
/* An old copy of the durable part: what a backup took. */
Site copy;
bit has_copy;
byte copy_of;

chan to[2] = [DEPTH] of { mtype, byte, byte, byte, byte, byte, byte };

byte parent[GENERATIONS], term[GENERATIONS], owner[GENERATIONS], wrote[GENERATIONS];
byte generations = 1;
byte conns, link; /* number of the newest connection; 0: down */
byte nonces;
byte writes, cuts, crashes, failovers, reprotects, restores, forces;
byte kept = 1; /* writes that a snapshot holds */
bit is_any_restored;

#define S 0
#define T 1
#define P 2
#define F 3

#define me site[i]
#define peer site[other(i)]

inline send(type, a, b, c, d, e)
{
    assert(nfull(to[other(i)])); /* else DEPTH is too small */
    to[other(i)]!type, me.conn, a, b, c, d, e;
    printf("site %d sends %e on %d: %d %d %d %d %d\n", i, type, me.conn, a, b, c, d, e)
}

#define room(i) (len(to[other(i)]) + 3 <= DEPTH)
#define is_loser(s) (s.role == F || s.role == P && s.is_open && !s.is_reverse)
#define may_write(s) (!s.closed && \
                      (s.role == S && s.confirmed || \
                       s.role == P && !(s.is_open && !s.is_reverse)))

/* a is an ancestor of b, or b itself. Generation 0 is "none yet". */
#define up1(g) parent[g]
#define is_ancestor(a, b) ((a) == (b) || (a) == up1(b) || (a) == up1(up1(b)) || \
                           (a) == up1(up1(up1(b))) || (a) == up1(up1(up1(up1(b)))))

#define SAME 0
#define BEHIND 1
#define AHEAD 2
#define FORKED 3
#define FOREIGN 4
#define EMPTY_OURS 5
#define EMPTY_THEIRS 6

inline relate(ours, theirs)
{
    if
    :: theirs == 0 -> relation = EMPTY_THEIRS
    :: theirs != 0 && ours == 0 -> relation = EMPTY_OURS
    :: else ->
        if
        :: ours == theirs -> relation = SAME
        :: ours != theirs && is_ancestor(ours, theirs) -> relation = BEHIND
        :: ours != theirs && is_ancestor(theirs, ours) -> relation = AHEAD
        :: else -> relation = FORKED
        fi
    fi
}

inline new_generation(from, base_term)
{
    assert(generations < GENERATIONS);
    parent[generations] = from;
    term[generations] = base_term + 1;
    owner[generations] = i + 1;
    me.gen = generations;
    generations++
}

/* --- a source and its target ---------------------------------------------------------------- */

inline disconnect()
{
    me.shipping = 0;
    me.receiving = 0;
    RULE_MERGE(me.open = me.open | me.unacked); /* R7 */
    me.unacked = 0
}

/* The state as it is now becomes durable. */
inline save()
{
    me.d_role = me.role; me.d_gen = me.gen; me.d_epoch = me.epoch;
    me.d_open = me.is_open; me.d_reverse = me.is_reverse; me.d_ever = me.ever;
    me.d_memory_gen = me.memory_gen; me.d_memory_epoch = me.memory_epoch;
    me.unsaved = 0
}

inline send_hello()
{
    if
    :: me.conn != 0 && me.busy == IDLE ->
        send(HELLO, me.role + 4 * me.is_open + 8 * !me.has_hello, me.gen, me.epoch, me.parent_epoch, 0)
    :: else
    fi
}

/* meeting.c: remember_peer(). Old copies are known by these marks:
 *   the peer shows an older generation, or as a target or promoted one a lower epoch, than it had;
 *   a target has an epoch of ours that we never cut: we are the old copy; seen from there: the same;
 *   a promoted site left our generation at an epoch that we never cut: likewise. */
inline remember_peer()
{
    me.stale = 0;
    if
    :: me.h_gen == 0 -> me.stale = me.memory_gen != 0
    :: me.h_gen != 0 &&
       (RULE_MEMORY(term[me.h_gen] < term[me.memory_gen]) ||
        RULE_MEMORY((me.h_role == T || me.h_role == P) && me.h_epoch < me.memory_epoch) ||
        RULE_OLD_SOURCE(me.role != T && me.h_role == T && me.h_gen == me.gen &&
                        me.h_epoch > me.epoch) ||
        RULE_OLD_SOURCE(me.role == T && me.h_role == S && me.h_gen == me.gen &&
                        me.epoch > me.h_epoch) ||
        RULE_OLD_LOSER(parent[me.h_gen] == me.gen && me.h_parent > me.epoch && me.role != T) ||
        RULE_OLD_LOSER(parent[me.gen] == me.h_gen && me.parent_epoch > me.h_epoch &&
                       me.h_role != T)) ->
        me.stale = 1
    :: else ->
        if
        :: me.h_gen != me.memory_gen -> me.memory_gen = me.h_gen
        :: else
        fi;
        if
        :: me.h_role == T && me.h_epoch > me.memory_epoch -> me.memory_epoch = me.h_epoch
        :: else
        fi
    fi
}

inline fence()
{
    printf("site %d: fences itself\n", i);
    me.role = F;
    me.must_wait = 0;
    me.is_open = 0;
    disconnect();
    me.unsaved = 1
}

inline lose()
{
    me.step = CLOSING;
    disconnect();
    if
    :: me.role == P -> me.is_open = 1; me.is_reverse = 0
    :: else -> me.role = F; me.must_wait = 0; me.is_open = 0
    fi;
    me.unsaved = 1
}

inline settle_fork()
{
    if
    :: me.role != F && term[me.gen] < term[me.h_gen] -> fence()
    :: else
    fi
}

inline reprotect_met()
{
    if
    :: me.has_hello && me.busy == IDLE && me.step == NONE_ && CHECKED(!me.stale) ->
        if
        :: me.role == S && me.is_open && verdict == COMMIT_AGAIN ->
            nonces++;
            me.nonce = nonces;
            me.step = COMMITTED;
            send(COMMIT, me.nonce, me.gen, me.epoch, 0, 0)
        :: me.role == P && me.is_open && !me.is_reverse ->
            nonces++;
            me.nonce = nonces;
            lose()
        :: else
        fi
    :: else
    fi
}

inline ship()
{
    if
    :: me.stale -> disconnect()
    :: !me.stale ->
        me.confirmed = 1;
        if
        :: me.is_open -> me.is_open = 0; me.step = NONE_; me.unsaved = 1
        :: else
        fi;
        if
        :: me.epoch < me.h_epoch -> me.epoch = me.h_epoch /* without RULE_OLD_SOURCE alone */
        :: else
        fi;
        me.shipping = 1
    fi
}

inline decide()
{
    if
    :: me.has_hello && me.busy == IDLE ->
        if
        :: !me.weighed -> me.weighed = 1; remember_peer()
        :: else
        fi;
        relate(me.gen, me.h_gen);
        TABLE(me.role, me.h_role, relation);
        if
        :: verdict != SHIP && verdict != RECEIVE -> disconnect()
        :: else
        fi;
        if
        :: verdict == SHIP -> ship()
        :: verdict == RECEIVE -> me.receiving = !me.stale
        :: verdict == ADOPT && me.stale
        :: verdict == ADOPT && !me.stale -> me.gen = me.h_gen; save(); send_hello(); me.receiving = 1
        :: verdict == FENCE -> fence()
        :: verdict == WAIT ->
            if
            :: relation == FORKED -> settle_fork()
            :: relation != FORKED && me.role == S -> me.confirmed = 1
            :: else
            fi
        :: verdict == COMMIT_AGAIN ->
            if
            :: me.role == S -> me.confirmed = 1
            :: else
            fi;
            if
            :: !me.is_open && !me.h_open -> settle_fork()
            :: else
            fi
        :: else
        fi;
        reprotect_met()
    :: else
    fi
}

inline reprotect_link_down()
{
    me.step = NONE_
}

/* --- what comes from the peer --------------------------------------------------------------- */

inline take_hello()
{
    if
    :: (a & 8) && me.has_hello -> disconnect(); reprotect_link_down()
    :: else
    fi;
    me.h_role = a & 3;
    me.h_open = (a >> 2) & 1;
    me.h_gen = b;
    me.h_epoch = c;
    me.h_parent = d;
    me.weighed = 0;
    me.has_hello = 1;
    if
    :: a & 8 -> send_hello()
    :: else
    fi;
    decide()
}

/* One epoch: data and cut in one. a: epoch, b: generation, c: value, e: past. */
inline take_epoch()
{
    if
    :: me.role == T && me.busy == IDLE && me.receiving &&
#ifndef NO_GENERATION_CHECK
       b == me.gen &&
#endif
       a > me.epoch ->
        assert(b == me.gen);                                        /* M5 */
        assert(((e | kept) >> me.value) & 1);                       /* M2 */
        me.value = c;
        me.past = e;
        me.epoch = a;
        me.d_epoch = a;
        me.has_point = 1;
        send(ACK, a, b, 0, 0, 0)
    :: else
    fi
}

inline take_ack()
{
    if
    :: me.role == S && me.shipping && me.unacked && a == me.epoch && b == me.gen ->
        me.memory_epoch = a;
        RULE_ACK_DURABLE(me.d_memory_gen = me.memory_gen; me.d_memory_epoch = a);
        me.unacked = 0
    :: else
    fi
}

inline take_reprotect()
{
    if
    :: me.busy != IDLE -> skip
    :: me.busy == IDLE ->
        me.nonce = a;
        if
        :: !CHECKED(!me.stale) -> send(REFUSED, a, 0, 0, 0, 0)
        :: CHECKED(!me.stale) && me.role == S && me.is_open ->
            me.step = COMMITTED;
            send(COMMIT, me.nonce, me.gen, me.epoch, 0, 0)
        :: CHECKED(!me.stale) && b == 1 && (me.role == S && !me.is_open || me.role == F) -> lose()
        :: CHECKED(!me.stale) && b == 0 && me.role == F -> me.step = ASKED
        :: else -> send(REFUSED, a, 0, 0, 0, 0); me.step = NONE_
        fi
    fi
}

/* a: nonce, b: a bit: is there anything in the loser's sets, c: its epoch */
inline take_dirty()
{
    if
    :: me.step == ASKED && RULE_NONCE(a == me.nonce) && me.busy == IDLE ->
        if
        :: RULE_UNION(b) -> me.open = 1; me.intent = 1 /* R14, durable */
        :: else
        fi;
        me.commit_epoch = c;
        me.busy = WINNING
    :: else
    fi
}

inline take_commit()
{
    if
    :: me.busy != IDLE -> skip
    :: me.busy == IDLE ->
        me.nonce = a;
        relate(me.gen, b);
        if
        :: me.role == T && relation == SAME -> send(DONE, a, 0, 0, 0, 0)
        :: !(me.role == T && relation == SAME) &&
           (!is_loser(me) || !CHECKED(!me.stale) || term[b] <= term[me.gen] ||
            relation != BEHIND && relation != FORKED) ->
            send(REFUSED, a, 0, 0, 0, 0);
            me.step = NONE_
        :: else ->
            me.commit_gen = b;
            me.commit_epoch = c;
            me.step = NONE_;
            me.busy = BECOMING
        fi
    fi
}

inline take_done()
{
    if
    :: me.step == COMMITTED && RULE_NONCE(a == me.nonce) && me.role == S && me.is_open ->
        me.is_open = 0;
        me.step = NONE_;
        me.unsaved = 1
    :: else
    fi
}

inline take_refused()
{
    if
    :: RULE_NONCE(a == me.nonce) && me.step != NONE_ && me.busy == IDLE ->
        me.step = NONE_;
        if
        :: me.role == P && me.is_open && !me.is_reverse && !(me.h_role == S && me.h_open) ->
            me.is_open = 0; me.unsaved = 1
        :: else /* the peer has won: its hosts may be writing */
        fi
    :: else
    fi
}

/* --- ends of saves -------------------------------------------------------------------------- */

inline win()
{
    if
    :: !(me.role == P && term[me.gen] > term[me.h_gen]) ->
        if
        :: term[me.h_gen] > term[me.gen] -> new_generation(me.gen, term[me.h_gen])
        :: else -> new_generation(me.gen, term[me.gen])
        fi
    :: else
    fi;
    me.epoch = (me.epoch > me.commit_epoch -> me.epoch : me.commit_epoch);
    me.epoch = (me.epoch > me.h_epoch -> me.epoch : me.h_epoch);
    me.is_reverse = me.role == P;
    me.role = S;
    me.is_open = 1;
    me.ever = 0;
    me.confirmed = 1
}

inline become()
{
    RULE_KEEP(kept = kept | (1 << me.value));                       /* R15, durable */
    me.gen = me.commit_gen;
    me.role = T;
    me.epoch = (me.epoch > me.commit_epoch -> me.epoch : me.commit_epoch);
    me.is_open = 0;
    me.ever = 0;
    me.has_point = 0;
    me.open = 0;
    me.unacked = 0;
    me.intent = 0;
    me.parent_epoch = 0;
    me.confirmed = 0
}

inline promote()
{
    new_generation(me.gen, term[me.gen]);
    me.role = P;
    me.is_open = 0;
    me.is_reverse = 0;
    me.open = 0;
    me.intent = 0;
    me.parent_epoch = me.epoch;
    me.memory_epoch = 0;
    me.confirmed = 0
}

inline saved()
{
    if
    :: me.busy == PROMOTING -> promote(); save(); me.busy = IDLE
    :: me.busy == WINNING ->
        win();
        save();
        me.busy = IDLE;
        me.step = NONE_
    :: me.busy == BECOMING -> become(); save(); me.busy = IDLE
    fi
}

/* --- lives ---------------------------------------------------------------------------------- */

/* The durable part is all that is left; a source takes its intent bit's region for dirty. */
inline start()
{
    me.role = me.d_role; me.gen = me.d_gen; me.epoch = me.d_epoch;
    me.is_open = me.d_open; me.is_reverse = me.d_reverse; me.ever = me.d_ever;
    me.memory_gen = me.d_memory_gen; me.memory_epoch = me.d_memory_epoch;
    me.conn = 0; me.has_hello = 0; me.shipping = 0; me.receiving = 0; me.stale = 0;
    me.h_role = 0; me.h_gen = 0; me.h_epoch = 0; me.h_parent = 0; me.weighed = 0; me.h_open = 0;
    me.step = NONE_; me.nonce = 0; me.busy = IDLE; me.unsaved = 0; me.closed = 0;
    me.commit_gen = 0; me.commit_epoch = 0;
    me.open = (me.d_clean -> me.d_dirty : me.intent & (me.role != T));
    me.d_clean = 0;
    me.d_dirty = 0;
    me.unacked = 0;
    me.forced = 0;
    me.must_wait = me.role == S && me.ever && peer.d_role == P && parent[peer.d_gen] == me.gen;
    me.confirmed = me.role == S && RULE_WAIT_FOR_PEER(!me.ever);
    printf("site %d: starts: role %d gen %d epoch %d open %d intent %d\n", i, me.role, me.gen, me.epoch, me.is_open, me.intent)
}

inline copy_durable(dst, src)
{
    dst.d_role = src.d_role; dst.d_gen = src.d_gen; dst.d_epoch = src.d_epoch;
    dst.d_open = src.d_open; dst.d_reverse = src.d_reverse; dst.d_ever = src.d_ever;
    dst.has_point = src.has_point; dst.d_clean = src.d_clean; dst.d_dirty = src.d_dirty;
    dst.d_memory_gen = src.d_memory_gen; dst.d_memory_epoch = src.d_memory_epoch;
    dst.value = src.value; dst.past = src.past; dst.intent = src.intent;
    dst.parent_epoch = src.parent_epoch
}

inline new_link()
{
    if
    :: link != 0 -> conns++; link = conns
    :: else
    fi
}

inline crash()
{
    if
    :: me.busy != IDLE -> saved() /* the save had reached the disk */
    :: skip
    fi;
    if
    :: me.unsaved -> save()
    :: skip
    fi;
    start()
}

inline check_all()
{
    assert(!(site[0].role == S && site[0].shipping && !site[0].open && !site[0].unacked &&
             site[0].conn == site[1].conn && site[1].role == T && site[1].receiving) ||
           site[0].value == site[1].value);                         /* M3 */
    assert(!(site[1].role == S && site[1].shipping && !site[1].open && !site[1].unacked &&
             site[1].conn == site[0].conn && site[0].role == T && site[0].receiving) ||
           site[0].value == site[1].value)
}

/* M6. Nothing can move any more. */
#define in_sync(s, t) (s.role == S && t.role == T && s.shipping && t.receiving && \
                       !s.open && !s.unacked && s.value == t.value)
#define is_waiting(p, f) (p.role == P && f.role == F && p.step == NONE_ && f.step != CLOSING && \
                          !(p.is_open && !p.is_reverse))
#define at_rest (in_sync(site[0], site[1]) || in_sync(site[1], site[0]) || \
                 is_waiting(site[0], site[1]) || is_waiting(site[1], site[0]))

proctype protocol(byte i)
{
    byte a, b, c, d, e, n, relation, verdict;
    mtype type;

end:
    do
    /* the link: each end notices on its own */
    :: d_step { me.conn != 0 && me.conn != link -> /* down, or a newer one */
        printf("site %d: link down\n", i);
        me.conn = 0;
        me.has_hello = 0;
        disconnect();
        reprotect_link_down();
        me.d_memory_gen = me.memory_gen;
        me.d_memory_epoch = me.memory_epoch }
    :: atomic { link != 0 && me.conn == 0 && room(i) ->
        me.conn = link;
        printf("site %d: link %d up\n", i, link);
        me.has_hello = 0;
        send_hello();
        check_all() }

    /* frames */
    :: atomic { room(i) && nempty(to[i]) ->
        to[i]?type, n, a, b, c, d, e;
        printf("site %d (role %d, gen %d, conn %d) takes %e of %d: %d %d %d %d %d\n", i, me.role, me.gen, me.conn, type, n, a, b, c, d, e);
        if
#ifndef NO_CONNECTION_CHECK
        :: n != me.conn -> skip /* of an old connection, or of one that we do not know yet */
        :: n == me.conn &&
#else
        ::
#endif
           type == HELLO -> take_hello()
        :: n == me.conn && type == EPOCH -> take_epoch()
        :: n == me.conn && type == ACK -> take_ack()
        :: n == me.conn && type == REPROTECT -> take_reprotect()
        :: n == me.conn && type == DIRTY -> take_dirty()
        :: n == me.conn && type == COMMIT -> take_commit()
        :: n == me.conn && type == DONE -> take_done()
        :: n == me.conn && type == REFUSED -> take_refused()
        fi;
        check_all();
        a = 0; b = 0; c = 0; d = 0; e = 0; n = 0; relation = 0; verdict = 0; type = HELLO }

    /* saves end */
    :: atomic { me.busy != IDLE && room(i) ->
        n = me.busy;
        saved();
        printf("site %d: saved %d: role %d gen %d open %d\n", i, n, me.role, me.gen, me.is_open);
        send_hello();
        if
        :: n == WINNING && me.has_hello && me.conn != 0 ->
            me.step = COMMITTED;
            send(COMMIT, me.nonce, me.gen, me.epoch, 0, 0)
        :: n == BECOMING && me.conn != 0 -> send(DONE, me.nonce, 0, 0, 0, 0)
        :: else
        fi;
        decide();
        check_all();
        n = 0; relation = 0; verdict = 0 }
    :: atomic { me.unsaved && me.busy == IDLE && room(i) ->
        save();
        if
        :: me.step == CLOSING && me.role == P && me.conn != 0 -> send(REPROTECT, me.nonce, 0, 0, 0, 0)
        :: me.step != CLOSING -> send_hello()
        :: else
        fi }

    /* the loser is closed: its sets are told */
    :: d_step { me.step == CLOSING && !me.unsaved && me.busy == IDLE && room(i) ->
        me.step = TOLD;
        send(DIRTY, me.nonce, me.open | me.intent, me.epoch, 0, 0) }

    /* a host; the intent bit is durable first */
    :: d_step { may_write(me) && writes < WRITES ->
        if
        :: !me.intent -> me.intent = 1
        :: else
        fi;
        assert(me.role == S || me.role == P);
        assert(me.forced || me.role != S || !me.must_wait);
        assert(owner[me.gen] == i + 1);                             /* M1 */
        assert(wrote[me.gen] == 0 || wrote[me.gen] == i + 1);
        wrote[me.gen] = i + 1;
        writes++;
        printf("site %d: host write %d in gen %d\n", i, writes, me.gen);
        me.value = writes;
        me.past = me.past | (1 << writes);
        me.open = 1 }

    /* an epoch leaves */
    :: d_step { me.role == S && me.shipping && me.open && !me.unacked && me.busy == IDLE &&
        me.conn != 0 && room(i) && me.h_epoch < 30 ->
        me.epoch++;
        RULE_CUT_DURABLE(me.d_epoch = me.epoch);
        me.open = 0;
        me.unacked = 1;
        me.ever = 1;
        me.d_ever = 1;
        send(EPOCH, me.epoch, me.gen, me.value, 0, me.past) }

    /* a sweep of the intent bits */
    :: d_step { me.role == S && me.intent && !me.open && !me.unacked && me.shipping &&
        me.busy == IDLE ->
        printf("site %d: sweep\n", i);
        me.intent = 0 }
    od
}

/* What operators and fate do to site i, each within its budget. */
proctype fate(byte i)
{
    byte relation, verdict;

end:
    do
    :: d_step { me.role == T && me.has_point && me.busy == IDLE && failovers < FAILOVERS &&
        generations < GENERATIONS ->
        printf("site %d: failover\n", i);
        failovers++;
        disconnect();
        me.busy = PROMOTING }

    /* a planned move: the source closes and ships all, then the target is promoted */
    :: d_step { PLANNED && me.role == S && !me.closed && me.shipping && failovers < FAILOVERS ->
        me.closed = 1 }
    :: d_step { me.closed && me.role != S -> me.closed = 0 }
    :: d_step { peer.closed && peer.shipping && !peer.open && !peer.unacked && me.role == T &&
        me.receiving && me.has_point && me.busy == IDLE && peer.conn == me.conn &&
        failovers < FAILOVERS && generations < GENERATIONS ->
        assert(me.value == peer.value);                             /* M7 */
        printf("site %d: failover\n", i);
        failovers++;
        disconnect();
        me.busy = PROMOTING }

    /* reprotect, either way */
    :: d_step { me.role == P && me.busy == IDLE && me.has_hello && me.step == NONE_ && room(i) &&
        me.conn != 0 && CHECKED(!me.stale) && reprotects < REPROTECTS && generations < GENERATIONS ->
        reprotects++;
        nonces++;
        me.nonce = nonces;
        printf("site %d: reprotect, this one wins\n", i);
        me.step = ASKED;
        send(REPROTECT, me.nonce, 1, 0, 0, 0) }
    :: d_step { me.role == P && me.busy == IDLE && me.has_hello && me.step == NONE_ && room(i) &&
        me.conn != 0 && CHECKED(!me.stale) && reprotects < REPROTECTS && generations < GENERATIONS ->
        reprotects++;
        nonces++;
        printf("site %d: reprotect, the other one wins\n", i);
        me.nonce = nonces;
        lose() }

    :: atomic { crashes < CRASHES ->
        crashes++;
        printf("site %d: crash\n", i);
        new_link();
        crash();
        relation = 0;
        verdict = 0 }

#if FORCES > 0
    :: d_step { me.role == S && !me.confirmed && me.busy == IDLE && forces < FORCES ->
        forces++;
        me.forced = 1;
        me.confirmed = 1 }
#endif

#if RESTORES > 0
    /* A backup of a running site is taken; later it is put back, the site started from it. */
    :: d_step { !has_copy && me.busy == IDLE ->
        has_copy = 1;
        printf("site %d: copied\n", i);
        copy_of = i;
        copy_durable(copy, me) }
    /* The same of a site that was stopped cleanly meanwhile. */
    :: d_step { !has_copy && me.busy == IDLE && !me.unsaved && (me.role == S || me.role == P) ->
        has_copy = 1;
        printf("site %d: copied\n", i);
        copy_of = i;
        save();
        me.d_clean = 1;
        me.d_dirty = me.open | me.unacked;
        copy_durable(copy, me);
        new_link();
        start() }
    :: d_step { has_copy && copy_of == i && restores < RESTORES ->
        restores++;
        printf("site %d: the old copy is put back\n", i);
        is_any_restored = 1;
        copy_durable(me, copy);
        new_link();
        start() }
#endif
    od
}

proctype network()
{
end:
    do
    :: d_step { link == 0 -> conns++; link = conns }
    :: d_step { link != 0 && cuts < CUTS -> cuts++; link = 0 }
    :: atomic { timeout -> assert(is_any_restored || at_rest); break }
    od
}

init
{
    atomic {
        generations = 2;
        term[1] = 1;
        owner[1] = 1;
        site[0].role = S; site[0].d_role = S; site[0].gen = 1; site[0].d_gen = 1;
        site[0].confirmed = 1;
        site[0].open = 1; site[0].intent = 1;
        site[1].role = T; site[1].d_role = T;
        site[0].past = 1; site[1].past = 1;
        run protocol(0);
        run protocol(1);
        run fate(0);
        run fate(1);
        run network()
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two sites do when they meet. The table is data: for each pair of roles, one cell for each
 * relation of their lines. Its reasoning rests on three facts that the rest of replication keeps:
 *
 *   1. A generation has one writer ever: the site that made it. Two sources on the same line are a
 *      copied data directory, not a state of ours.
 *   2. A target's line is its source's, taken over durably before the first byte arrives. A target
 *      whose line is older or newer than its source's was restored from an old copy, or its source
 *      was.
 *   3. No verdict clears dirty state. The worst a wrong verdict can do is to move no data.
 */
#include "replication/generation.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

bool generation_is_equal(const struct generation *a, const struct generation *b)
{
    return a->term == b->term && a->site == b->site && a->incarnation == b->incarnation;
}

int generation_compare(const struct generation *a, const struct generation *b)
{
    if (a->term == b->term)
        return 0;
    return a->term > b->term ? 1 : -1;
}

const struct generation *generation_newest(const struct generation_line *line)
{
    check(line->count > 0 && line->count <= GENERATION_COUNT_MAX);
    return &line->entries[line->count - 1].id;
}

void generation_promote(struct generation_line *line, const struct generation *child,
                        uint64_t parent_epoch)
{
    check(line->count <= GENERATION_COUNT_MAX);
    check(line->count == 0 || child->term > generation_newest(line)->term);
    if (line->count == GENERATION_COUNT_MAX) {
        memmove(&line->entries[0], &line->entries[1],
                (GENERATION_COUNT_MAX - 1) * sizeof(line->entries[0]));
        line->count--;
    }
    line->entries[line->count].id = *child;
    line->entries[line->count].parent_epoch = parent_epoch;
    line->count++;
}

static bool line_has(const struct generation_line *line, const struct generation *id)
{
    for (unsigned i = 0; i < line->count; i++)
        if (generation_is_equal(&line->entries[i].id, id))
            return true;
    return false;
}

enum generation_relation generation_relate(const struct generation_line *ours,
                                           const struct generation_line *theirs)
{
    check(ours->count <= GENERATION_COUNT_MAX && theirs->count <= GENERATION_COUNT_MAX);
    if (theirs->count == 0) /* nothing to adopt, even when we have nothing either */
        return GENERATION_EMPTY_THEIRS;
    if (ours->count == 0)
        return GENERATION_EMPTY_OURS;
    if (generation_is_equal(generation_newest(ours), generation_newest(theirs)))
        return GENERATION_SAME;
    if (line_has(theirs, generation_newest(ours)))
        return GENERATION_BEHIND;
    if (line_has(ours, generation_newest(theirs)))
        return GENERATION_AHEAD;
    for (unsigned i = 0; i < ours->count; i++)
        if (line_has(theirs, &ours->entries[i].id))
            return GENERATION_FORKED;
    return GENERATION_FOREIGN;
}

/* What a cell of the table says: a verdict and the sentence for the operator. */
enum rule {
    NONE, /* cannot arise */
    SHIP,
    NEWS, /* the target is new: it adopts first, then says so */
    RECV,
    ADPT,
    FNCE,
    OLDP, /* the peer shows an older line than a peer of ours in that role can have */
    OLDU, /* we do */
    LOST, /* the peer is a promoted or fenced site that waits for a reprotect */
    PEER, /* the peer will fence itself */
    AGAN,
    FORK,
    TWIN,
    FRGN,
    RULE_COUNT
};

struct rule_text {
    enum generation_verdict verdict;
    const char *why;
};

static const struct rule_text rules[RULE_COUNT] = {
    [NONE] = {VERDICT_REFUSE,
              "roles of the two sites do not fit: delete the pair at both sites and "
              "create it anew"},
    [SHIP] = {VERDICT_SHIP, "same line of history"},
    [NEWS] = {VERDICT_WAIT, "the target is new: it takes over our line of history first"},
    [RECV] = {VERDICT_RECEIVE, "same line of history"},
    [ADPT] = {VERDICT_ADOPT, "new here: the source's line of history is taken over"},
    [FNCE] = {VERDICT_FENCE, "fenced: the other site has failed over to a newer generation; detach "
                             "the disks here and reprotect"},
    [OLDP] = {VERDICT_REFUSE, "stale peer: the other site shows an older history than this one "
                              "(restored from an old copy?); create the pair anew"},
    [OLDU] = {VERDICT_REFUSE, "stale: this site shows an older history than the other one "
                              "(restored from an old copy?); create the pair anew"},
    [LOST] = {VERDICT_WAIT, "failed over: reprotect decides the direction"},
    [PEER] = {VERDICT_WAIT, "failed over: the other site is fencing itself"},
    [AGAN] = {VERDICT_COMMIT_AGAIN, "a reprotect was cut short: it is run again"},
    [FORK] = {VERDICT_WAIT, "diverged: both sites wrote since they parted; reprotect at the site "
                            "whose content shall win"},
    [TWIN] = {VERDICT_REFUSE, "both sites claim the same generation (a copied data directory?): "
                              "stop one of them"},
    [FRGN] = {VERDICT_REFUSE, "foreign: the two sites have no history in common; create the pair "
                              "anew"},
};

enum {
    S = STREAM_ROLE_SOURCE,
    T = STREAM_ROLE_TARGET,
    P = STREAM_ROLE_PROMOTED,
    F = STREAM_ROLE_FENCED
};

/* clang-format off */
static const uint8_t table[STREAM_ROLE_COUNT][STREAM_ROLE_COUNT][GENERATION_RELATION_COUNT] = {
    /* ours, theirs   SAME  BEHIND AHEAD FORKED FOREIGN EMPTY_OURS EMPTY_THEIRS */
    [S][S] =        { TWIN, FNCE,  PEER, FORK,  FRGN,   NONE,      NONE },
    [S][T] =        { SHIP, FNCE,  OLDP, OLDP,  FRGN,   NONE,      NEWS },
    [S][P] =        { TWIN, FNCE,  PEER, AGAN,  FRGN,   NONE,      NONE },
    [S][F] =        { NONE, FNCE,  AGAN, AGAN,  FRGN,   NONE,      NONE },
    [T][S] =        { RECV, OLDU,  PEER, OLDU,  FRGN,   ADPT,      NONE },
    [T][T] =        { NONE, NONE,  NONE, NONE,  FRGN,   NONE,      NONE },
    [T][P] =        { NONE, OLDU,  OLDP, OLDU,  FRGN,   NONE,      NONE },
    [T][F] =        { NONE, OLDU,  OLDP, OLDP,  FRGN,   NONE,      NONE },
    [P][S] =        { TWIN, FNCE,  PEER, AGAN,  FRGN,   NONE,      NONE },
    [P][T] =        { NONE, FNCE,  OLDP, OLDP,  FRGN,   NONE,      NONE },
    [P][P] =        { TWIN, FNCE,  PEER, FORK,  FRGN,   NONE,      NONE },
    [P][F] =        { NONE, FNCE,  LOST, FORK,  FRGN,   NONE,      NONE },
    [F][S] =        { NONE, AGAN,  OLDP, AGAN,  FRGN,   NONE,      NONE },
    [F][T] =        { NONE, OLDU,  OLDP, OLDU,  FRGN,   NONE,      NONE },
    [F][P] =        { NONE, LOST,  OLDP, FORK,  FRGN,   NONE,      NONE },
    [F][F] =        { NONE, OLDU,  OLDP, FORK,  FRGN,   NONE,      NONE },
};
/* clang-format on */

enum generation_verdict generation_decide(enum stream_role ours, enum stream_role theirs,
                                          enum generation_relation relation, const char **ret_why)
{
    check((unsigned)ours < STREAM_ROLE_COUNT && (unsigned)theirs < STREAM_ROLE_COUNT);
    check((unsigned)relation < GENERATION_RELATION_COUNT);

    const struct rule_text *rule = &rules[table[ours][theirs][relation]];

    check(rule->why != NULL);
    *ret_why = rule->why;
    return rule->verdict;
}

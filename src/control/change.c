/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see change.h. A failure is logged here, once: it concerns the site, not the caller. */
#include "control/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/step.h"
#include "control/audit.h"

void change_begin(struct change *change, struct site *site)
{
    memset(change, 0, sizeof(*change));
    change->site = site;
    change->is_part = site->is_sharing;
    change->result = site->share_error;
    if (change->result < 0)
        err_set(&change->err, change->result, "metadata: %s", err_name(change->result));
    else if (!site->meta->is_in_transaction)
        change->result = meta_begin(site->meta, &change->err);
    if (change->result == 0 && change->is_part)
        change->result = meta_part_begin(site->meta, &change->err);
    change->is_open = change->result == 0;
}

/* --- events ---------------------------------------------------------------------------------- */

struct change_move {
    char id[RECORD_ID_SIZE];
    bool is_new, is_gone;
    enum replica_state from, to;
};

static bool is_replica(enum record_kind kind)
{
    return kind == RECORD_PAIR || kind == RECORD_GROUP;
}

static bool load_old(struct change *change, enum record_kind kind, const char *key,
                     enum replica_state *ret_status)
{
    union {
        struct replica_record common; /* first in both */
        struct pair_record pair;
        struct group_record group;
    } old;

    if (meta_get(change->site->meta, kind, key, &old) < 0)
        return false;
    *ret_status = old.common.status;
    return true;
}

static void note_move(struct change *change, const struct change_move *move)
{
    change->moves = realloc(change->moves, (change->move_count + 1) * sizeof(*change->moves));
    check(change->moves);
    change->moves[change->move_count++] = *move;
}

static void note_put(struct change *change, enum record_kind kind, const void *record)
{
    const struct replica_record *new = record;
    struct change_move move = {0};

    if (change->result < 0 || !audit_store(change->site) || !is_replica(kind))
        return;
    move.to = new->status;
    move.from = new->status;
    move.is_new = !load_old(change, kind, new->id, &move.from);
    if (!move.is_new && move.from == new->status)
        return;
    strcpy(move.id, new->id);
    note_move(change, &move);
}

static void note_remove(struct change *change, enum record_kind kind, const char *key)
{
    struct change_move move = {.is_gone = true};

    if (change->result < 0 || !audit_store(change->site) || !is_replica(kind) ||
        !load_old(change, kind, key, &move.from))
        return;
    check(strlen(key) < sizeof(move.id));
    strcpy(move.id, key);
    note_move(change, &move);
}

static enum event_severity severity_of(enum replica_state state)
{
    switch (state) {
    case REPLICA_CREATE_FAILED:
    case REPLICA_STOP_FAILED:
    case REPLICA_FAILOVER_FAILED:
    case REPLICA_REPROTECT_FAILED:
    case REPLICA_DELETE_FAILED:
    case REPLICA_INVALID:
        return EVENT_CRITICAL;
    case REPLICA_FAILOVERING:
    case REPLICA_FAILOVERED:
        return EVENT_WARNING;
    default:
        return EVENT_INFO;
    }
}

void change_tell(struct site *site, struct change_move *moves, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct change_move *move = &moves[i];

        if (move->is_gone)
            audit_event(site, "state", EVENT_INFO, move->id, "%s -> gone",
                        replica_state_name(move->from));
        else if (move->is_new)
            audit_event(site, "state", severity_of(move->to), move->id, "-> %s",
                        replica_state_name(move->to));
        else
            audit_event(site, "state", severity_of(move->to), move->id, "%s -> %s",
                        replica_state_name(move->from), replica_state_name(move->to));
    }
    free(moves);
}

/* --- puts, removes, commit ------------------------------------------------------------------- */

void change_put(struct change *change, enum record_kind kind, const void *record)
{
    note_put(change, kind, record);
    if (change->result == 0)
        change->result = meta_put(change->site->meta, kind, record, &change->err);
    change->has_put = true;
}

void change_remove(struct change *change, enum record_kind kind, const char *key)
{
    int result;

    if (change->result < 0)
        return;
    note_remove(change, kind, key);
    result = meta_remove(change->site->meta, kind, key, &change->err);
    change->has_put = change->has_put || result == 0;
    if (result < 0 && result != -ENOENT)
        change->result = result;
}

void change_fail(struct change *change, int error, const char *what)
{
    if (change->result == 0)
        change->result =
            err_set(&change->err, error, "%s cannot be read: %s", what, err_name(error));
}

static void drop_moves(struct change *change)
{
    free(change->moves);
    change->moves = NULL;
    change->move_count = 0;
}

static int told(struct change *change)
{
    struct site *site = change->site;

    check(change->result <= 0);
    if (change->result < 0) {
        complaint_failed(&site->complaint, loop_now_ns(site->loop), &change->err);
        drop_moves(change);
    }
    return change->result;
}

int change_commit(struct change *change)
{
    check(!change->is_part);
    if (change->is_open && change->result < 0)
        meta_rollback(change->site->meta);
    else if (change->is_open) {
        step_point("change-before-commit");
        change->result = meta_commit(change->site->meta, &change->err);
        step_point("change-committed");
        if (change->result == 0 && change->has_put)
            complaint_stored(&change->site->complaint, loop_now_ns(change->site->loop));
    }
    change->is_open = false;
    if (told(change) == 0)
        change_tell(change->site, change->moves, change->move_count);
    change->moves = NULL;
    return change->result;
}

int change_end_part(struct change *change, struct change_move **ret_moves, unsigned *ret_move_count)
{
    struct meta *meta = change->site->meta;
    struct err ignored;
    int result = 0;

    check(change->is_part);
    if (change->is_open && change->result < 0)
        result = meta_part_undo(meta, &ignored);
    else if (change->is_open)
        change->result = result = meta_part_end(meta, &change->err);
    change->is_open = false;
    if (result < 0) /* nothing of it can stand any more */
        change->site->share_error = result;
    if (told(change) < 0)
        return change->result;
    change->site->has_shared = change->site->has_shared || change->has_put;
    *ret_moves = change->moves;
    *ret_move_count = change->move_count;
    change->moves = NULL;
    return 0;
}

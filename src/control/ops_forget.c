/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a relation whose other site is lost for good, or whose state cannot be left by any other
 * operation, must have an end. Forget is that end, for this site alone, from any state:
 *
 *  - what hosts see here stays: the journal's content comes into the disks first, and when it
 *    cannot, the relation stays (delete_failed), unless the operator gives the journal up;
 *  - a tombstone says whether hosts write here; of one that was asked for before and failed, that
 *    they did then. The other site, whenever it is back, learns it: its record becomes invalid, it
 *    ships no more, and a source there is fenced if hosts write here;
 *  - a target's disks that hosts are still attached to, as after a failover that failed, or those
 * of a fenced source, would open to them with the end of the relation, beside a site that may be in
 *    production: they are detached first. To tell the other site instead that hosts write here
 * would fence it. DetachDisk needs neither the peer nor the stream, so nobody is stuck;
 *  - the name must be typed, and who did it and why stands in the log.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/jobs.h"
#include "control/operations.h"
#include "control/relation.h"
#include "control/sharing.h"

static bool is_name_typed(struct call *call, struct relation *relation)
{
    const struct replica_record *own = relation_own(relation);
    const char *typed = call_text(call, "Confirm"), *name = own->name[0] ? own->name : own->id;

    if (strcmp(typed, name) == 0 || strcmp(typed, own->id) == 0)
        return true;
    call_fail_name(call, API_INVALID_PARAMETER, "Confirm",
                   "To give %s up at site %s, its name (%s) must be typed.", own->id,
                   call->site->name, name);
    return false;
}

/* False: answered. */
static bool check_detached(struct call *call, const struct relation *relation)
{
    struct attachment_record attachment;
    int attached = relation_find_attached(call->site, relation, &attachment);

    if (attached < 0)
        call_fail_internal(call, err_name(attached));
    else if (attached > 0)
        call_fail(call, API_DENIED,
                  "Disk %s is attached to %s at site %s, which is %s: it would open to its hosts "
                  "although the other site may be in production. Detach it first.",
                  attachment.disk_id, attachment.instance_id, call->site->name,
                  relation_is_source(call->site, relation) ? "not the source any more"
                                                           : "the target");
    return attached == 0;
}

static void note(struct call *call, struct relation *relation, bool is_written)
{
    const struct replica_record *own = relation_own(relation);

    log_notice(
        "control",
        "%s (%s), which is %s with %s, is given up here by %s, request %s: %s; hosts %swrite "
        "here%s",
        own->id, own->name, replica_state_name(own->status), relation_peer(call->site, relation),
        call_has(call, "Operator") ? call_text(call, "Operator") : "an operator", call->request_id,
        call_text(call, "Reason"), is_written ? "" : "do not ",
        call_bool(call, "DiscardJournal") ? "; with the content of its journal" : "");
}

void ops_relation_forget(struct call *call)
{
    struct site *site = call->site;
    const char *id = call_text(call, "ReplicaId");
    char argument[32], object[RECORD_ID_SIZE];
    struct relation relation;
    struct change change;

    if (relation_load(site, id, &relation) < 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "%.60s is not known at site %s.", id, site->name);
        return;
    }
    if (relation_is_member(&relation)) {
        call_fail(call, API_DENIED, "Pair %s is in group %s: ask for the group.", id,
                  relation.pair.group_id);
        return;
    }
    if (!is_name_typed(call, &relation))
        return;
    bool is_written = relation_is_written(site, &relation);

    if (!is_written && !check_detached(call, &relation))
        return;
    note(call, &relation, is_written);
    snprintf(argument, sizeof(argument), "forget %d%s",
             is_written ? TOMBSTONE_TAKEN : TOMBSTONE_LEFT,
             call_bool(call, "DiscardJournal") ? " discard" : "");
    strcpy(object, relation_own(&relation)->id);
    relation_own(&relation)->was_written = is_written;
    relation_own(&relation)->status = REPLICA_DELETING; /* from whichever state */
    change_begin(&change, site);
    jobs_cancel(&change, object);
    relation_put(&change, &relation);
    jobs_add(&change, "delete", object, argument);
    sharing_answer(&change, call, NULL);
}

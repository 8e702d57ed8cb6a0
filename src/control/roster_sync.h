/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, access keys, policies and attachments are made alike at both sites: what changed here is
 * pushed, everything is pushed when the peer comes back, and of two versions the one with the
 * higher (version, site) stands, deletions too. A secret travels inside the link's TLS and is
 * sealed anew there.
 */
#ifndef CONTROL_ROSTER_SYNC_H
#define CONTROL_ROSTER_SYNC_H

#include "control/peer.h"
#include "control/roster_record.h"

struct roster_sync;

struct roster_sync *roster_sync_new(struct site *site);
void roster_sync_stop(struct roster_sync *sync);
void roster_sync_free(struct roster_sync *sync); /* after the stop, nothing under way */

/* After the commit: this record changed here. */
void roster_sync_mark(struct roster_sync *sync, enum record_kind kind, const char *id);
/* The peer is there (again). */
void roster_sync_peer_up(struct roster_sync *sync, const char *peer);
/* The service "access.put" {"items":[{"kind","record","secret"}]}: takes what is newer. Answers
 * {"refused": how many made no sense, "is_done": the peer was told all that lives here}. */
void roster_sync_serve(struct peer_answer *answer);

#endif

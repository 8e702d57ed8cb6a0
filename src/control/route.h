/* SPDX-License-Identifier: Apache-2.0 */
/* Which site runs a call: RegionId, the operation's rule and the relation's direction decide. */
#ifndef CONTROL_ROUTE_H
#define CONTROL_ROUTE_H

#include "control/call.h"

/* True: it runs here. False: it was passed on to the peer, or refused; the call is answered. */
bool route_call(struct call *call);
/* Passes the call on to the peer, which answers it. RequestTimeout when it does not in time: then
 * it does nothing any more (consent.h); InternalError when it had the consent to do it. */
void route_pass(struct call *call, const char *peer);
/* Has the peer do the call with these texts (taken over) and gives what it answered to done_cb,
 * which ends the call. Where the peer refuses or cannot be reached, the call is answered so. */
void route_ask(struct call *call, const char *peer, json_t *texts,
               void (*done_cb)(struct call *call, json_t *body));
/* Of a call that names disks: the peer that may have those that are not here; NULL: none is to be
 * asked. */
const char *route_disk_peer(const struct call *call);

#endif

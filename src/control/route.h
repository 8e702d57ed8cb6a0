/* SPDX-License-Identifier: Apache-2.0 */
/* Which site runs a call: RegionId, the operation's rule and the relation's direction decide. */
#ifndef CONTROL_ROUTE_H
#define CONTROL_ROUTE_H

#include "control/call.h"

/* True: it runs here. False: it was passed on to the peer, or refused; the call is answered. */
bool route_call(struct call *call);
/* Passes the call on to the peer, which answers it. RequestTimeout when it is not reachable. */
void route_pass(struct call *call, const char *peer);

#endif

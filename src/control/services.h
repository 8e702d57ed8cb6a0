/* SPDX-License-Identifier: Apache-2.0 */
/* What this site does when the peer's control wing calls: the table for peer_receive(). */
#ifndef CONTROL_SERVICES_H
#define CONTROL_SERVICES_H

#include "control/peer.h"

/* All but "forward", which needs the table of operations and is control.c's. */
const struct peer_service *services_table(unsigned *ret_count);

#endif

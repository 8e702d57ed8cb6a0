/* SPDX-License-Identifier: Apache-2.0 */
/* The pause after a try that the loser could not end: at either site, before the next one. */
#ifndef REPLICATION_REPROTECT_REST_H
#define REPLICATION_REPROTECT_REST_H

#include "replication/stream.h"

/* Begins (anew); when it is over the two sites meet again. */
void reprotect_rest_begin(struct stream *stream);
/* At once, without a meeting; idempotent. */
void reprotect_rest_end(struct stream *stream);

#endif

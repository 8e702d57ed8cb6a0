/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a write: host writes, trims and zeroes, and base writes of replication. */
#ifndef VOLUME_WRITE_PATH_H
#define VOLUME_WRITE_PATH_H

#include "volume/volume_state.h"

/* Starts a request that request_init() prepared; done_cb comes later, never from inside. */
void write_path_start(struct volume_request *request);

#endif

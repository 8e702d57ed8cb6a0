/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to DATA_STATUS: one allocation with every stream, peer and disk of the data wing. */
#ifndef DAEMON_WING_STATUS_H
#define DAEMON_WING_STATUS_H

#include "control/data_ops.h"
#include "daemon/wing_exports.h"

struct wing_stream {
    char id[40];
    unsigned disk_count;
};

struct wing_status {
    char peers[ENGINE_PEERS_MAX][64];
    unsigned peer_count;
    struct wing_stream *streams;
    unsigned stream_count;
};

void wing_status_init(struct wing_status *status, const struct engine_options *options);
void wing_status_fini(struct wing_status *status);
void wing_status_add_stream(struct wing_status *status, const char *id, unsigned disk_count);
void wing_status_remove_stream(struct wing_status *status, const char *id);

/* The caller's to free(). */
struct data_snapshot *wing_status_take(const struct wing_status *status, struct engine *engine,
                                       const struct wing_exports *exports, const char *loop);
/* Snapshot layers of a disk; *ret_snapshots is the caller's to free() (NULL when there is none). */
void wing_status_snapshots(struct engine *engine, const char *disk,
                           struct data_disk_snapshot **ret_snapshots, unsigned *ret_count);

#endif

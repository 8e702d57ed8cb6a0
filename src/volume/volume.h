/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume: one disk as hosts and replication see it. It owns the range lock and carries a host
 * write through lock (R2), preserve (R11), stash (R4), intent (R3), store, dirty (R5), reply; see
 * README.md for the life of a write. Flushes that wait together share one store sync.
 *
 * Everything is called on the volume's loop. Without tracking, overlay or layers a request costs
 * the range lock and one store operation.
 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include "volume/request.h"

/* Takes over `store` (closes it at the end). */
int volume_new(struct loop *loop, struct store *store, const char *name,
               struct volume **ret_volume);
/* Frees the volume and closes its store. Nothing may be in flight. */
void volume_free(struct volume *volume);

void volume_submit(struct volume *volume, struct volume_request *request);
/* Extents as hosts see them (overlay included); done as store_extents(). */
void volume_extents(struct volume *volume, struct store_op *op, uint64_t offset, uint64_t length,
                    struct io_extent *extents, unsigned extent_max, store_done_fn done_cb);

/* What hosts asked for since the volume was made. */
const struct volume_counters *volume_counters(const struct volume *volume);
bool volume_is_fenced(const struct volume *volume); /* its store failed a sync: hosts get errors */

/* As store_grow(), store_adopt(). While changes are tracked: tracking_grow(). */
int volume_grow(struct volume *volume, uint64_t size_bytes, struct err *err);
int volume_adopt(struct volume *volume, uint64_t size_bytes, struct err *err);
uint64_t volume_size_bytes(const struct volume *volume);
uint64_t volume_block_count(const struct volume *volume);
const char *volume_name(const struct volume *volume);
struct store *volume_store(struct volume *volume);
bool volume_is_idle(const struct volume *volume); /* no request holds or awaits anything */

/* While held, new requests of hosts queue up; `quiet_cb` (or NULL) is called, never from inside,
 * once those under way and every sync are done. */
void volume_hold(struct volume *volume, void (*quiet_cb)(void *arg), void *arg);
void volume_release(struct volume *volume);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `seals` of a stream: how its disks' stores looked from outside at a clean stop. What
 * differs at the next start was written by somebody else meanwhile. docs/stream-state.md
 */
#ifndef REPLICATION_SEALS_H
#define REPLICATION_SEALS_H

#include "volume/volume.h"

/* Nothing writes to the volumes, and they are synced. Whole or as before. Blocks. */
int seals_save(struct loop *loop, const char *folder, struct volume *const *volumes, unsigned count,
               struct err *err);
/* Which of them look otherwise than the file says. One without a seal (a block device) never does.
 * On an error, as when there is no file (-ENOENT), none. Blocks. */
int seals_check(struct loop *loop, const char *folder, struct volume *const *volumes,
                unsigned count, bool *ret_changed, struct err *err);
/* The disks are open, and that is durable: it means nothing from now on. An older program, which
 * writes none at its stops, must not leave it to a newer one. Blocks. */
void seals_end(struct loop *loop, const char *folder);

#endif

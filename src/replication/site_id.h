/* SPDX-License-Identifier: Apache-2.0 */
/* DATA/site-id: 64 random bits that name a data directory, made once; 16 hexadecimal digits. */
#ifndef REPLICATION_SITE_ID_H
#define REPLICATION_SITE_ID_H

#include "io/file.h"

/* Reads it, or makes it durably. A damaged one is -EBADMSG: it must not change by itself. Blocks.
 */
int site_id_open(struct loop *loop, const char *folder, uint64_t *ret_id, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD server of a site: fixed newstyle over unix sockets and TCP
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). Exports come and go while
 * it runs. One receive takes many requests, one send many replies.
 */
#ifndef NBD_SERVER_H
#define NBD_SERVER_H

#include "nbd/export_ops.h"
#include "nbd/nbd_limits.h"

struct nbd_server;
struct nbd_export;
struct volume;

struct nbd_server_options {
    const char *addresses[4]; /* as io_listen(); NULL ends */
    struct nbd_limits limits;
};

/* Listens at once; with no export yet every name is refused as unknown. */
int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
                   struct nbd_server **ret_server, struct err *err);
/* Ends every connection and listener, then stopped_cb; after that nbd_server_free(), which frees
 * the exports that were not removed. */
void nbd_server_stop(struct nbd_server *server, void (*stopped_cb)(void *arg), void *arg);
void nbd_server_free(struct nbd_server *server);
/* The port that the TCP address number `index` of the options got. */
uint16_t nbd_server_port(const struct nbd_server *server, unsigned index);

/* -EEXIST: the name is taken. */
int nbd_export_add(struct nbd_server *server, const struct nbd_export_options *options,
                   struct nbd_export **ret_export);
/* So is what hosts see of the volume at most: the rest of it may not be there after a restart. */
int nbd_export_add_volume(struct nbd_server *server, const char *name, struct volume *volume,
                          uint64_t size_bytes, struct nbd_export **ret_export);
/* New clients are refused from now on, connections to it end; removed_cb once no request of theirs
 * is under way any more. The export is freed then. */
void nbd_export_remove(struct nbd_export *export, void (*removed_cb)(void *arg), void *arg);
/* The volume has grown: clients that connect from now on see it; those that are there are not told
 * (the protocol cannot), but what they ask for behind the old end is served. */
void nbd_export_grow(struct nbd_export *export, uint64_t size_bytes);
unsigned nbd_export_connections(const struct nbd_export *export);

#endif

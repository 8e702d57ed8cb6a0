/* SPDX-License-Identifier: Apache-2.0 */
/* One client: its socket, its receive buffer, and its life from greeting to close. */
#ifndef NBD_CONNECTION_H
#define NBD_CONNECTION_H

#include "base/log_limit.h"
#include "nbd/buffer_pool.h"
#include "nbd/export.h"
#include "nbd/nbd_limits.h"

struct connection;

struct connection_options {
    struct loop *loop;
    struct io_socket *socket; /* the connection's from now on, if it could be made */
    const struct list *exports;
    struct buffer_pool *pool;
    struct log_limit *log_limit;     /* for lines that clients cause */
    const struct nbd_limits *limits; /* no field is 0 */
    /* The connection is gone; called on a later turn. `node` is what connection_new() returned. */
    void (*closed_cb)(void *arg, struct list *node);
    void *arg;
};

/* 0 or -ENOMEM. `ret_node`: for the owner's list; connection_of() leads back. */
int connection_new(const struct connection_options *options, struct list **ret_node);
struct connection *connection_of(struct list *node);

bool connection_is_negotiating(const struct connection *connection);
const char *connection_peer(const struct connection *connection); /* address, for log lines */
uint64_t connection_start_ns(const struct connection *connection);
/* Do both come from one address? Unix sockets have none. */
bool connection_shares_address(const struct connection *one, const struct connection *other);

/* Ends it: in the handshake at once, later after the requests under way got their replies (a client
 * that does not read them is given a few seconds). Idempotent. */
void connection_end(struct connection *connection);

#endif

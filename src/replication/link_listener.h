/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts the peers' connections on one address and hands each, once its handshake named a known
 * peer and proved the key, to that peer's link. A wrong key or unknown name gets nothing but a
 * closed connection. Connections that have not come so far are few and short-lived: at most 16 (the
 * oldest makes room for the newest), 10 s each.
 */
#ifndef REPLICATION_LINK_LISTENER_H
#define REPLICATION_LINK_LISTENER_H

#include "io/socket.h"

struct link;
struct link_listener;

/* `links` is copied; the links must outlive link_listener_stop(). All of them have a key or none;
 * all are of the same site. Accepts from the call on. */
int link_listener_new(struct loop *loop, const char *address, struct link **links,
                      unsigned link_count, struct link_listener **ret_listener, struct err *err);
uint16_t link_listener_port(struct link_listener *listener);
/* Why the last connection that came to nothing was refused; "": none was. */
const char *link_listener_refused(const struct link_listener *listener);
/* Stop it before its links. */
void link_listener_stop(struct link_listener *listener, void (*stopped_cb)(void *arg), void *arg);
void link_listener_free(struct link_listener *listener);

#endif

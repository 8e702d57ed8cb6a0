/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake's decisions: what we say of ourselves and whether we go on with a peer. Pure. */
#ifndef REPLICATION_LINK_HELLO_H
#define REPLICATION_LINK_HELLO_H

#include "base/err.h"
#include "wire/link_message.h"

/* "verso:DIALLER:ACCEPTOR", the TLS identity: it binds the roles, so that a peer's own words cannot
 * be reflected at it. `ret_text` has room for 2 names and 8 more. */
void link_hello_identity(const char *dialler, const char *acceptor, char *ret_text, size_t size);

/* May we go on with the sender of `hello`? 0; -ELOOP: it is us; -ENOENT: not the expected peer;
 * -EPROTONOSUPPORT: no common protocol version; -EPROTO: wrong role or nonce. */
int link_hello_judge(const struct link_hello *ours, const char *peer_name,
                     const struct link_hello *hello, struct err *err);
/* The REFUSE reason of such a code. */
uint16_t link_hello_refusal(int code);

/* When both sites dial at once, the connection dialled by the smaller id stays. */
bool link_hello_is_winner(uint64_t dialler_id, uint64_t acceptor_id);

#endif

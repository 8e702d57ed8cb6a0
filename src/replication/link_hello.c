/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may be at the other end. `ours` is what we sent or are going to send on the connection, so
 * its role is the opposite of the peer's, and its nonce is what the acceptor must echo.
 */
#include "replication/link_hello.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

void link_hello_identity(const char *dialler, const char *acceptor, char *ret_text, size_t size)
{
    int length = snprintf(ret_text, size, "verso:%s:%s", dialler, acceptor);

    check(length > 0 && (size_t)length < size);
}

int link_hello_judge(const struct link_hello *ours, const char *peer_name,
                     const struct link_hello *hello, struct err *err)
{
    if (hello->site_id == ours->site_id || hello->nonce == ours->nonce ||
        strcmp(hello->site, ours->site) == 0)
        return err_set(err, -ELOOP,
                       "the peer shows our own identity (site %s, id %016llx): a connection to "
                       "ourselves, or a copy of our data directory",
                       hello->site, (unsigned long long)hello->site_id);
    if (strcmp(hello->site, peer_name) != 0)
        return err_set(err, -ENOENT, "the peer is site %s, expected %s", hello->site, peer_name);
    if (hello->protocol_max < ours->protocol_min || hello->protocol_min > ours->protocol_max)
        return err_set(err, -EPROTONOSUPPORT,
                       "site %s speaks link protocol %u to %u (%s), site %s speaks %u to %u (%s)",
                       hello->site, hello->protocol_min, hello->protocol_max, hello->software,
                       ours->site, ours->protocol_min, ours->protocol_max, ours->software);
    if (hello->role == ours->role)
        return err_set(err, -EPROTO, "site %s takes our role in the handshake", hello->site);
    if (hello->role == LINK_ACCEPTOR ? hello->echo != ours->nonce : hello->echo != 0)
        return err_set(err, -EPROTO, "site %s answers another connection", hello->site);
    return 0;
}

uint16_t link_hello_refusal(int code)
{
    check(code < 0);
    return code == -EPROTONOSUPPORT ? LINK_REFUSAL_VERSION : LINK_REFUSAL_IDENTITY;
}

bool link_hello_is_winner(uint64_t dialler_id, uint64_t acceptor_id)
{
    check(dialler_id != acceptor_id);
    return dialler_id < acceptor_id;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients may take of the server, all of it (docs/nbd.md, Limits). A field that is 0 means its
 * default. What the protocol itself bounds is in wire/nbd_proto.h.
 */
#ifndef NBD_NBD_LIMITS_H
#define NBD_NBD_LIMITS_H

#include <stdint.h>

struct nbd_limits {
    unsigned connections_max;        /* 1024 */
    unsigned handshakes_max;         /* connections that still negotiate: 64 */
    unsigned handshakes_address_max; /* of one address; unix sockets have none: 16 */
    unsigned requests_max;           /* of a connection, from header to sent reply: 256 */
    uint64_t handshake_ns_max;       /* 10 s */
    uint64_t payload_ns_max;         /* a payload that makes no progress: 30 s */
    uint64_t connection_bytes_max;   /* buffers of a connection's requests: 64 MiB */
    uint64_t buffer_bytes_max;       /* of all connections': 512 MiB */
};

#endif

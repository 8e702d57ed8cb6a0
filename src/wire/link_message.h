/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of the link's own frames (docs/link.md): HELLO, REFUSE, and the fixed small ones. Pure.
 */
#ifndef WIRE_LINK_MESSAGE_H
#define WIRE_LINK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINK_PROTOCOL_MIN = 1, /* versions of the protocol that we speak */
    LINK_PROTOCOL_MAX = 2,
    LINK_NAME_SIZE = 64, /* of a site, of the software, with the NUL */
    LINK_STREAM_SIZE = 40,
    LINK_HELLO_SIZE_MAX = 40 + 2 * (LINK_NAME_SIZE - 1),
    LINK_REFUSE_TEXT_SIZE = 256,
    LINK_WINDOW_MIN = 2 << 20,
    LINK_WINDOW_MAX = 1 << 30,
};

enum link_role { LINK_DIALLER = 0, LINK_ACCEPTOR = 1 };

struct link_hello {
    uint16_t protocol_min, protocol_max;
    uint8_t role; /* of the sender */
    uint64_t site_id;
    uint64_t nonce;  /* random, of this connection */
    uint64_t echo;   /* the other side's nonce; 0 from the dialler, who speaks first */
    uint32_t window; /* bytes of a channel's data frames that may be under way to the sender */
    char site[LINK_NAME_SIZE];
    char software[LINK_NAME_SIZE];
};

enum link_refusal {
    LINK_REFUSAL_VERSION = 1, /* no common protocol version; the text names both */
    LINK_REFUSAL_DUPLICATE,   /* another connection between us is being made: use that one */
    LINK_REFUSAL_IDENTITY,    /* you are not who I expect, or you are me */
    LINK_REFUSAL_STOPPING,
};

struct link_refuse {
    uint16_t reason;
    char text[LINK_REFUSE_TEXT_SIZE]; /* printable */
};

/* Names of sites and streams: 1 to size - 1 characters of [0-9A-Za-z._-]. */
bool link_name_is_valid(const char *name, size_t size);

/* Returns the length; `ret_bytes` has room for LINK_HELLO_SIZE_MAX. */
uint32_t link_hello_encode(const struct link_hello *hello, uint8_t *ret_bytes);
/* False: malformed. Bytes behind the known ones are a later version's and ignored. */
bool link_hello_decode(const uint8_t *bytes, size_t length, struct link_hello *ret_hello);

/* Text that is not printable or too long is changed or cut. Returns the length; `ret_bytes` has
 * room for 4 + LINK_REFUSE_TEXT_SIZE. */
uint32_t link_refuse_encode(const struct link_refuse *refuse, uint8_t *ret_bytes);
bool link_refuse_decode(const uint8_t *bytes, size_t length, struct link_refuse *ret_refuse);

#endif

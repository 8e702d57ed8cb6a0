/* SPDX-License-Identifier: Apache-2.0 */
/* NBD's handshake between bytes and structs: options in, option replies out. Pure. */
#ifndef WIRE_NBD_OPTIONS_H
#define WIRE_NBD_OPTIONS_H

#include "base/bytes.h"
#include "wire/nbd_proto.h"

struct nbd_option_header {
    uint32_t option;
    uint32_t length; /* of the data behind the header; any value */
};

/* A piece of the option's own bytes; not NUL-terminated. */
struct nbd_text {
    const char *bytes;
    uint32_t length;
};

/* INFO and GO. */
struct nbd_info_request {
    struct nbd_text name;
    bool wants_name, wants_description, wants_block_size;
};

/* LIST_META_CONTEXT and SET_META_CONTEXT. */
struct nbd_meta_request {
    struct nbd_text name;
    uint32_t query_count;
    bool has_allocation; /* a query "base:allocation" */
    bool has_wildcard;   /* a query "base:" */
};

/* From NBD_OPTION_HEADER_BYTES bytes. -EPROTO: not an option. */
int nbd_option_header_decode(const uint8_t *bytes, struct nbd_option_header *ret_header);

/* Both want the option's whole data. -EINVAL: lengths that do not add up, or a name or query
 * longer than NBD_NAME_BYTES_MAX, or a NUL within one. */
int nbd_info_request_decode(const uint8_t *bytes, size_t length,
                            struct nbd_info_request *ret_request);
int nbd_meta_request_decode(const uint8_t *bytes, size_t length,
                            struct nbd_meta_request *ret_request);

/* Each appends one whole message; `writer` turns failed when it lacks the room. */
void nbd_encode_greeting(struct bytes_writer *writer, uint16_t handshake_flags);
void nbd_encode_export_name_reply(struct bytes_writer *writer, uint64_t size_bytes,
                                  uint16_t export_flags, bool no_zeroes);
/* A reply with `length` bytes of data: a text for errors, nothing for ACK. */
void nbd_encode_option_reply(struct bytes_writer *writer, uint32_t option, uint32_t type,
                             const void *bytes, uint32_t length);
void nbd_encode_server_reply(struct bytes_writer *writer, const char *name,
                             const char *description);
void nbd_encode_export_info(struct bytes_writer *writer, uint32_t option, uint64_t size_bytes,
                            uint16_t export_flags);
void nbd_encode_block_size_info(struct bytes_writer *writer, uint32_t option);
/* `info`: NBD_INFO_NAME or NBD_INFO_DESCRIPTION. */
void nbd_encode_text_info(struct bytes_writer *writer, uint32_t option, uint16_t info,
                          const char *text);
void nbd_encode_meta_reply(struct bytes_writer *writer, uint32_t option, uint32_t context_id);

#define NBD_META_ALLOCATION "base:allocation"

#endif

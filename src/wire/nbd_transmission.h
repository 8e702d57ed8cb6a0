/* SPDX-License-Identifier: Apache-2.0 */
/* NBD's transmission phase between bytes and structs: requests in, replies out. Pure. */
#ifndef WIRE_NBD_TRANSMISSION_H
#define WIRE_NBD_TRANSMISSION_H

#include "base/bytes.h"
#include "wire/nbd_proto.h"

struct nbd_request_header {
    uint16_t flags; /* enum nbd_command_flag */
    uint16_t type;  /* enum nbd_command, or anything */
    uint64_t cookie;
    uint64_t offset;
    uint32_t length;
};

/* What the export can do, as far as a request's validity depends on it. */
struct nbd_request_limits {
    uint64_t size_bytes;
    bool is_read_only;
    bool has_structured_replies;
    bool has_allocation_context;
};

/* From NBD_REQUEST_BYTES bytes. -EPROTO: not a request. */
int nbd_request_decode(const uint8_t *bytes, struct nbd_request_header *ret_header);
/* Must the request be refused? 0 or an nbd_error. DISC is always 0. */
uint32_t nbd_request_verify(const struct nbd_request_header *header,
                            const struct nbd_request_limits *limits);
/* The NBD error for a negative errno; 0 stays 0. */
uint32_t nbd_error_from_errno(int error);

/* Each fills exactly the bytes its name says. */
void nbd_simple_reply_encode(uint8_t *bytes, uint32_t error, uint64_t cookie);
/* The header of an OFFSET_DATA chunk that is the whole reply; `length` bytes of data follow. */
enum { NBD_DATA_CHUNK_BYTES = NBD_CHUNK_HEADER_BYTES + 8 };
void nbd_data_chunk_encode(uint8_t *bytes, uint64_t cookie, uint64_t offset, uint32_t length);
/* An ERROR chunk, last of its reply, without text. */
enum { NBD_ERROR_CHUNK_BYTES = NBD_CHUNK_HEADER_BYTES + 6 };
void nbd_error_chunk_encode(uint8_t *bytes, uint64_t cookie, uint32_t error);
/* The header of a BLOCK_STATUS chunk, last of its reply; the extents follow. */
enum { NBD_STATUS_CHUNK_BYTES = NBD_CHUNK_HEADER_BYTES + 4 };
void nbd_status_chunk_encode(uint8_t *bytes, uint64_t cookie, uint32_t context_id,
                             uint32_t extent_count);

/*
 * Gathers a BLOCK_STATUS reply: runs are appended in order; neighbours of equal state are merged,
 * ends are rounded to NBD_BLOCK_BYTES_MIN in favour of "data", and no byte past the request is
 * described.
 */
struct nbd_extent_list {
    uint8_t *bytes; /* NBD_EXTENT_BYTES each; the caller's */
    uint32_t count, count_max;
    uint64_t end;        /* where the next run must begin */
    uint64_t length_max; /* bytes of the request not yet described */
};

/* False: full or complete, nothing more is taken. */
bool nbd_extent_append(struct nbd_extent_list *list, uint64_t offset, uint64_t length,
                       bool is_hole);

#endif

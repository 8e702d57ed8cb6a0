/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the NBD protocol, as its specification gives them
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). Big-endian on the wire.
 * All are macros or 32-bit enums: several need the full 64 bits.
 */
#ifndef WIRE_NBD_PROTO_H
#define WIRE_NBD_PROTO_H

#include <stdint.h>

#define NBD_MAGIC UINT64_C(0x4e42444d41474943)        /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_OPTION_REPLY_MAGIC UINT64_C(0x3e889045565a9)
#define NBD_REQUEST_MAGIC UINT32_C(0x25609513)
#define NBD_SIMPLE_REPLY_MAGIC UINT32_C(0x67446698)
#define NBD_CHUNK_MAGIC UINT32_C(0x668e33ef)

/* Sizes on the wire. */
enum {
    NBD_GREETING_BYTES = 18, /* two magics, flags */
    NBD_CLIENT_FLAGS_BYTES = 4,
    NBD_OPTION_HEADER_BYTES = 16,
    NBD_OPTION_REPLY_HEADER_BYTES = 20,
    NBD_EXPORT_NAME_REPLY_BYTES = 10,
    NBD_EXPORT_NAME_PADDING_BYTES = 124,
    NBD_REQUEST_BYTES = 28,
    NBD_SIMPLE_REPLY_BYTES = 16,
    NBD_CHUNK_HEADER_BYTES = 20,
    NBD_EXTENT_BYTES = 8,
};

/* What we accept and serve. */
enum {
    NBD_NAME_BYTES_MAX = 4096, /* the specification's limit for strings */
    NBD_OPTION_BYTES_MAX = 64 << 10,
    NBD_PAYLOAD_BYTES_MAX = 32 << 20,
    NBD_BLOCK_BYTES_MIN = 512,
    NBD_BLOCK_BYTES_PREFERRED = 4096,
};

enum nbd_handshake_flag { NBD_FIXED_NEWSTYLE = 1, NBD_NO_ZEROES = 2 };

enum nbd_option {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ACK UINT32_C(1)
#define NBD_REP_SERVER UINT32_C(2)
#define NBD_REP_INFO UINT32_C(3)
#define NBD_REP_META_CONTEXT UINT32_C(4)
#define NBD_REP_ERROR_BIT (UINT32_C(1) << 31)
#define NBD_REP_ERR_UNSUP (NBD_REP_ERROR_BIT + 1)
#define NBD_REP_ERR_POLICY (NBD_REP_ERROR_BIT + 2)
#define NBD_REP_ERR_INVALID (NBD_REP_ERROR_BIT + 3)
#define NBD_REP_ERR_UNKNOWN (NBD_REP_ERROR_BIT + 6)
#define NBD_REP_ERR_TOO_BIG (NBD_REP_ERROR_BIT + 9)

enum nbd_info {
    NBD_INFO_EXPORT = 0,
    NBD_INFO_NAME = 1,
    NBD_INFO_DESCRIPTION = 2,
    NBD_INFO_BLOCK_SIZE = 3,
};

enum nbd_export_flag {
    NBD_FLAG_HAS_FLAGS = 1 << 0,
    NBD_FLAG_READ_ONLY = 1 << 1,
    NBD_FLAG_SEND_FLUSH = 1 << 2,
    NBD_FLAG_SEND_FUA = 1 << 3,
    NBD_FLAG_SEND_TRIM = 1 << 5,
    NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6,
    NBD_FLAG_SEND_DF = 1 << 7,
    NBD_FLAG_CAN_MULTI_CONN = 1 << 8,
    NBD_FLAG_SEND_CACHE = 1 << 10,
    NBD_FLAG_SEND_FAST_ZERO = 1 << 11,
};

enum nbd_command {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
};

enum nbd_command_flag {
    NBD_CMD_FLAG_FUA = 1 << 0,
    NBD_CMD_FLAG_NO_HOLE = 1 << 1,
    NBD_CMD_FLAG_DF = 1 << 2,
    NBD_CMD_FLAG_REQ_ONE = 1 << 3,
    NBD_CMD_FLAG_FAST_ZERO = 1 << 4,
};

enum nbd_chunk_type {
    NBD_CHUNK_NONE = 0,
    NBD_CHUNK_OFFSET_DATA = 1,
    NBD_CHUNK_BLOCK_STATUS = 5,
    NBD_CHUNK_ERROR = 0x8001,
};

enum { NBD_CHUNK_DONE = 1 }; /* a chunk's flag: the last one of its reply */

enum nbd_state { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2 }; /* base:allocation */

enum nbd_error {
    NBD_EPERM = 1,
    NBD_EIO = 5,
    NBD_ENOMEM = 12,
    NBD_EINVAL = 22,
    NBD_ENOSPC = 28,
    NBD_EOVERFLOW = 75,
    NBD_ENOTSUP = 95,
    NBD_ESHUTDOWN = 108,
};

#endif

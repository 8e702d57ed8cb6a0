/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a volume, by a host or by replication. */
#ifndef VOLUME_REQUEST_H
#define VOLUME_REQUEST_H

#include "base/blockset.h"
#include "store/store_driver.h"

struct volume;
struct volume_request;

enum volume_op {
    VOLUME_READ,
    VOLUME_WRITE,
    VOLUME_FLUSH, /* covers every write replied to before it was submitted */
    VOLUME_TRIM,  /* a hint: whole blocks inside become holes */
    VOLUME_WRITE_ZEROES,
    VOLUME_CACHE, /* a hint; ends with 0 */
};

enum volume_flags {
    VOLUME_FUA = 1,       /* durable before the reply (writes, trims, zeroes) */
    VOLUME_NO_HOLE = 2,   /* zeroes: keep the space */
    VOLUME_FAST_ZERO = 4, /* zeroes: -ENOTSUP rather than slow */
};

enum { VOLUME_SECTOR = 512, VOLUME_REQUEST_BYTES_MAX = 32 << 20 };

/* Embedded in the requester; iov and its bytes stay until done_cb, which is never called from
 * inside volume_submit(). Offsets and lengths: bytes, multiples of 512, inside the volume (the
 * caller checked). For whole-block requests no bytes are copied. */
struct volume_request {
    enum volume_op op;
    unsigned flags;
    uint64_t offset, length;
    const struct iovec *iov;
    unsigned iov_count;
    void (*done_cb)(struct volume_request *request, int error); /* 0 or negative errno */
    /* The volume's: */
    struct volume *volume;
    struct store_op store_op;
    struct list node;
    uint64_t private[32];
};

/* Copies `length` bytes into the iov of a read, beginning `at` bytes behind its start. What is
 * behind the iov's end is left out. */
void request_copy_out(const struct volume_request *request, uint64_t at, const uint8_t *bytes,
                      uint64_t length);

/* Of requests of hosts. Writes are all that change the disk (zeroes, trims); what waits while the
 * volume is held counts from when it goes on. */
struct volume_counters {
    uint64_t reads, writes;
    uint64_t read_bytes, write_bytes;
    uint64_t read_ns, write_ns; /* sums of what each took, from submission to the end */
    uint64_t errors;            /* requests that failed */
    uint64_t full;              /* of these: no space was left */
};

#endif

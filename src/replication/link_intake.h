/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving side of a connection's channels: which number is which stream, and how much of each
 * stream's data is not yet consumed. Pure.
 */
#ifndef REPLICATION_LINK_INTAKE_H
#define REPLICATION_LINK_INTAKE_H

#include <stdint.h>

#include "base/err.h"
#include "wire/link_message.h"

enum {
    LINK_INTAKE_WINDOW = 8 << 20,       /* ours: bytes of data a channel may have unconsumed */
    LINK_INTAKE_CREDIT_MIN = 256 << 10, /* credit goes back in portions of at least this */
};

struct link_intake_channel {
    char stream[LINK_STREAM_SIZE];
    uint32_t unconsumed; /* data that came, not yet told consumed; at most the window */
    uint32_t owed;       /* consumed, credit not yet sent back */
};

struct link_intake {
    struct link_intake_channel *channels; /* 0 is the call channel, "" */
    unsigned channel_count, channel_size;
    uint64_t credit_bytes; /* LINK_INTAKE_CREDIT_MIN, but for tests (pieces.h) */
};

int link_intake_init(struct link_intake *intake); /* 0 or -ENOMEM */
void link_intake_fini(struct link_intake *intake);

/* The peer announces channel `number`. -EPROTO: not the next number, no valid or not a new name. */
int link_intake_open(struct link_intake *intake, uint16_t number, const uint8_t *name,
                     uint32_t length, struct err *err);
/* The stream of a channel, NULL if it was never announced. */
const char *link_intake_stream(const struct link_intake *intake, uint16_t number);
/* A data frame came. -EPROTO: channel unknown, or beyond the window. */
int link_intake_data(struct link_intake *intake, uint16_t number, uint32_t length, struct err *err);
/* Data was consumed. Returns the credit to send back now, on *ret_number; 0: none yet. Unknown
 * streams and more than came are ignored. */
uint32_t link_intake_consumed(struct link_intake *intake, const char *stream, uint32_t length,
                              uint16_t *ret_number);

#endif

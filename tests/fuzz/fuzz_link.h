/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile end of a link, above TLS: frames with the right checksums and sequence, or not. What
 * the attacked end sends must always be well formed; that is checked here.
 */
#ifndef FUZZ_LINK_H
#define FUZZ_LINK_H

#include "fuzz_scene.h"
#include "wire/link_frame.h"
#include "wire/link_message.h"

struct fuzz_link {
    struct fuzz_peer peer;
    struct link_decoder decoder;
    bool has_decoder;
    uint64_t sequence; /* of our next frame */
    struct link_hello theirs;
    bool has_hello, is_ready; /* what they sent */
    uint64_t data_bytes[8];   /* of theirs, by channel, not yet credited */
    /* Their frames but for the greeting; may be NULL. */
    void (*frame_cb)(void *arg, const struct link_frame *frame);
    void *arg;
};

/* Connects to `address`, or accepts on `listener`. Keeps frame_cb and arg. False: refused. */
bool fuzz_link_open(struct fuzz_link *link, struct fuzz_scene *scene, const char *address,
                    struct io_socket *listener);
void fuzz_link_close(struct fuzz_link *link);
/* The honest greeting, as "lyon", with what is theirs so far. */
void fuzz_link_greet(struct fuzz_link *link, bool is_dialler);
struct link_hello fuzz_link_hello(const struct fuzz_link *link, bool is_dialler);
/* Any kind, any numbers; the checksums are right. */
void fuzz_link_send(struct fuzz_link *link, uint8_t kind, uint16_t type, uint16_t channel,
                    const void *bytes, uint32_t length);
/* Gives back what was received on every channel. */
void fuzz_link_credit(struct fuzz_link *link);

#endif

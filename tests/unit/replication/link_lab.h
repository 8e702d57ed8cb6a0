/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sites' links in one process on one real loop, a proxy that can hold and damage bytes between
 * them, and a raw peer that speaks what it likes.
 */
#ifndef TEST_LINK_LAB_H
#define TEST_LINK_LAB_H

#include "replication/link.h"
#include "replication/link_listener.h"
#include "wire/link_frame.h"

struct lab {
    struct loop *loop;
    struct loop_timer timer;
    uint64_t deadline_ns;
    bool (*until)(void *arg);
    void *arg;
    bool is_met;
};

/* Runs the loop until `until` says yes; fails the test after `seconds`. */
void lab_init(struct lab *lab);
void lab_fini(struct lab *lab);
void lab_run(struct lab *lab, bool (*until)(void *arg), void *arg, double seconds);
/* Runs the loop for so long. */
void lab_pass(struct lab *lab, double seconds);
uint16_t lab_free_port(void);

struct lab_site {
    struct lab *lab;
    char name[16], address[32], peer_address[32];
    struct link *link;
    struct link_listener *listener;
    unsigned up_count, down_count, frame_count, room_count;
    uint64_t data_bytes, bytes_before_text;
    uint64_t stream_bytes[4]; /* of streams "pg-0" .. "pg-3" */
    uint64_t check;           /* next expected first word of a data frame of pg-0 */
    bool has_order_error, refuses_frames, keeps_credit, is_stopped, is_listener_stopped;
    char last_text[64];
    char down_why[200];
    /* May be set by a test. */
    bool (*frame_cb)(struct lab_site *site, const struct link_frame_in *frame, struct err *why);
    void (*room_cb)(struct lab_site *site, const char *stream);
    void (*down_cb)(struct lab_site *site);
    void *user;
};

struct lab_options {
    const uint8_t *psk;
    size_t psk_length;
    uint64_t site_id;
    uint64_t heartbeat_ns, silence_ns, backoff_min_ns, backoff_max_ns;
    bool dials, listens;
    uint16_t port, peer_port; /* own listener's, the one to dial */
};

void site_start(struct lab_site *site, struct lab *lab, const char *name, const char *peer,
                const struct lab_options *options);
void site_stop(struct lab_site *site);
bool site_is_up(void *site);

/* Takes one connection after the other on `port` and passes bytes on to `to_port`. */
struct lab_proxy {
    struct lab *lab;
    struct io_socket *listener;
    struct io_connect accept, connect;
    char to_address[32];
    struct io_socket *ends[2]; /* accepted, connected */
    struct {
        struct lab_proxy *proxy;
        struct io_op recv_op, send_op;
        struct iovec iov;
        uint8_t bytes[65536];
        bool is_active;
        uint64_t passed;
    } ways[2];
    bool is_accepting, is_connecting, is_stopping, holds;
    int64_t flip_bit; /* of way 0, counted in each connection; -1: none */
    unsigned connection_count;
};

void proxy_start(struct lab_proxy *proxy, struct lab *lab, uint16_t port, uint16_t to_port);
void proxy_stop(struct lab_proxy *proxy);

/* A client that sends bytes and collects what comes until the other side closes. */
struct lab_raw {
    struct lab *lab;
    struct io_connect connect;
    struct io_op recv_op, send_op;
    struct io_socket *socket;
    struct iovec iov;
    uint8_t out[4096], in[65536];
    size_t out_length, in_length;
    bool is_closed, is_sending;
};

void raw_start(struct lab_raw *raw, struct lab *lab, uint16_t port, const void *bytes,
               size_t length);
void raw_send_more(struct lab_raw *raw, const void *bytes, size_t length);
/* `bytes` stay until it is closed. */
void raw_send_long(struct lab_raw *raw, const void *bytes, size_t length);
void raw_finish(struct lab_raw *raw); /* runs until the other side closed */
bool raw_is_closed(void *raw);
/* Appends a frame to `bytes`; returns its size. */
size_t raw_frame(uint8_t *bytes, uint8_t kind, uint16_t channel, uint64_t sequence,
                 const void *payload, uint32_t length);

#endif

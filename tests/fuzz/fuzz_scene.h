/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site that is attacked, and a stranger's machine with raw connections to it, both on the
 * simulated loop (tests/sim): virtual time, so that slow clients and time limits cost nothing, and
 * the same input always does the same.
 */
#ifndef FUZZ_SCENE_H
#define FUZZ_SCENE_H

#include "fuzz.h"
#include "io/socket.h"
#include "sim.h"

struct fuzz_scene {
    struct sim_world *world;
    struct sim_site *server, *client;
};

void fuzz_scene_open(struct fuzz_scene *scene);
/* All that the server's code allocated must be gone by then. */
void fuzz_scene_close(struct fuzz_scene *scene);
/* As the server's process. */
void fuzz_scene_call(struct fuzz_scene *scene, void (*fn)(void *arg), void *arg);
void fuzz_scene_run_us(struct fuzz_scene *scene, uint64_t us);
/* Runs until *flag; that takes longer than a virtual minute: the server hangs. */
void fuzz_scene_await(struct fuzz_scene *scene, const bool *flag);
/* Calls fn(arg) and awaits *is_done; returns what is then in *error, 0 before. */
int fuzz_scene_run(struct fuzz_scene *scene, void (*fn)(void *arg), void *arg, bool *is_done,
                   int *error);

/* One raw connection of the stranger's. */
struct fuzz_peer {
    struct fuzz_scene *scene;
    struct io_connect connect;
    struct io_socket *socket; /* NULL: none */
    struct io_op recv_op, send_op;
    bool is_connecting, is_receiving, is_sending, is_deaf, is_ended;
    uint8_t in[1 << 13];
    uint8_t *out;
    struct iovec iov;
    /* What came, in order; NULL: nobody cares. */
    void (*bytes_cb)(void *arg, const uint8_t *bytes, size_t length);
    void *arg;
};

/* Connects and runs until that is done; false: refused. The peer is zeroed but for the callback. */
bool fuzz_peer_open(struct fuzz_peer *peer, struct fuzz_scene *scene, const char *address);
/* Accepts on `listener` instead (the server dials). */
bool fuzz_peer_accept(struct fuzz_peer *peer, struct fuzz_scene *scene, struct io_socket *listener);
/* Sends, and runs until the server's kernel has it, 20 ms at most: then the rest is dropped and
 * false comes (the server does not read). `piece`: bytes a send, 0 for all at once. */
bool fuzz_peer_send(struct fuzz_peer *peer, const void *bytes, size_t length, size_t piece);
/* A deaf one does not read what comes. */
void fuzz_peer_deafen(struct fuzz_peer *peer, bool is_deaf);
void fuzz_peer_close(struct fuzz_peer *peer); /* of none: nothing */

#endif

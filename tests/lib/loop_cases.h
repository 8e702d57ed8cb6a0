/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance test of loops: what every implementation of io/loop.h must do, as one suite of
 * cases over a loop that a factory makes. The real ones and the simulated one run it.
 */
#ifndef TESTS_LIB_LOOP_CASES_H
#define TESTS_LIB_LOOP_CASES_H

#include "io/file.h"
#include "io/socket.h"

struct loop_cases {
    const char *name;                /* of the group in the report */
    struct loop *(*make)(void *arg); /* a fresh loop for one case; freed by loop_free() */
    void *arg;
    const char *folder;       /* for files; exists or can be made by io_dir_make() */
    const char *unix_address; /* "unix:..." free to listen on */
    const char *tcp_listen;   /* "127.0.0.1:0": a port is chosen */
    bool has_threads;         /* other threads may post, and one may make and another run */
};

/* Runs all cases; returns the number that failed, for main(). */
int loop_cases_run(const struct loop_cases *cases);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop for unit tests that want to hold operations back and see their order: files in memory,
 * completions by hand, time by hand. No sockets. The simulated loop (tests/sim) is for whole
 * engines; this one is for one object.
 */
#ifndef FAKE_LOOP_H
#define FAKE_LOOP_H

#include "io/loop_ops.h"

enum { FAKE_FILES = 8, FAKE_LOG_BYTES = 1 << 16 };

struct io_file {
    struct io_handle handle; /* first */
    char path[128];          /* empty: free */
    uint8_t *bytes;
    uint64_t size;
    bool is_open;
};

struct fake_loop {
    struct loop loop; /* first */
    uint64_t now_ns;
    uint64_t random; /* loop_random() is made of it */
    struct list tasks, timers;
    struct list pending; /* file operations, by submission */
    bool is_held;        /* file operations wait for fake_loop_complete() */
    struct io_file files[FAKE_FILES];
    /* What the next such operations get, 0: none. */
    int write_error, sync_error, read_error, open_error;
    unsigned op_count;        /* file operations begun, blocking ones too */
    unsigned task_count;      /* tasks that ran */
    uint64_t read_now_bytes;  /* that blocking reads asked for */
    char log[FAKE_LOG_BYTES]; /* "write intent 4096+4096", "sync intent" a line */
};

void fake_loop_init(struct fake_loop *fake);
void fake_loop_fini(struct fake_loop *fake);
/* Runs tasks and (unless held) file operations until nothing is left. */
void fake_loop_run(struct fake_loop *fake);
/* Ends the oldest pending file operation, tasks around it included. False: there is none. */
bool fake_loop_complete(struct fake_loop *fake);
/* Moves time, fires timers, runs. */
void fake_loop_advance(struct fake_loop *fake, uint64_t ns);
/* Appends a line to the log. */
void fake_loop_log(struct fake_loop *fake, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct io_file *fake_loop_file(struct fake_loop *fake, const char *path); /* NULL: none */

#endif

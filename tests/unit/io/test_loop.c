/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite on the real loops, each with files on a disk and in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/lib/loop_cases.h"

static struct loop *make_loop(void *arg)
{
    const enum loop_kind *kind = arg;
    struct loop *loop = NULL;
    struct err err;

    if (loop_new(*kind, &loop, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    return loop;
}

static int run(const char *name, enum loop_kind kind, const char *where)
{
    char folder[200], address[300];
    struct loop_cases cases = {.name = name, .make = make_loop, .arg = &kind, .has_threads = true};
    int failed;

    snprintf(folder, sizeof(folder), "%s/verso-test-loop-XXXXXX", where);
    check(mkdtemp(folder) != NULL);
    snprintf(address, sizeof(address), "unix:%s.sock", folder);
    cases.folder = folder;
    cases.unix_address = address;
    cases.tcp_listen = "127.0.0.1:0";
    failed = loop_cases_run(&cases);
    if (failed == 0) {
        char command[300];
        snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        check(system(command) == 0);
    }
    return failed;
}

static bool has_uring(void)
{
    struct loop *loop;

    if (loop_new(LOOP_URING, &loop, NULL) < 0)
        return false;
    check(strcmp(loop_name(loop), "uring") == 0);
    loop_free(loop);
    check(loop_new(LOOP_AUTO, &loop, NULL) == 0);
    check(strcmp(loop_name(loop), "uring") == 0); /* it is taken where it is there */
    loop_free(loop);
    return true;
}

int main(void)
{
    const char *disk = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
    int failed = 0;

    if (has_uring()) {
        failed += run("uring, disk", LOOP_URING, disk);
        failed += run("uring, memory", LOOP_URING, "/dev/shm");
    } else {
        fprintf(stderr, "io_uring cannot be used here: only the threads loop is tested\n");
    }
    failed += run("threads, disk", LOOP_THREADS, disk);
    failed += run("threads, memory", LOOP_THREADS, "/dev/shm");
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A process in the sandbox asks for what an intruder would: each thread of it is refused. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

static atomic_int go;

/* What went wrong, as the exit status of the child: the number of the line. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return (void *)(intptr_t)__LINE__;                                                     \
    } while (0)

static void *ask(void *arg)
{
    char *const argv[] = {"true", NULL};
    uint8_t params[120] = {0}; /* struct io_uring_params, with room */
    int fd;

    while (atomic_load(&go) == 0) /* it began before the sandbox: the list reaches it, too */
        sched_yield();
    EXPECT(syscall(SYS_io_uring_setup, 8, params) < 0 && errno == EPERM);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 0) < 0 && errno == EPERM);
    if (IS_SANITIZED)
        return NULL;
    EXPECT(execv("/bin/true", argv) < 0 && errno == EPERM);
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM);
    EXPECT(syscall(SYS_fork) < 0 && errno == EPERM);
    EXPECT(fork() < 0);
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED);
    EXPECT(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0) < 0 && errno == EPERM);
    EXPECT(syscall(SYS_mount, "", "", "", 0, NULL) < 0 && errno == EPERM);
    fd = open("/dev/null", O_RDONLY); /* the daemon's own work goes on */
    EXPECT(fd >= 0);
    EXPECT(close(fd) == 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(fd >= 0);
    EXPECT(listen(fd, 1) < 0 && errno == EPERM);
    return NULL;
}

static void *nothing(void *arg)
{
    return arg;
}

static void *ask_narrow(void *arg)
{
    struct err err = {0};
    char byte;
    int pair[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0); /* not even before */
    EXPECT(sandbox_narrow(&err) == 0);
    EXPECT(open("/dev/null", O_RDONLY) < 0 && errno == EPERM);
    EXPECT(pread(0, &byte, 1, 0) < 0 && errno == EPERM);
    EXPECT(unlink("/nowhere") < 0 && errno == EPERM);
    EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    EXPECT(malloc(1 << 20) != NULL);
    return NULL;
}

static int run_child(bool is_narrow)
{
    struct err err = {0};
    pthread_t thread;
    void *line = NULL;

    sandbox_hide_memory();
    if (!IS_SANITIZED && prctl(PR_GET_DUMPABLE) != 0)
        return 3;
    if (pthread_create(&thread, NULL, ask, NULL) != 0 || sandbox_enter(&err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    atomic_store(&go, 1);
    pthread_join(thread, &line);
    if (line != NULL)
        return (int)(intptr_t)line;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0) /* workers start late */
        return 2;
    pthread_join(thread, NULL);
    if (is_narrow && !IS_SANITIZED) {
        pthread_create(&thread, NULL, ask_narrow, NULL);
        pthread_join(thread, &line);
    }
    return (int)(intptr_t)line;
}

static void check_child(bool is_narrow)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(run_child(is_narrow));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* else: the line that was not refused */
}

static void test_process(void **state)
{
    check_child(false);
}

static void test_door(void **state)
{
    check_child(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

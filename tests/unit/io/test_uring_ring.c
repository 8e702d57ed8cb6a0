/* SPDX-License-Identifier: Apache-2.0 */
/* The ring refuses what the loop never asks for, also when it is asked directly. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/uring_ring.h"

static struct uring_ring ring;

static int start(void **state)
{
    struct err err = {0};

    memset(&ring, 0, sizeof(ring));
    if (uring_ring_init(&ring, &err) != 0)
        return 0; /* each test skips */
    uring_ring_start(&ring);
    *state = &ring;
    return 0;
}

static int stop(void **state)
{
    if (*state != NULL) {
        uring_ring_stop(&ring);
        uring_ring_fini(&ring);
    }
    return 0;
}

static int submit(struct io_uring_sqe *sqe)
{
    struct io_uring_cqe *cqe;
    int result;

    sqe->user_data = 1;
    assert_true(io_uring_submit(&ring.ring) >= 0);
    assert_int_equal(io_uring_wait_cqe(&ring.ring, &cqe), 0);
    result = cqe->res;
    io_uring_cqe_seen(&ring.ring, cqe);
    return result;
}

static void test_opcodes(void **state)
{
    struct io_uring_sqe *sqe;
    int pair[2];
    char byte = 'x';

    if (*state == NULL)
        skip();
    sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    assert_int_equal(submit(sqe), -EACCES);
    sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_unlinkat(sqe, AT_FDCWD, "/nowhere/at/all", 0);
    assert_int_equal(submit(sqe), -EACCES);
    sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_socket(sqe, 1, 1, 0, 0);
    assert_int_equal(submit(sqe), -EACCES);
    assert_int_equal(pipe(pair), 0);
    sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_write(sqe, pair[1], &byte, 1, 0); /* ours */
    assert_int_equal(submit(sqe), 1);
    sqe = io_uring_get_sqe(&ring.ring);
    io_uring_prep_write(sqe, pair[1], &byte, 1, 0);
    sqe->flags |= IOSQE_ASYNC; /* no flags either */
    assert_int_equal(submit(sqe), -EACCES);
    close(pair[0]);
    close(pair[1]);
}

static void test_registrations(void **state)
{
    int fd = 0;

    if (*state == NULL)
        skip();
    assert_true(io_uring_register((unsigned)ring.ring.ring_fd, IORING_REGISTER_FILES, &fd, 1) < 0);
    assert_true(
        io_uring_register((unsigned)ring.ring.ring_fd, IORING_REGISTER_RESTRICTIONS, NULL, 0) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opcodes, start, stop),
        cmocka_unit_test_setup_teardown(test_registrations, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only a real kernel shows: exhausted descriptors, socket files, direct I/O, block devices,
 * and more operations in flight than the rings have places. Each for both loops.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/file.h"
#include "io/socket.h"

enum { BLOCK = 4096 };

struct done {
    struct io_connect connect;
    struct io_op op;
    struct loop *loop;
    int64_t result;
};

struct fixture {
    struct loop *loop;
    char folder[64];
    char path[128];    /* folder/file */
    char address[128]; /* unix:folder/sock */
    struct done dialling;
};

static void op_done(struct io_op *op, int64_t result)
{
    struct done *done = container_of(op, struct done, op);

    done->result = result;
    loop_stop(done->loop);
}

static void connect_done(struct io_op *op, int64_t result)
{
    struct done *done = container_of(op, struct done, connect.op);

    done->result = result;
    loop_stop(done->loop);
}

static int64_t accept_one(struct fixture *f, struct done *done, struct io_socket *listener)
{
    done->loop = f->loop;
    done->result = 1;
    io_accept(f->loop, &done->connect, listener, connect_done);
    loop_run(f->loop);
    return done->result;
}

static void test_accept_without_descriptors(void **state)
{
    struct fixture *f = *state;
    struct io_socket *listener, *clients[2], *first;
    struct done done = {.loop = f->loop};
    struct rlimit before, tight;

    assert_int_equal(io_listen(f->loop, f->address, &listener, NULL), 0);
    for (int i = 0; i < 2; i++) {
        io_connect(f->loop, &done.connect, f->address, connect_done);
        loop_run(f->loop);
        assert_int_equal(done.result, 0);
        clients[i] = done.connect.socket;
        done.connect.socket = NULL;
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)dup(0);
    close((int)tight.rlim_cur);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(accept_one(f, &done, listener), 0); /* with the spare one */
    first = done.connect.socket;
    done.connect.socket = NULL;
    assert_int_equal(accept_one(f, &done, listener), -EMFILE);
    assert_null(done.connect.socket);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(accept_one(f, &done, listener), 0); /* the connection was not lost */
    io_socket_close(f->loop, done.connect.socket);
    io_socket_close(f->loop, first);
    io_socket_close(f->loop, clients[0]);
    io_socket_close(f->loop, clients[1]);
    io_socket_close(f->loop, listener);
}

struct deadline {
    struct loop_timer timer;
    struct loop *loop;
};

static void deadline_passed(struct loop_timer *timer)
{
    loop_stop(container_of(timer, struct deadline, timer)->loop);
}

/* The daemon stops while it dials a peer that does not answer: loop_free() must bear that. */
static void test_free_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct deadline deadline = {{.fired_cb = deadline_passed}, f->loop};
    socklen_t length = sizeof(address);
    struct done *done = &f->dialling;
    char text[64];
    int fillers[4], fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    for (size_t i = 0; i < ARRAY_COUNT(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(fillers[i], (struct sockaddr *)&address, length) == 0 ||
                    errno == EINPROGRESS);
    }
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
    *done = (struct done){.loop = f->loop, .result = 1};
    io_connect(f->loop, &done->connect, text, connect_done);
    loop_timer_set(f->loop, &deadline.timer, loop_now_ns(f->loop) + 20000000);
    loop_run(f->loop);
    assert_int_equal(done->result, 1); /* still dialling; tear_down frees the loop */
    for (size_t i = 0; i < ARRAY_COUNT(fillers); i++)
        close(fillers[i]);
    close(fd);
}

static void test_socket_file(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = f->address + 5;
    struct io_socket *listener;
    struct stat stat_of;
    struct err err;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    /* a stale one, as a killed daemon leaves it, is replaced */
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(io_listen(f->loop, f->address, &listener, &err), 0);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0660);
    io_socket_close(f->loop, listener);
    assert_int_equal(stat(path, &stat_of), -1); /* it goes with its listener */

    /* what is no socket is left alone */
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(io_listen(f->loop, f->address, &listener, &err), -EEXIST);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_size, 8);
}

static int64_t transfer(struct fixture *f, struct io_file *file, bool is_write, void *bytes,
                        size_t length, uint64_t offset)
{
    struct done done = {.loop = f->loop};
    struct iovec iov = {bytes, length};

    if (is_write)
        io_file_write(f->loop, &done.op, file, &iov, 1, offset, op_done);
    else
        io_file_read(f->loop, &done.op, file, &iov, 1, offset, op_done);
    loop_run(f->loop);
    return done.result;
}

static void test_direct(void **state)
{
    struct fixture *f = *state;
    struct io_file *file;
    void *out = aligned_alloc(BLOCK, 16 * BLOCK), *in = aligned_alloc(BLOCK, 16 * BLOCK);

    memset(out, 0x5a, 16 * BLOCK);
    assert_int_equal(io_file_open(f->loop, f->path, IO_CREATE | IO_DIRECT, &file, NULL), 0);
    assert_int_equal(transfer(f, file, true, out, 16 * BLOCK, 0), 16 * BLOCK);
    assert_int_equal(transfer(f, file, false, in, 16 * BLOCK, 0), 16 * BLOCK);
    assert_memory_equal(in, out, 16 * BLOCK);
    assert_int_equal(transfer(f, file, false, in, 2 * BLOCK, 15 * BLOCK), -ENODATA);
    io_file_close(f->loop, file);
    free(out);
    free(in);
}

static void test_folder_is_no_file(void **state)
{
    struct fixture *f = *state;
    struct io_file *file;
    struct err err;

    assert_int_equal(io_file_open(f->loop, f->folder, IO_READ_ONLY, &file, &err), -EISDIR);
    assert_int_equal(io_file_open(f->loop, "/dev/null", 0, &file, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/dev/null"));
}

enum { FLOOD = 6000 }; /* more than the completion queue has places */

struct flood_op {
    struct io_op op;
    struct loop *loop;
    struct iovec iov;
    uint64_t bytes;
    int *left;
};

static void flood_done(struct io_op *op, int64_t result)
{
    struct flood_op *flood = container_of(op, struct flood_op, op);

    assert_int_equal(result, sizeof(flood->bytes));
    if (--*flood->left == 0)
        loop_stop(flood->loop);
}

static void flood_start(struct loop_timer *timer);

struct flood {
    struct loop_timer timer;
    struct loop *loop;
    struct io_file *file;
    struct flood_op *ops;
    int left;
};

static void flood_start(struct loop_timer *timer)
{
    struct flood *flood = container_of(timer, struct flood, timer);

    for (int i = 0; i < FLOOD; i++) {
        struct flood_op *op = &flood->ops[i];

        *op = (struct flood_op){.loop = flood->loop, .left = &flood->left};
        op->iov = (struct iovec){&op->bytes, sizeof(op->bytes)};
        io_file_read(flood->loop, &op->op, flood->file, &op->iov, 1,
                     (uint64_t)i * sizeof(op->bytes), flood_done);
    }
}

/* From within a turn, so that the submission queue runs full while the loop runs. */
static void test_flood(void **state)
{
    struct fixture *f = *state;
    struct flood flood = {.loop = f->loop, .left = FLOOD, .timer.fired_cb = flood_start};

    assert_int_equal(io_file_open(f->loop, f->path, IO_CREATE, &flood.file, NULL), 0);
    for (uint64_t i = 0; i < FLOOD; i++)
        assert_int_equal(io_file_write_now(f->loop, flood.file, &i, sizeof(i), i * sizeof(i)), 0);
    flood.ops = calloc(FLOOD, sizeof(*flood.ops));
    loop_timer_set(f->loop, &flood.timer, loop_now_ns(f->loop));
    loop_run(f->loop);
    assert_int_equal(flood.left, 0);
    for (uint64_t i = 0; i < FLOOD; i++)
        assert_int_equal(flood.ops[i].bytes, i);
    io_file_close(f->loop, flood.file);
    free(flood.ops);
}

/* A loop device of 1 MiB over f->path, or false where there are none. */
static bool make_device(struct fixture *f, char *device, size_t size)
{
    char command[400];
    FILE *pipe;
    bool is_made;

    snprintf(command, sizeof(command),
             "truncate -s 1M %s && losetup --direct-io=off -f --show %s 2>/dev/null", f->path,
             f->path);
    pipe = popen(command, "r");
    is_made = pipe != NULL && fgets(device, (int)size, pipe) != NULL;
    if (pipe != NULL)
        pclose(pipe);
    if (is_made)
        device[strcspn(device, "\n")] = '\0';
    return is_made;
}

static int64_t discard(struct fixture *f, struct io_file *file, uint64_t offset, uint64_t length,
                       enum io_discard_mode mode)
{
    struct done done = {.loop = f->loop};

    io_file_discard(f->loop, &done.op, file, offset, length, mode, op_done);
    loop_run(f->loop);
    return done.result;
}

static void use_device(struct fixture *f, struct io_file *file)
{
    static const enum io_discard_mode modes[] = {IO_DISCARD_HOLE, IO_DISCARD_ZERO,
                                                 IO_DISCARD_ZERO_FAST};
    struct done done = {.loop = f->loop};
    uint8_t bytes[4 * BLOCK];
    struct io_extent extents[4];
    uint64_t size;
    int64_t result;

    assert_true(io_file_is_block_device(file));
    assert_int_equal(io_file_size(f->loop, file, &size), 0);
    assert_int_equal(size, 1 << 20);
    assert_int_equal(io_file_resize_now(f->loop, file, 2 << 20), -ENOTSUP);
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        memset(bytes, 0x77, sizeof(bytes));
        assert_int_equal(transfer(f, file, true, bytes, sizeof(bytes), 0), sizeof(bytes));
        result = discard(f, file, BLOCK, 2 * BLOCK, modes[i]);
        assert_true(result == 0 || (modes[i] == IO_DISCARD_ZERO_FAST && result == -ENOTSUP));
        assert_int_equal(transfer(f, file, false, bytes, sizeof(bytes), 0), sizeof(bytes));
        for (size_t at = 0; at < sizeof(bytes); at++)
            assert_int_equal(bytes[at], result == 0 && at / BLOCK % 3 != 0 ? 0 : 0x77);
    }
    io_file_extents(f->loop, &done.op, file, BLOCK, 8 * BLOCK, extents, 4, op_done);
    loop_run(f->loop);
    assert_int_equal(done.result, 1);
    assert_int_equal(extents[0].offset, BLOCK);
    assert_int_equal(extents[0].length, 8 * BLOCK);
    assert_false(extents[0].is_hole);
}

static void test_block_device(void **state)
{
    struct fixture *f = *state;
    struct io_file *file, *second;
    struct err err;
    char device[64], command[128];

    if (!make_device(f, device, sizeof(device))) {
        print_message("no loop devices here\n");
        skip();
    }
    if (io_file_open(f->loop, device, IO_LOCK, &file, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(io_file_open(f->loop, device, IO_LOCK, &second, &err), -EBUSY);
    use_device(f, file);
    io_file_close(f->loop, file);
    snprintf(command, sizeof(command), "losetup -d %s", device);
    assert_int_equal(system(command), 0);
}

/* Opens and locks the device in a process that ends, and returns its open file. */
static int left_behind(const char *device)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec byte = {.iov_base = (char[1]){0}, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &byte, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int pair[2], fd = -1, status;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            _exit(1);
        *head = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
        _exit(sendmsg(pair[1], &message, 0) != 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC), 1);
    memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    close(pair[0]);
    close(pair[1]);
    return fd;
}

static void *let_go(void *arg)
{
    usleep(100000); /* sooner or later: the open must succeed */
    close(*(int *)arg);
    return NULL;
}

/* The ring of a killed daemon holds its devices a little longer than the process lives. */
static void test_block_device_of_a_predecessor(void **state)
{
    struct fixture *f = *state;
    struct io_file *file;
    struct err err;
    char device[64], command[128];
    pthread_t thread;

    if (!make_device(f, device, sizeof(device))) {
        print_message("no loop devices here\n");
        skip();
    }
    int fd = left_behind(device);

    assert_int_equal(open(device, O_RDWR | O_EXCL | O_CLOEXEC), -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(pthread_create(&thread, NULL, let_go, &fd), 0);
    if (io_file_open(f->loop, device, IO_LOCK, &file, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(pthread_join(thread, NULL), 0);
    io_file_close(f->loop, file);
    snprintf(command, sizeof(command), "losetup -d %s", device);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    enum loop_kind kind = *(enum loop_kind *)*state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new(kind, &f->loop, NULL), 0);
    strcpy(f->folder, "/var/tmp/verso-test-posix-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/file", f->folder);
    snprintf(f->address, sizeof(f->address), "unix:%s/sock", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    unlink(f->address + 5);
    rmdir(f->folder);
    loop_free(f->loop);
    free(f);
    return 0;
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name, set_up, tear_down, &kind                                                      \
    }

static int run(const char *name, enum loop_kind kind)
{
    const struct CMUnitTest tests[] = {
        CASE(test_accept_without_descriptors),
        CASE(test_free_while_connecting),
        CASE(test_socket_file),
        CASE(test_direct),
        CASE(test_folder_is_no_file),
        CASE(test_flood),
        CASE(test_block_device),
        CASE(test_block_device_of_a_predecessor),
    };

    return _cmocka_run_group_tests(name, tests, ARRAY_COUNT(tests), NULL, NULL);
}

int main(void)
{
    struct loop *loop;
    int failed = run("threads", LOOP_THREADS);

    if (loop_new(LOOP_URING, &loop, NULL) == 0) {
        loop_free(loop);
        failed += run("uring", LOOP_URING);
    }
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The server under test and its client; see the header. Everything that touches the server runs on
 * its loop by fixture_call(), which waits for it. */
#include "nbd_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { WAIT_MS = 20000 };

struct fixture {
    struct loop *loop;
    struct nbd_server *server;
    pthread_t thread;
    char folder[64];
    char path[96];
    struct fixture_export *exports;
    atomic_bool is_ready;
};

struct fixture_export {
    struct fixture *fixture;
    struct fixture_export *next;
    struct nbd_export *export;
    uint8_t *bytes;
    char name[300];
    bool is_read_only;
    atomic_bool is_held, is_removed;
    atomic_int error;
    atomic_uint held_count;
    struct list held, ready;
    struct loop_task finish;
};

struct call {
    struct loop_message message;
    void (*run)(struct fixture *fixture, void *arg);
    struct fixture *fixture;
    void *arg;
    atomic_bool is_done;
};

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){0, 200 * 1000}, NULL);
}

void fixture_await(bool (*is_true)(void *arg), void *arg)
{
    for (unsigned i = 0; i < WAIT_MS * 5; i++) {
        if (is_true(arg))
            return;
        pause_briefly();
    }
    fail_msg("waited in vain");
}

static bool call_is_done(void *arg)
{
    return atomic_load(&((struct call *)arg)->is_done);
}

static void call_run(struct loop_message *message)
{
    struct call *call = container_of(message, struct call, message);

    call->run(call->fixture, call->arg);
    atomic_store(&call->is_done, true);
}

static void fixture_call(struct fixture *fixture, void (*run)(struct fixture *, void *), void *arg)
{
    struct call call = {.message.run_cb = call_run, .run = run, .fixture = fixture, .arg = arg};

    loop_post(fixture->loop, &call.message);
    fixture_await(call_is_done, &call);
}

/* The memory export. */

static void run_request(struct fixture_export *export, struct volume_request *request)
{
    uint8_t *at = export->bytes + request->offset;
    int error = atomic_load(&export->error);

    if (error == 0 && request->op == VOLUME_READ)
        memcpy(request->iov->iov_base, at, request->length);
    if (error == 0 && request->op == VOLUME_WRITE)
        memcpy(at, request->iov->iov_base, request->length);
    if (error == 0 && (request->op == VOLUME_WRITE_ZEROES || request->op == VOLUME_TRIM))
        memset(at, 0, request->length);
    request->done_cb(request, error);
}

static void finish_ready(struct loop_task *task)
{
    struct fixture_export *export = container_of(task, struct fixture_export, finish);
    struct list *node;

    while ((node = list_pop(&export->ready)))
        run_request(export, container_of(node, struct volume_request, node));
}

static void memory_submit(void *arg, struct volume_request *request)
{
    struct fixture_export *export = arg;

    if (request->op != VOLUME_FLUSH) {
        check(request->length > 0 && request->length <= VOLUME_REQUEST_BYTES_MAX);
        check(request->offset + request->length <= FIXTURE_GROWN_BYTES);
        check((request->offset | request->length) % VOLUME_SECTOR == 0);
    }
    list_init(&request->node);
    if (atomic_load(&export->is_held)) {
        list_append(&export->held, &request->node);
        atomic_fetch_add(&export->held_count, 1);
        return;
    }
    list_append(&export->ready, &request->node);
    loop_defer(export->fixture->loop, &export->finish);
}

struct extents_answer {
    struct loop_task task;
    struct store_op *op;
    store_done_fn done_cb;
    int count;
};

static void extents_answered(struct loop_task *task)
{
    struct extents_answer answer = *container_of(task, struct extents_answer, task);

    free(container_of(task, struct extents_answer, task));
    answer.done_cb(answer.op, answer.count);
}

/* Data and holes of 1 MiB take turns; the first is data. */
static void memory_extents(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                           struct io_extent *extents, unsigned extent_max, store_done_fn done_cb)
{
    struct fixture_export *export = arg;
    struct extents_answer *answer = calloc(1, sizeof(*answer));
    uint64_t end = offset + length;
    unsigned count = 0;

    check(answer && extent_max > 0);
    while (offset < end && count < extent_max) {
        uint64_t next = (offset | ((1 << 20) - 1)) + 1;

        if (next > end)
            next = end;
        extents[count++] = (struct io_extent){offset, next - offset, (offset >> 20) & 1};
        offset = next;
    }
    answer->op = op;
    answer->done_cb = done_cb;
    answer->count = atomic_load(&export->error) ? atomic_load(&export->error) : (int)count;
    list_init(&answer->task.node);
    answer->task.run_cb = extents_answered;
    loop_defer(export->fixture->loop, &answer->task);
}

static const struct nbd_export_ops memory_ops = {memory_submit, memory_extents};

static void add_export(struct fixture *fixture, void *arg)
{
    struct fixture_export *export = arg;
    const struct nbd_export_options options = {
        .name = export->name,
        .description = "memory",
        .size_bytes = FIXTURE_EXPORT_BYTES,
        .is_read_only = export->is_read_only,
        .ops = &memory_ops,
        .arg = export,
    };

    check(nbd_export_add(fixture->server, &options, &export->export) == 0);
    check(nbd_export_add(fixture->server, &options, &export->export) == -EEXIST);
}

struct fixture_export *fixture_add(struct fixture *fixture, const char *name, bool is_read_only)
{
    struct fixture_export *export = calloc(1, sizeof(*export));

    export->fixture = fixture;
    export->bytes = calloc(1, FIXTURE_GROWN_BYTES);
    export->is_read_only = is_read_only;
    snprintf(export->name, sizeof(export->name), "%s", name);
    list_init(&export->held);
    list_init(&export->ready);
    list_init(&export->finish.node);
    export->finish.run_cb = finish_ready;
    export->next = fixture->exports;
    fixture->exports = export;
    fixture_call(fixture, add_export, export);
    return export;
}

static void export_removed(void *arg)
{
    struct fixture_export *export = arg;

    check(list_is_empty(&export->held) && list_is_empty(&export->ready));
    atomic_store(&export->is_removed, true);
}

static void remove_export(struct fixture *fixture, void *arg)
{
    struct fixture_export *export = arg;

    nbd_export_remove(export->export, export_removed, export);
    check(!atomic_load(&export->is_removed)); /* never from inside */
}

void fixture_remove(struct fixture *fixture, struct fixture_export *export)
{
    fixture_call(fixture, remove_export, export);
}

static void grow_export(struct fixture *fixture, void *arg)
{
    struct fixture_export *export = arg;

    nbd_export_grow(export->export, FIXTURE_GROWN_BYTES);
}

void fixture_grow(struct fixture *fixture, struct fixture_export *export)
{
    fixture_call(fixture, grow_export, export);
}

bool fixture_is_removed(struct fixture_export *export)
{
    return atomic_load(&export->is_removed);
}

void fixture_hold(struct fixture_export *export)
{
    atomic_store(&export->is_held, true);
}

static void release_export(struct fixture *fixture, void *arg)
{
    struct fixture_export *export = arg;
    struct list *node;

    atomic_store(&export->is_held, false);
    while ((node = list_pop(&export->held)))
        list_append(&export->ready, node);
    atomic_store(&export->held_count, 0);
    loop_defer(fixture->loop, &export->finish);
}

void fixture_release(struct fixture *fixture, struct fixture_export *export)
{
    fixture_call(fixture, release_export, export);
}

struct held_wanted {
    struct fixture_export *export;
    unsigned count;
};

static bool holds_count(void *arg)
{
    struct held_wanted *wanted = arg;

    return atomic_load(&wanted->export->held_count) == wanted->count;
}

void fixture_await_held(struct fixture_export *export, unsigned count)
{
    struct held_wanted wanted = {export, count};

    fixture_await(holds_count, &wanted);
}

void fixture_fail(struct fixture_export *export, int error)
{
    atomic_store(&export->error, error);
}

struct count_query {
    struct fixture_export *export;
    unsigned count;
};

static void count_connections(struct fixture *fixture, void *arg)
{
    struct count_query *query = arg;

    query->count = nbd_export_connections(query->export->export);
}

unsigned fixture_connections(struct fixture *fixture, struct fixture_export *export)
{
    struct count_query query = {export, 0};

    fixture_call(fixture, count_connections, &query);
    return query.count;
}

/* The server's thread. */

struct start {
    struct fixture *fixture;
    const struct nbd_server_options *options;
};

static enum loop_kind wanted_loop(void)
{
    const char *name = getenv("VERSO_TEST_LOOP");

    return name && strcmp(name, "auto") == 0 ? LOOP_AUTO : LOOP_THREADS;
}

static void *run_server(void *arg)
{
    struct start *start = arg;
    struct fixture *fixture = start->fixture;
    struct nbd_server_options options = {0};
    char address[128];
    struct err err = {0};

    if (start->options)
        options = *start->options;
    snprintf(address, sizeof(address), "unix:%s", fixture->path);
    options.addresses[0] = address;
    check(loop_new(wanted_loop(), &fixture->loop, &err) == 0);
    if (nbd_server_new(fixture->loop, &options, &fixture->server, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    atomic_store(&fixture->is_ready, true);
    loop_run(fixture->loop);
    loop_free(fixture->loop);
    return NULL;
}

static bool is_ready(void *arg)
{
    return atomic_load(&((struct fixture *)arg)->is_ready);
}

struct fixture *fixture_new(const struct nbd_server_options *options)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct start start = {fixture, options};

    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/verso-nbd-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/nbd.sock", fixture->folder);
    assert_int_equal(pthread_create(&fixture->thread, NULL, run_server, &start), 0);
    fixture_await(is_ready, fixture);
    return fixture;
}

static void server_stopped(void *arg)
{
    struct fixture *fixture = arg;

    nbd_server_free(fixture->server);
    loop_stop(fixture->loop);
}

static void stop_server(struct fixture *fixture, void *arg)
{
    for (struct fixture_export *export = fixture->exports; export; export = export->next)
        release_export(fixture, export);
    nbd_server_stop(fixture->server, server_stopped, fixture);
}

void fixture_free(struct fixture *fixture)
{
    struct fixture_export *export;

    fixture_call(fixture, stop_server, NULL);
    pthread_join(fixture->thread, NULL);
    while ((export = fixture->exports)) {
        fixture->exports = export->next;
        free(export->bytes);
        free(export);
    }
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture);
}

int fixture_setup(void **state)
{
    *state = fixture_new(NULL);
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* The client. */

int client_connect(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void await_poll(int fd, short events)
{
    struct pollfd poll_fd = {fd, events, 0};

    if (poll(&poll_fd, 1, WAIT_MS) != 1)
        fail_msg("the server is silent");
}

void client_send(int fd, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    while (length > 0) {
        ssize_t sent;

        await_poll(fd, POLLOUT);
        sent = send(fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the test sees the end when it reads */
        assert_true(sent > 0);
        at += sent;
        length -= (size_t)sent;
    }
}

void client_recv(int fd, void *bytes, size_t length)
{
    uint8_t *at = bytes;

    while (length > 0) {
        ssize_t got;

        await_poll(fd, POLLIN);
        got = recv(fd, at, length, 0);
        if (got <= 0)
            fail_msg("the server ended the connection");
        at += got;
        length -= (size_t)got;
    }
}

void client_expect_end(int fd)
{
    uint8_t bytes[4096];
    ssize_t got;

    do {
        await_poll(fd, POLLIN);
        got = recv(fd, bytes, sizeof(bytes), 0);
    } while (got > 0);
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
}

bool client_is_ended(int fd)
{
    uint8_t byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return got == 0 || (got < 0 && errno == ECONNRESET);
}

void client_greet(int fd, uint32_t client_flags)
{
    uint8_t bytes[NBD_GREETING_BYTES];

    client_recv(fd, bytes, sizeof(bytes));
    assert_true(get_be64(bytes) == NBD_MAGIC && get_be64(bytes + 8) == NBD_OPTION_MAGIC);
    assert_int_equal(get_be16(bytes + 16), NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    put_be32(bytes, client_flags);
    client_send(fd, bytes, 4);
}

void client_option(int fd, uint32_t option, const void *bytes, uint32_t length)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    put_be64(header, NBD_OPTION_MAGIC);
    put_be32(header + 8, option);
    put_be32(header + 12, length);
    client_send(fd, header, sizeof(header));
    client_send(fd, bytes, length);
}

uint32_t client_option_reply(int fd, uint32_t option, uint8_t *bytes, uint32_t *ret_length)
{
    uint8_t header[NBD_OPTION_REPLY_HEADER_BYTES];

    client_recv(fd, header, sizeof(header));
    assert_true(get_be64(header) == NBD_OPTION_REPLY_MAGIC);
    assert_int_equal(get_be32(header + 8), option);
    *ret_length = get_be32(header + 16);
    assert_true(*ret_length <= 4096);
    client_recv(fd, bytes, *ret_length);
    return get_be32(header + 12);
}

uint32_t client_option_result(int fd, uint32_t option)
{
    uint8_t bytes[4096];
    uint32_t length, type;

    do {
        type = client_option_reply(fd, option, bytes, &length);
    } while (type != NBD_REP_ACK && !(type & NBD_REP_ERROR_BIT));
    return type;
}

void client_go(int fd, uint32_t option, const char *name)
{
    uint8_t bytes[5000];
    uint32_t length = (uint32_t)strlen(name);

    put_be32(bytes, length);
    memcpy(bytes + 4, name, length);
    put_be16(bytes + 4 + length, 1);
    put_be16(bytes + 6 + length, NBD_INFO_BLOCK_SIZE);
    client_option(fd, option, bytes, 8 + length);
}

void client_set_meta(int fd, uint32_t option, const char *name, const char *query)
{
    uint8_t bytes[5000];
    struct bytes_writer writer = {bytes, sizeof(bytes), false};

    bytes_put_be32(&writer, (uint32_t)strlen(name));
    bytes_put(&writer, name, strlen(name));
    bytes_put_be32(&writer, query ? 1 : 0);
    if (query) {
        bytes_put_be32(&writer, (uint32_t)strlen(query));
        bytes_put(&writer, query, strlen(query));
    }
    client_option(fd, option, bytes, (uint32_t)(writer.at - bytes));
}

int client_open(struct fixture *fixture, const char *name, unsigned features)
{
    int fd = client_connect(fixture);

    client_greet(fd, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    if (features & (CLIENT_STRUCTURED | CLIENT_ALLOCATION)) {
        client_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
        assert_int_equal(client_option_result(fd, NBD_OPT_STRUCTURED_REPLY), NBD_REP_ACK);
    }
    if (features & CLIENT_ALLOCATION) {
        client_set_meta(fd, NBD_OPT_SET_META_CONTEXT, name, "base:allocation");
        assert_int_equal(client_option_result(fd, NBD_OPT_SET_META_CONTEXT), NBD_REP_ACK);
    }
    client_go(fd, NBD_OPT_GO, name);
    assert_int_equal(client_option_result(fd, NBD_OPT_GO), NBD_REP_ACK);
    return fd;
}

void client_encode_request(uint8_t *bytes, unsigned type, unsigned flags, uint64_t cookie,
                           uint64_t offset, uint32_t length)
{
    struct bytes_writer writer = {bytes, NBD_REQUEST_BYTES, false};

    bytes_put_be32(&writer, NBD_REQUEST_MAGIC);
    bytes_put_be16(&writer, (uint16_t)flags);
    bytes_put_be16(&writer, (uint16_t)type);
    bytes_put_be64(&writer, cookie);
    bytes_put_be64(&writer, offset);
    bytes_put_be32(&writer, length);
}

void client_request(int fd, unsigned type, unsigned flags, uint64_t cookie, uint64_t offset,
                    uint32_t length)
{
    uint8_t bytes[NBD_REQUEST_BYTES];

    client_encode_request(bytes, type, flags, cookie, offset, length);
    client_send(fd, bytes, sizeof(bytes));
}

uint32_t client_simple_reply(int fd, uint64_t cookie)
{
    uint8_t bytes[NBD_SIMPLE_REPLY_BYTES];

    client_recv(fd, bytes, sizeof(bytes));
    assert_int_equal(get_be32(bytes), NBD_SIMPLE_REPLY_MAGIC);
    assert_true(get_be64(bytes + 8) == cookie);
    return get_be32(bytes + 4);
}

struct client_chunk client_chunk(int fd)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES];

    client_recv(fd, bytes, sizeof(bytes));
    assert_int_equal(get_be32(bytes), NBD_CHUNK_MAGIC);
    return (struct client_chunk){get_be16(bytes + 4), get_be16(bytes + 6), get_be64(bytes + 8),
                                 get_be32(bytes + 16)};
}

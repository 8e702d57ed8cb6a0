/* SPDX-License-Identifier: Apache-2.0 */
/* The door over a real socket: what reaches the router, what comes back, bounds, stopping. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/http_server.h"

enum { BODY_BYTES_MAX = 1 << 20, HEAD_BYTES_MAX = 16 << 10 }; /* the defaults */

struct fixture {
    char folder[64], path[96];
    struct loop *loop;
    struct http_server *server;
    pthread_t thread;
    struct http_request *kept; /* the router keeps requests with the parameter "keep" */
    atomic_bool is_keeping, is_stopped;
    struct loop_message message;
    pthread_mutex_t gate; /* whoever has it holds the library's thread at the next connection */
    atomic_bool at_gate;
};

static void reply(struct http_request *request, unsigned status, const char *id, const char *body)
{
    http_reply(request,
               &(struct http_answer){.status = status,
                                     .request_id = id,
                                     .body = body,
                                     .length = strlen(body),
                                     .retry_ms = form_get(&request->form, "slow") ? 1500 : 0});
}

/* Answers with what it saw. */
static void route(void *arg, struct http_request *request)
{
    struct fixture *fixture = arg;
    char body[2000];
    const char *a = form_get(&request->form, "a"), *b = form_get(&request->form, "b");

    if (form_get(&request->form, "keep")) {
        fixture->kept = request;
        atomic_store(&fixture->is_keeping, true);
        return;
    }
    if (form_get(&request->form, "raw")) {
        snprintf(body, sizeof(body), "%s|%s|%.*s|%s|%s", request->method, request->query,
                 (int)request->body_length, request->body, request->fields[1].name,
                 http_field_get(request, "x-mixed"));
        reply(request, 200, "R-3", body);
        return;
    }
    snprintf(body, sizeof(body), "{\"problem\":%d,\"a\":\"%s\",\"b\":\"%s\",\"action\":\"%s\"}",
             request->problem, a ? a : "-", b ? b : "-", request->action);
    reply(request, request->problem == HTTP_FINE ? 200 : 400, "R-1", body);
}

static void *run(void *arg)
{
    struct fixture *fixture = arg;

    loop_run(fixture->loop);
    return NULL;
}

static void connected(void *arg, unsigned thread)
{
    struct fixture *fixture = arg;

    atomic_store(&fixture->at_gate, true);
    assert_int_equal(pthread_mutex_lock(&fixture->gate), 0);
    assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
}

static int setup_with(void **state, const struct http_limits *limits)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct http_server_options options = {.route_cb = route,
                                          .arg = fixture,
                                          .limits = *limits,
                                          .connected_cb = connected,
                                          .connected_arg = fixture};
    struct err err;

    assert_int_equal(pthread_mutex_init(&fixture->gate, NULL), 0);
    strcpy(fixture->folder, "/tmp/verso-http-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/api.sock", fixture->folder);
    assert_int_equal(loop_new(LOOP_THREADS, &fixture->loop, &err), 0);
    options.loop = fixture->loop;
    options.socket_path = fixture->path;
    assert_int_equal(http_server_new(&options, &fixture->server, &err), 0);
    assert_int_equal(pthread_create(&fixture->thread, NULL, run, fixture), 0);
    *state = fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &(struct http_limits){0});
}

static int setup_tight(void **state)
{
    return setup_with(state, &(struct http_limits){.connections_max = 8,
                                                   .waiting_max = 4,
                                                   .head_ns_max = UINT64_C(1000) * 1000 * 1000,
                                                   .idle_ns_max = UINT64_C(1500) * 1000 * 1000,
                                                   .body_rate_min = 5000});
}

static int setup_patient(void **state)
{
    return setup_with(state, &(struct http_limits){.head_ns_max = UINT64_C(60) * 1000000000});
}

static void stopped(void *arg)
{
    struct fixture *fixture = arg;

    atomic_store(&fixture->is_stopped, true);
    loop_stop(fixture->loop);
}

static void stop(struct loop_message *message)
{
    struct fixture *fixture = container_of(message, struct fixture, message);

    http_server_stop(fixture->server, stopped, fixture);
    if (fixture->kept)
        reply(fixture->kept, 200, "R-2", "{\"kept\":true}");
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.run_cb = stop;
    loop_post(fixture->loop, &fixture->message);
    pthread_join(fixture->thread, NULL);
    assert_true(fixture->is_stopped);
    assert_int_equal(access(fixture->path, F_OK), -1);
    http_server_free(fixture->server);
    loop_free(fixture->loop);
    rmdir(fixture->folder);
    pthread_mutex_destroy(&fixture->gate);
    free(fixture);
    return 0;
}

static int dial(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path, fixture->path);
    assert_int_equal(connect(fd, (void *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static void say(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t done = send(fd, bytes, length, MSG_NOSIGNAL);
        if (done <= 0)
            return; /* refused in the middle: the answer tells */
        bytes += done;
        length -= (size_t)done;
    }
}

static void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* Reads until `wanted` was seen or the connection ends; fails without it. */
static void hear(int fd, const char *wanted)
{
    static char text[65536];
    size_t used = 0;
    ssize_t done;

    text[0] = 0;
    while (!strstr(text, wanted) && used + 1 < sizeof(text) &&
           (done = recv(fd, text + used, sizeof(text) - 1 - used, 0)) > 0) {
        used += (size_t)done;
        text[used] = 0;
    }
    if (!strstr(text, wanted))
        fail_msg("no '%s' in '%s'", wanted, text);
}

static void exchange(struct fixture *fixture, const char *request, const char *wanted)
{
    int fd = dial(fixture);

    say(fd, request, strlen(request));
    hear(fd, wanted);
    close(fd);
}

static void test_query_and_body_are_one(void **state)
{
    exchange(*state,
             "POST /?a=1 HTTP/1.1\r\nHost: x\r\nX-Acs-Action: Do\r\nContent-Type: "
             "application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: 7\r\n\r\nb=2&a=9",
             "{\"problem\":0,\"a\":\"1\",\"b\":\"2\",\"action\":\"Do\"}");
    exchange(*state, "GET /?b=%2B+x HTTP/1.1\r\nHost: x\r\n\r\n", "\"b\":\"+ x\"");
    exchange(
        *state,
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=7\r\n0\r\n\r\n",
        "\"a\":\"7\"");
    exchange(*state, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Keep-Alive: timeout=55");
    exchange(*state, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
             "Content-Type: application/json;charset=utf-8");
}

static void test_request_as_it_came(void **state)
{
    exchange(*state,
             "POST /?raw=%41+&c HTTP/1.1\r\nHost: x\r\nX-MiXed: \t a B \t\r\nX-Mixed: second\r\n"
             "Transfer-Encoding: chunked\r\n\r\n4\r\na=%4\r\n1\r\n2\r\n0\r\n\r\n",
             "POST|raw=%41+&c|a=%42|x-mixed|a B");
    exchange(*state, "GET /?slow=1 HTTP/1.1\r\nHost: x\r\n\r\n", "x-acs-retry-after: 1500\r\n");
    exchange(*state, "GET /?slow=1 HTTP/1.1\r\nHost: x\r\n\r\n",
             "x-ratelimit-user-api: TimeLeft:1500\r\n");
    exchange(*state, "GET /?slow=1 HTTP/1.1\r\nHost: x\r\n\r\n", "Retry-After: 2\r\n");
}

static void test_one_connection_many_requests(void **state)
{
    static const char request[] = "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = dial(*state);

    for (unsigned i = 0; i < 50; i++) {
        say(fd, request, sizeof(request) - 1);
        hear(fd, "\"a\":\"1\"");
    }
    close(fd);
}

static void test_problems_reach_the_router(void **state)
{
    static const struct {
        const char *request;
        enum http_problem problem;
    } rows[] = {
        {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", HTTP_BAD_METHOD},
        {"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_BAD_METHOD},
        {"GET /other?a=1 HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_BAD_PATH},
        {"GET /?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_BAD_FORM},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na=%00", HTTP_BAD_FORM},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
         "2\r\n\r\n{}",
         HTTP_BAD_TYPE},
    };
    char wanted[40];

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        snprintf(wanted, sizeof(wanted), "\"problem\":%d", rows[i].problem);
        exchange(*state, rows[i].request, wanted);
    }
}

static void test_bounds(void **state)
{
    struct fixture *fixture = *state;
    size_t length = BODY_BYTES_MAX + 1;
    char *body = malloc(length), head[200];
    int fd = dial(fixture);

    memset(body, 'x', length);
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             length);
    say(fd, head, strlen(head));
    say(fd, body, length);
    hear(fd, "\"Code\":\"RequestTooLarge\""); /* at once, before the body has come */
    close(fd);

    fd = dial(fixture);
    snprintf(head, sizeof(head),
             "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", length);
    say(fd, head, strlen(head));
    say(fd, body, length);
    say_text(fd, "\r\n0\r\n\r\n");
    hear(fd, "\"problem\":7"); /* HTTP_BODY_TOO_LARGE */
    close(fd);

    fd = dial(fixture);
    say_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000\r\n");
    for (unsigned i = 0; i < 5; i++)
        say(fd, body, length);
    hear(fd, "\"Code\":\"RequestTooLarge\""); /* without an end of it */
    close(fd);

    fd = dial(fixture);
    say_text(fd, "GET /?a=");
    say(fd, body, HEAD_BYTES_MAX + 10);
    say_text(fd, " HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\"problem\":6"); /* HTTP_HEAD_TOO_LARGE */
    close(fd);

    fd = dial(fixture);
    say_text(fd, "GET /?a=");
    for (unsigned i = 0; i < 2; i++)
        say(fd, body, length);
    hear(fd, "\"Code\":\"RequestHeaderTooLarge\""); /* more than the library reads */
    close(fd);
    fd = dial(fixture);
    say_text(fd, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
        say_text(fd, "A: b\r\n");
    say_text(fd, "\r\n");
    hear(fd, "\"Code\":\"RequestHeaderTooLarge\"");
    close(fd);
    free(body);
    exchange(fixture, "GET /?a=still HTTP/1.1\r\nHost: x\r\n\r\n", "still");
}

static void test_broken_clients_do_no_harm(void **state)
{
    struct fixture *fixture = *state;
    static const char *const halves[] = {"G",
                                         "GET / HTT",
                                         "POST / HTTP/1.1\r\nContent-Length: 9",
                                         "\r\n\r\n\r\n",
                                         "\x16\x03\x01\x02",
                                         "GET / HTTP/9.9\r\n\r\n"};

    for (unsigned i = 0; i < ARRAY_COUNT(halves); i++) {
        int fd = dial(fixture);
        say(fd, halves[i], strlen(halves[i]));
        close(fd);
    }
    exchange(fixture, "GET /?a=still HTTP/1.1\r\nHost: x\r\n\r\n", "still");
}

/* The end of the stream, without a byte before it. */
static void expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* What the library refuses by itself is JSON, too; what is no request at all is closed. */
static void test_no_http(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    static const char *const noises[] = {"garbage\r\n\r\n", "\x16\x03\x01\x02\x01\r\n\r\n", " \r\n",
                                         "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"};
    static const char good[] = "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    int second = dial(*state);

    for (unsigned i = 0; i < ARRAY_COUNT(requests); i++)
        exchange(*state, requests[i], "\r\n\r\n{\"RequestId\":\"");
    for (unsigned i = 0; i < ARRAY_COUNT(noises); i++) {
        int fd = dial(*state);

        say(fd, noises[i], strlen(noises[i]));
        hear(fd, "\r\n\r\n{\"RequestId\":\"");
        close(fd);
    }
    say_text(second, good); /* noise behind a good request */
    hear(second, "\"a\":\"1\"");
    say_text(second, "garbage\r\n");
    hear(second, "\"Code\":\"InvalidRequest\"");
    expect_end(second);
    second = dial(*state); /* a client that ends as it should gets nothing more */
    say_text(second, "GET /?a=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    hear(second, "\"action\":\"\"}");
    expect_end(second);
}

/* None of them keeps its place, whatever the library made of it. */
static void test_many_wrong_ones(void **state)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\nno colon\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/9.9\r\n",
        "noise\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"};

    struct fixture *fixture = *state;
    int fds[50], old = dial(fixture);

    say_text(old,
             "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"); /* the library looks at the oldest always */
    hear(old, "\"a\":\"1\"");
    for (unsigned i = 0; i < 20 * ARRAY_COUNT(rows); i++) { /* in all more than connections_max */
        const char *row = rows[i / 20];
        int other;

        assert_int_equal(pthread_mutex_lock(&fixture->gate), 0);
        atomic_store(&fixture->at_gate, false);
        other = dial(fixture);
        while (!atomic_load(&fixture->at_gate))
            usleep(100);
        for (unsigned k = 0; k < ARRAY_COUNT(fds);
             k++) { /* all has come before they are accepted */
            fds[k] = dial(fixture);
            say_text(fds[k], row);
        }
        assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
        for (unsigned k = 0; k < ARRAY_COUNT(fds); k++) {
            hear(fds[k], "{\"RequestId\":\"");
            close(fds[k]);
        }
        close(other);
    }
    close(old);
}

#define POST_WITH(fields) "POST / HTTP/1.1\r\n" fields "\r\n3\r\na=1\r\n0\r\n\r\n"
static const char *const smuggled_rows[] = {
    POST_WITH("Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 13\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: gzip, chunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: chunked, identity\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: xchunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding : chunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding:\r\n chunked\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding:\x0b chunked\r\n"),
    POST_WITH("Host: x\r\nContent-Length: 13\r\nContent-Length: 13\r\n"),
    POST_WITH("Host: x\r\nContent-Length: 13\r\nContent-Length: 5\r\n"),
    POST_WITH("Host: x\r\nContent-Length: 13, 13\r\n"),
    POST_WITH("Host: x\r\nTransfer-Encoding: chunked \r\n"),
    POST_WITH("Host: x\r\nContent-Length: 13 \r\n"),
    POST_WITH("Host: x\r\nContent-Length: +13\r\n"),
    POST_WITH("Host: x\r\nContent-Length: 0xd\r\n"),
    POST_WITH("Host: x\r\nContent-Length:\r\n"),
    POST_WITH("Host: x\r\nContent-Length : 13\r\n"),
    "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /?a=\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /?a=\r HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nD: e\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nD: e\r\nA: b\r\n\tc\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n \r\n\r\n",
    "GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "GET / HTTP/1.1\nHost: x\r\nA: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 3\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nno colon\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\na=1\r\n0\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA(b): c\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
};

/* What a proxy before us might read otherwise is refused, and nothing behind it is looked at. */
static void test_smuggling(void **state)
{
    static const char with_nul[] = "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\nD: e\r\n\r\n";
    static const char nul_last[] = "GET / HTTP/1.1\r\nHost: x\0\r\n\r\n";
    static const char nul_target[] = "GET /\0x HTTP/1.1\r\nHost: x\r\n\r\n";

    for (unsigned i = 0; i < ARRAY_COUNT(smuggled_rows) + 3; i++) {
        static const char second[] = "GET /?a=smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        int fd = dial(*state);
        char text[4096] = "";
        size_t used = 0;
        ssize_t done;

        if (i < ARRAY_COUNT(smuggled_rows))
            say_text(fd, smuggled_rows[i]);
        else if (i == ARRAY_COUNT(smuggled_rows))
            say(fd, with_nul, sizeof(with_nul) - 1);
        else if (i == ARRAY_COUNT(smuggled_rows) + 1)
            say(fd, nul_last, sizeof(nul_last) - 1);
        else
            say(fd, nul_target, sizeof(nul_target) - 1);
        say_text(fd, second);
        while ((done = recv(fd, text + used, sizeof(text) - 1 - used, 0)) > 0)
            used += (size_t)done;
        text[used] = 0;
        if (done < 0 || !strstr(text, "HTTP/1.1 400 ") || !strstr(text, "{\"RequestId\":\"") ||
            strstr(text, "smuggled") || strstr(text + 9, "HTTP/1.1 "))
            fail_msg("row %u, %s: '%s'", i,
                     i < ARRAY_COUNT(smuggled_rows) ? smuggled_rows[i] : "NUL", text);
        close(fd);
    }
}

static void test_strange_but_right(void **state)
{
    static const char *const rows[] = {
        "\r\n\r\nGET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /?a=1 HTTP/1.1\r\nhOST:x\r\nEmpty:\r\nSpaces: \t  \r\nLast: \r\n\r\n",
        "GET /?a=1 HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \t3\r\n\r\na=1",
        "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: \tCHUNKED\r\n\r\n"
        "1;extension=\"x\"\r\na\r\n2\r\n=1\r\n0\r\nTrailer: x\r\n\r\n",
        "POST /?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    };
    int fd;

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        exchange(*state, rows[i], "\"a\":\"1\"");
    fd = dial(*state);
    say_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    hear(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say_text(fd, "a=1");
    hear(fd, "\"a\":\"1\"");
    close(fd);
    exchange(
        *state,
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        "HTTP/1.1 413 ");
    fd = dial(*state); /* two at once */
    say_text(fd,
             "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /?a=2 HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n");
    hear(fd, "\"a\":\"2\"");
    close(fd);
}

/* An end that comes together with the last bytes is seen. The library's thread is held at another
 * connection meanwhile. */
static void test_clients_that_go(void **state)
{
    static const char request[] = "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char *const lasts[] = {
        "garbage", "GET / HTTP/1.1\r\nHost",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na=1", request};
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(lasts); i++) {
        int fd = dial(fixture), other;
        char bytes[4096];
        ssize_t done;

        say(fd, lasts[i], 3);
        exchange(fixture, request, "\"a\":\"1\""); /* those were read */
        assert_int_equal(pthread_mutex_lock(&fixture->gate), 0);
        atomic_store(&fixture->at_gate, false);
        other = dial(fixture);
        while (!atomic_load(&fixture->at_gate))
            usleep(1000);
        say_text(fd, lasts[i] + 3);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
        while ((done = recv(fd, bytes, sizeof(bytes), 0)) > 0)
            ;
        if (done < 0) /* head-time and idle-time are longer than this client waits */
            fail_msg("not ended: %s", lasts[i]);
        close(fd);
        close(other);
    }
}

static void test_slow_heads_and_bodies(void **state)
{
    static const char request[] = "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct fixture *fixture = *state;
    int silent = dial(fixture), half = dial(fixture), body = dial(fixture), idle = dial(fixture);

    say_text(half, "GET /?a=1 HTTP/1.1\r\nHost");
    say_text(body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\na=");
    say(idle, request, sizeof(request) - 1);
    hear(idle, "\"a\":\"1\"");
    expect_end(silent);
    hear(half, "The request did not come in time.");
    expect_end(half);
    expect_end(idle);
    expect_end(body);
    exchange(fixture, request, "\"a\":\"1\"");
}

static void test_crowds(void **state)
{
    static const char request[] = "GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct fixture *fixture = *state;
    int silent[24];

    for (unsigned i = 0; i < ARRAY_COUNT(silent); i++)
        silent[i] = dial(fixture);
    exchange(fixture, request, "\"a\":\"1\""); /* behind all of them */
    for (unsigned i = 0; i < ARRAY_COUNT(silent) - 4; i++)
        expect_end(silent[i]);
    for (unsigned i = ARRAY_COUNT(silent) - 4; i < ARRAY_COUNT(silent); i++)
        close(silent[i]);
    for (unsigned i = 0; i < 8; i++) { /* idle ones on all places */
        silent[i] = dial(fixture);
        say(silent[i], request, sizeof(request) - 1);
        hear(silent[i], "\"a\":\"1\"");
    }
    exchange(fixture, request, "\"a\":\"1\"");
    for (unsigned i = 0; i < 8; i++)
        close(silent[i]);
}

static void test_stop_waits_for_the_answer(void **state)
{
    struct fixture *fixture = *state;
    int fd = dial(fixture);

    say_text(fd, "GET /?keep=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!atomic_load(&fixture->is_keeping))
        usleep(1000);
    close(fd); /* the client has gone; the answer comes all the same */
}

static void test_live_socket_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    struct http_server_options options = {
        .socket_path = fixture->path, .loop = fixture->loop, .route_cb = route, .arg = fixture};
    struct http_server *second;
    struct err err;

    assert_int_equal(http_server_new(&options, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another process listens"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_query_and_body_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_as_it_came, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_connection_many_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_problems_reach_the_router, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_clients_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_http, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_wrong_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_smuggling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strange_but_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients_that_go, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_slow_heads_and_bodies, setup_tight, teardown),
        cmocka_unit_test_setup_teardown(test_crowds, setup_tight, teardown),
        cmocka_unit_test_setup_teardown(test_stop_waits_for_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_socket_is_not_taken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client sends to the API's door: the whole door over a real unix socket, the library in it.
 * Input: the bytes of a connection; the client then closes its half.
 *
 * Checked: against a second reader, below, which reads the bytes as RFC 9112 has it. Each request
 * that reaches the router is the one that this reader found at that place: same method, query,
 * body, framing fields. So no bytes are a request to us that are none, or another, to a proxy. And
 * all that comes back is a row of whole answers in JSON with RequestId, no fewer than requests, but
 * for the last one: the library may see the client's end before its answer, and close.
 *
 * The library is more patient than the reader in a few places, where the reader follows it: empty
 * lines and lines that begin with NUL before a request, LF for CRLF in and behind chunks, NUL for
 * CR at the end of a line, what is_end() has for the end of a head (we only see four bytes, which
 * it made NUL), any line that begins with a colon for the end of trailers.
 *
 * Covers: http/http_exchange.c http/http_strict.c http/http_errors.c http/http_listener.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "http/http_server.h"

enum { REQUESTS_MAX = 64, INPUT_MAX = 12000, ANSWERS_MAX = 1 << 20 };

struct seen {
    enum http_problem problem;
    char *method, *query, *body;
    size_t body_length;
};

static struct loop *loop;
static struct http_server *server;
static char path[108];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects the two below */
static struct seen requests[REQUESTS_MAX];
static unsigned request_count;

static void route(void *arg, struct http_request *request)
{
    static const char body[] = "{\"RequestId\":\"R\"}";
    struct seen *seen;

    check(pthread_mutex_lock(&lock) == 0);
    if (request_count < REQUESTS_MAX) {
        seen = &requests[request_count++];
        seen->problem = request->problem;
        seen->method = strdup(request->method);
        seen->query = strdup(request->query);
        seen->body = (char *)fuzz_copy((const uint8_t *)request->body, request->body_length);
        seen->body_length = request->body_length;
        check(seen->method && seen->query);
        for (unsigned i = 0; i < request->field_count; i++)
            check(request->fields[i].name[0] != '\0' && request->fields[i].value != NULL);
    }
    check(pthread_mutex_unlock(&lock) == 0);
    http_reply(request,
               &(struct http_answer){
                   .status = 200, .request_id = "R", .body = body, .length = sizeof(body) - 1});
}

static void *run(void *arg)
{
    loop_run(loop);
    return NULL;
}

static void start(void)
{
    struct http_server_options options = {.route_cb = route};
    struct err err;
    pthread_t thread;

    if (server != NULL)
        return;
    fuzz_quiet();
    snprintf(path, sizeof(path), "%s/api.sock", fuzz_folder());
    check(loop_new(LOOP_THREADS, &loop, &err) == 0);
    options.loop = loop;
    options.socket_path = path;
    check(http_server_new(&options, &server, &err) == 0);
    check(pthread_create(&thread, NULL, run, NULL) == 0);
}

/* --- the second reader ----------------------------------------------------------------------- */

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_head_over; /* by the last line that was read */
};

/* The end of a head's last line, and the line behind it, which the library takes for an empty one.
 */
static bool is_end(const uint8_t *at, size_t left)
{
    if (left < 4 || at[3] != '\n')
        return false;
    if (at[0] == '\n')
        return at[2] != '\n' && (at[1] == ':' || at[1] == '\0');
    if (at[1] == '\n')
        return (at[0] == '\r' || at[0] == '\0') && at[2] != '\n' && strchr("\r:", at[2]) != NULL;
    return at[2] == '\n' && at[0] == '\0';
}

/* The last line of a head. */
static bool read_last(struct reader *reader, const char **ret_line, size_t *ret_length)
{
    size_t length = 0;

    while (length < reader->left && reader->at[length] != '\0' && reader->at[length] != '\r' &&
           reader->at[length] != '\n')
        length++;
    if (length == 0 || !is_end(reader->at + length, reader->left - length))
        return false;
    *ret_line = (const char *)reader->at;
    *ret_length = length;
    reader->at += length + 4;
    reader->left -= length + 4;
    reader->is_head_over = true;
    return true;
}

/* A line without its end; `is_strict`: only CRLF ends it, and a CR or NUL in it is a refusal. */
static bool read_line(struct reader *reader, bool is_strict, const char **ret_line,
                      size_t *ret_length)
{
    const uint8_t *end = reader->left ? memchr(reader->at, '\n', reader->left) : NULL;
    size_t length;

    if (is_strict && read_last(reader, ret_line, ret_length))
        return true;
    if (end == NULL)
        return false;
    length = (size_t)(end - reader->at);
    *ret_line = (const char *)reader->at;
    reader->at = end + 1;
    reader->left -= length + 1;
    if (length > 0 && ((*ret_line)[length - 1] == '\r' || (*ret_line)[length - 1] == '\0'))
        length--;
    else if (is_strict)
        return false;
    *ret_length = length;
    return !is_strict ||
           (memchr(*ret_line, '\0', length) == NULL && memchr(*ret_line, '\r', length) == NULL);
}

struct expected {
    const char *method, *target, *body;
    size_t method_length, target_length, body_length;
    char *body_room;
    bool is_chunked, has_length, has_host, is_old;
    uint64_t length;
};

static bool read_request_line(struct reader *reader, struct expected *expected)
{
    const char *line = "", *end, *version;
    size_t length = 0;

    do {
        struct reader before = *reader;

        if (!read_line(reader, false, &line, &length))
            return false;
        if (length > 0 && line[0] != '\0') { /* once more, as it should be */
            *reader = before;
            if (!read_line(reader, true, &line, &length))
                return false;
        }
    } while (length == 0 || line[0] == '\0');
    end = line + length;
    expected->method = line;
    while (line < end && *line != ' ')
        line++;
    expected->method_length = (size_t)(line - expected->method);
    if (line < end)
        line++;
    expected->target = line;
    while (line < end && (unsigned char)*line > ' ' && *line != 0x7f)
        line++;
    expected->target_length = (size_t)(line - expected->target);
    version = line;
    if (end - version != 9 || memcmp(version, " HTTP/1.", 8) != 0)
        return false;
    expected->is_old = version[8] == '0';
    return expected->method_length > 0 && expected->target_length > 0;
}

static bool read_number(const char *text, size_t length, unsigned base, uint64_t *ret_number)
{
    uint64_t number = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                         : (c | 0x20) >= 'a'  ? (unsigned)((c | 0x20) - 'a') + 10
                                              : 99;

        if (digit >= base || number > UINT64_MAX / 32)
            return false;
        number = number * base + digit;
    }
    *ret_number = number;
    return length > 0;
}

static bool is_name(const char *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && strncasecmp(name, wanted, length) == 0;
}

static bool take_field(const char *line, size_t length, struct expected *expected)
{
    const char *colon = memchr(line, ':', length), *value, *end = line + length;
    size_t name = colon ? (size_t)(colon - line) : 0;

    if (name == 0)
        return false;
    for (size_t i = 0; i < name; i++)
        if ((unsigned char)line[i] <= ' ' || (unsigned char)line[i] >= 0x7f)
            return false;
    for (value = colon + 1; value < end; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return false;
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t');)
        value++;
    if (is_name(line, name, "host")) {
        if (expected->has_host)
            return false;
        expected->has_host = true;
    } else if (is_name(line, name, "content-length")) {
        if (expected->has_length ||
            !read_number(value, (size_t)(end - value), 10, &expected->length))
            return false;
        expected->has_length = true;
    } else if (is_name(line, name, "transfer-encoding")) {
        if (expected->is_chunked || !is_name(value, (size_t)(end - value), "chunked"))
            return false;
        expected->is_chunked = true;
    }
    return true;
}

static bool read_fields(struct reader *reader, struct expected *expected)
{
    while (!reader->is_head_over) {
        const char *line;
        size_t length;

        if (!read_line(reader, true, &line, &length))
            return false;
        if (length == 0)
            break;
        if (!take_field(line, length, expected))
            return false;
    }
    return (expected->has_host || expected->is_old) &&
           !(expected->is_chunked && (expected->has_length || expected->is_old));
}

static bool read_chunks(struct reader *reader, struct expected *expected)
{
    expected->body_room = malloc(reader->left + 1);
    check(expected->body_room);
    expected->body = expected->body_room;
    for (;;) {
        const char *line, *extension;
        size_t length;
        uint64_t size;

        if (!read_line(reader, false, &line, &length))
            return false;
        extension = memchr(line, ';', length);
        if (!read_number(line, extension ? (size_t)(extension - line) : length, 16, &size))
            return false;
        if (size == 0)
            break;
        if (size > reader->left)
            return false;
        memcpy(expected->body_room + expected->body_length, reader->at, size);
        expected->body_length += size;
        reader->at += size;
        reader->left -= size;
        if (!read_line(reader, false, &line, &length) || length > 0)
            return false;
    }
    for (bool is_first = true;; is_first = false) { /* trailers are of no use to us */
        const char *line;
        size_t length;

        if (!read_line(reader, false, &line, &length))
            return false;
        if (length == 0 || line[0] == '\0' || (line[0] == ':' && !is_first))
            return true;
    }
}

static bool read_request(struct reader *reader, struct expected *expected)
{
    reader->is_head_over = false;
    if (!read_request_line(reader, expected) || !read_fields(reader, expected))
        return false;
    if (expected->is_chunked)
        return read_chunks(reader, expected);
    if (expected->length > reader->left)
        return false;
    expected->body = (const char *)reader->at;
    expected->body_length = expected->length;
    reader->at += expected->length;
    reader->left -= expected->length;
    return true;
}

/* --- the two compared ------------------------------------------------------------------------ */

static void compare(const struct seen *seen, const struct expected *expected)
{
    const char *query = memchr(expected->target, '?', expected->target_length);
    size_t length = query ? expected->target_length - (size_t)(query + 1 - expected->target) : 0;

    check(strlen(seen->method) == expected->method_length &&
          memcmp(seen->method, expected->method, expected->method_length) == 0);
    check(strlen(seen->query) == length &&
          memcmp(seen->query, query ? query + 1 : "", length) == 0);
    if (seen->problem != HTTP_FINE) /* its body may have been thrown away */
        return;
    check(seen->body_length == expected->body_length &&
          memcmp(seen->body, expected->body, seen->body_length) == 0);
}

static void compare_all(const uint8_t *bytes, size_t length)
{
    struct reader reader = {.at = bytes, .left = length};

    for (unsigned i = 0; i < request_count; i++) {
        struct expected expected = {.body = ""};

        check(read_request(&reader, &expected));
        compare(&requests[i], &expected);
        free(expected.body_room);
        free(requests[i].method);
        free(requests[i].query);
        free(requests[i].body);
    }
}

/* How many there are; each must be whole. */
static unsigned count_answers(const char *text, size_t length)
{
    unsigned count = 0;

    while (length > 0) {
        const char *body, *field;
        size_t head, body_length;

        check(text != NULL);
        body = memmem(text, length, "\r\n\r\n", 4);
        check(length > 12 && memcmp(text, "HTTP/1.", 7) == 0 && body != NULL);
        head = (size_t)(body + 4 - text);
        if (memcmp(text + 9, "100", 3) != 0) {
            bool has_body = true;

            field = memmem(text, head, "\r\nContent-Length: ", 18);
            check(field != NULL);
            body_length = strtoull(field + 18, NULL, 10);
            if (head + 12 > length || memcmp(body + 4, "{\"RequestId\"", 12) != 0)
                has_body = false; /* of a HEAD */
            check(!has_body || head + body_length <= length);
            head += has_body ? body_length : 0;
            count++;
        }
        text += head;
        length -= head;
    }
    return count;
}

/* Sends all, hears all. */
static size_t talk(const uint8_t *bytes, size_t length, char *answers)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 30};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t used = 0;
    ssize_t done;

    strcpy(address.sun_path, path);
    check(fd >= 0 && connect(fd, (void *)&address, sizeof(address)) == 0);
    check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    while (length > 0 && (done = send(fd, bytes, length, MSG_NOSIGNAL)) > 0) {
        bytes += done;
        length -= (size_t)done;
    }
    (void)shutdown(fd, SHUT_WR);
    /* libFuzzer's alarm interrupts a recv() that has a limit. */
    while ((done = recv(fd, answers + used, ANSWERS_MAX - used, 0)) > 0 ||
           (done < 0 && errno == EINTR))
        used += done > 0 ? (size_t)done : 0;
    if (done < 0 && errno != ECONNRESET)
        fprintf(stderr, "no end after %zu bytes of answers to %u requests: %.*s\n", used,
                request_count, (int)used, answers);
    check(done == 0 || errno == ECONNRESET); /* and not a time that is over */
    close(fd);
    return used;
}

/* What was given to the router of earlier connections has reached it when this one is answered. */
static void settle(char *answers)
{
    static const char last[] = "GET /?fence=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    unsigned before = request_count;

    for (unsigned tries = 0;
         count_answers(answers, talk((const uint8_t *)last, sizeof(last) - 1, answers)) == 0;
         tries++)
        check(tries < 100);
    check(pthread_mutex_lock(&lock) == 0);
    for (; request_count > before && strcmp(requests[request_count - 1].query, "fence=1") == 0;
         request_count--) {
        free(requests[request_count - 1].method);
        free(requests[request_count - 1].query);
        free(requests[request_count - 1].body);
    }
    check(pthread_mutex_unlock(&lock) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *answers = malloc(ANSWERS_MAX);
    unsigned count;
    size_t used;

    check(answers);
    start();
    if (length <= INPUT_MAX) {
        request_count = 0;
        used = talk(bytes, length, answers);
        count = count_answers(answers, used);
        settle(answers);
        check(pthread_mutex_lock(&lock) == 0);
        compare_all(bytes, length);
        check(count + 1 >= request_count || request_count == REQUESTS_MAX);
        check(pthread_mutex_unlock(&lock) == 0);
    }
    free(answers);
    return 0;
}

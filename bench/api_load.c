/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: `make bench-api` needs a client that costs little beside the server: one thread, keep-alive
 * connections, each request signed anew as the SDKs do (ACS3-HMAC-SHA256), answers counted.
 *
 *     api-load call PORT CONNECTIONS SECONDS RATE KEY SECRET ACTION QUERY
 *         "N answers a second, N failed, N bytes", as fast as they come (RATE 0) or RATE a second.
 *         RATE may be RATE:MS:TURN:TURNS: only while it is our turn, of MS milliseconds each, by
 *         the wall clock since 1970.
 *         QUERY is canonical; %N in it becomes the number of the connection, %U of the request.
 *     api-load bare PORT FILE
 *         a handler of libmicrohttpd that answers with the file, until killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "access/canonical.h"
#include "access/signature.h"
#include "base/check.h"

enum { CONNECTIONS_MAX = 64, REQUEST_SIZE = 4096, ANSWER_SIZE = 1 << 20, FIELDS = 6 };

struct load {
    struct signature *signature;
    struct canonical canonical;
    const char *key, *secret, *action, *query;
    char empty[SIGNATURE_HEX_SIZE];
    unsigned port, count;
    uint64_t number, answers, failed, bytes;
    double rate;      /* 0: no bound */
    uint64_t turn_ns; /* 0: always */
    unsigned turn, turns, next;
    uint64_t begin_wall_ns;
    uint64_t begin_ns, end_ns;
    char *answer; /* what any of them receives into, behind what it has */
};

struct connection {
    int fd;
    unsigned index;
    bool is_asking;
    size_t have, whole; /* of an answer; whole 0: its head is not there yet */
    char head[8192];
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- asking ---------------------------------------------------------------------------------- */

static void make_query(struct load *load, unsigned index, char *ret, size_t size)
{
    size_t used = 0;

    for (const char *at = load->query; *at && used + 24 < size; at++) {
        if (at[0] == '%' && (at[1] == 'N' || at[1] == 'U'))
            used += (size_t)snprintf(ret + used, size - used, "%llu",
                                     *++at == 'N' ? (unsigned long long)index
                                                  : (unsigned long long)load->number);
        else
            ret[used++] = *at;
    }
    ret[used] = 0;
}

static size_t make_request(struct load *load, unsigned index, char *ret, size_t size)
{
    char query[1024], nonce[40], date[32], header[600], text[SIGNATURE_V3_TEXT];
    char mac[SIGNATURE_HEX_SIZE];
    static const char listed[] = "host;x-acs-action;x-acs-content-sha256;x-acs-date;"
                                 "x-acs-signature-nonce;x-acs-version";
    struct canonical_authorization authorization;
    time_t wall = time(NULL);
    struct tm utc;

    load->number++;
    make_query(load, index, query, sizeof(query));
    snprintf(nonce, sizeof(nonce), "%d-%llu", (int)getpid(), (unsigned long long)load->number);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&wall, &utc));
    struct canonical_field fields[FIELDS] = {
        {"host", "x"},
        {"x-acs-action", load->action},
        {"x-acs-content-sha256", load->empty},
        {"x-acs-date", date},
        {"x-acs-signature-nonce", nonce},
        {"x-acs-version", "2021-07-30"},
    };
    struct canonical_request request = {.method = "GET",
                                        .query = {query, strlen(query)},
                                        .body = {"", 0},
                                        .fields = fields,
                                        .field_count = FIELDS};

    snprintf(header, sizeof(header), "ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s",
             load->key, listed, load->empty);
    check(canonical_parse_authorization(header, &authorization) == 0);
    check(canonical_v3(&load->canonical, &request, &authorization, load->empty) == 0);
    check(signature_v3(load->signature, load->secret, load->canonical.text, load->canonical.length,
                       text, mac) == 0);
    return (size_t)snprintf(ret, size,
                            "GET /?%s HTTP/1.1\r\nhost: x\r\nx-acs-action: %s\r\n"
                            "x-acs-content-sha256: %s\r\nx-acs-date: %s\r\n"
                            "x-acs-signature-nonce: %s\r\nx-acs-version: 2021-07-30\r\n"
                            "Authorization: ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,"
                            "Signature=%s\r\n\r\n",
                            query, load->action, load->empty, date, nonce, load->key, listed, mac);
}

static int dial(const struct load *load)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (void *)&address, sizeof(address)) != 0) {
        perror("api-load");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static uint64_t wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What was ours of the time from 1970 on. */
static uint64_t own_ns(const struct load *load, uint64_t wall)
{
    uint64_t round = load->turn_ns * load->turns, begin = load->turn_ns * load->turn;
    uint64_t rest = wall % round;
    uint64_t last = rest < begin ? 0 : rest - begin;

    return wall / round * load->turn_ns + (last < load->turn_ns ? last : load->turn_ns);
}

/* As many as the rate allows by now. */
static bool may_ask(const struct load *load)
{
    uint64_t past_ns, wall;

    if (load->rate <= 0)
        return true;
    if (load->turn_ns == 0) {
        past_ns = now_ns() - load->begin_ns;
    } else {
        wall = wall_ns();
        if (wall / load->turn_ns % load->turns != load->turn)
            return false;
        past_ns = own_ns(load, wall) - own_ns(load, load->begin_wall_ns);
    }
    return (double)load->number < load->rate * (double)past_ns / 1e9;
}

static void take_rate(struct load *load, const char *text)
{
    unsigned ms = 0;

    load->turns = 1;
    check(sscanf(text, "%lf:%u:%u:%u", &load->rate, &ms, &load->turn, &load->turns) >= 1);
    check(load->turns > 0 && load->turn < load->turns);
    load->turn_ns = (uint64_t)ms * 1000000;
    load->begin_wall_ns = wall_ns();
}

static void ask(struct load *load, struct connection *connection)
{
    char request[REQUEST_SIZE];
    size_t length = make_request(load, connection->index, request, sizeof(request));

    check(length < sizeof(request));
    connection->is_asking = true;
    connection->have = connection->whole = 0;
    if (send(connection->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) {
        close(connection->fd);
        connection->fd = dial(load); /* it was idle for too long */
        check(send(connection->fd, request, length, MSG_NOSIGNAL) == (ssize_t)length);
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static void find_whole(struct connection *connection)
{
    char *end = strstr(connection->head, "\r\n\r\n");
    const char *length = strcasestr(connection->head, "content-length:");

    if (!end || !length)
        return;
    connection->whole = (size_t)(end - connection->head) + 4 + strtoul(length + 15, NULL, 10);
}

static void take(struct load *load, struct connection *connection)
{
    ssize_t got = recv(connection->fd, load->answer, ANSWER_SIZE, 0);

    if (got <= 0) {
        fprintf(stderr, "api-load: the server closed a connection\n");
        exit(1);
    }
    if (connection->have < sizeof(connection->head) - 1) {
        size_t room = sizeof(connection->head) - 1 - connection->have;
        size_t part = (size_t)got < room ? (size_t)got : room;

        memcpy(connection->head + connection->have, load->answer, part);
        connection->head[connection->have + part] = 0;
    }
    connection->have += (size_t)got;
    if (connection->whole == 0)
        find_whole(connection);
    if (connection->whole == 0 || connection->have < connection->whole)
        return;
    if (strncmp(connection->head, "HTTP/1.1 200", 12) != 0 && load->failed++ == 0)
        fprintf(stderr, "api-load: %.600s\n", connection->head);
    load->answers++;
    load->bytes += connection->whole;
    connection->is_asking = false;
}

/* In turn, so that none is idle for too long. */
static void ask_next(struct load *load, struct connection *connections)
{
    for (unsigned i = 0; i < load->count && may_ask(load); i++) {
        struct connection *connection = &connections[load->next++ % load->count];

        if (!connection->is_asking)
            ask(load, connection);
    }
}

static void run(struct load *load)
{
    static struct connection connections[CONNECTIONS_MAX];
    struct pollfd polls[CONNECTIONS_MAX];

    for (unsigned i = 0; i < load->count; i++)
        connections[i] = (struct connection){.fd = dial(load), .index = i};
    while (now_ns() < load->end_ns) {
        ask_next(load, connections);
        for (unsigned i = 0; i < load->count; i++)
            polls[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        if (poll(polls, load->count, load->rate > 0 ? 1 : 100) < 0)
            continue;
        for (unsigned i = 0; i < load->count; i++)
            if (polls[i].revents)
                take(load, &connections[i]);
    }
    for (unsigned i = 0; i < load->count; i++)
        close(connections[i].fd);
}

static int call(char **words)
{
    struct load load = {.port = (unsigned)atoi(words[0]),
                        .count = (unsigned)atoi(words[1]),
                        .key = words[4],
                        .secret = words[5],
                        .action = words[6],
                        .query = words[7]};
    double seconds = atof(words[2]);
    struct err err;

    take_rate(&load, words[3]);
    check(load.count >= 1 && load.count <= CONNECTIONS_MAX);
    check(signature_new(&load.signature, &err) == 0);
    check(signature_hash(load.signature, "", 0, load.empty) == 0);
    load.answer = malloc(ANSWER_SIZE);
    check(load.answer);
    load.begin_ns = now_ns();
    load.end_ns = load.begin_ns + (uint64_t)(seconds * 1e9);
    run(&load);
    seconds = (double)(now_ns() - load.begin_ns) / 1e9;
    printf("%.1f %llu %llu\n", (double)load.answers / seconds, (unsigned long long)load.failed,
           (unsigned long long)(load.answers ? load.bytes / load.answers : 0));
    free(load.answer);
    canonical_fini(&load.canonical);
    signature_free(load.signature);
    return 0;
}

/* --- the bare handler ------------------------------------------------------------------------ */

struct body {
    char *bytes;
    size_t length;
};

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_length, void **state)
{
    const struct body *body = arg;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (!*state) { /* the head; what is answered now closes the connection */
        *state = arg;
        return MHD_YES;
    }
    *state = NULL;
    response = MHD_create_response_from_buffer(body->length, body->bytes, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(response, "Content-Type", "application/json;charset=utf-8");
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static int bare(char **words)
{
    FILE *file = fopen(words[1], "rb");
    struct body body = {.bytes = malloc(ANSWER_SIZE)};

    check(file && body.bytes);
    body.length = fread(body.bytes, 1, ANSWER_SIZE, file);
    fclose(file);
    /* One thread for all connections, as versod's door. */
    if (!MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_TURBO,
                          (uint16_t)atoi(words[0]), NULL, NULL, answer, &body, MHD_OPTION_END)) {
        fprintf(stderr, "api-load: the bare server does not start\n");
        return 1;
    }
    for (;;)
        pause();
}

int main(int count, char **words)
{
    if (count == 10 && strcmp(words[1], "call") == 0)
        return call(words + 2);
    if (count == 4 && strcmp(words[1], "bare") == 0)
        return bare(words + 2);
    fprintf(stderr, "usage: api-load call PORT CONNECTIONS SECONDS RATE KEY SECRET ACTION QUERY\n"
                    "       api-load bare PORT FILE\n");
    return 2;
}

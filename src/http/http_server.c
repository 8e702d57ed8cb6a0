/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a thread of libmicrohttpd between clients and the loop.
 *
 * Promises
 *  1. Body, head, their time and the number of connections are bounded (http_patrol.h).
 *  2. A request is given to the loop once, complete, and is answered once.
 *  3. Two threads touch a request in turn, never at once: the library's until it is suspended, the
 *     loop's until it is resumed.
 *  4. While the server stops, nothing new is suspended: `waiting` goes up before `is_stopping` is
 *     read, and is read after that was set.
 */
#include "http/http_server.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "http/http_errors.h"

enum { HTTP_MAGIC = 0x68747470, EXCHANGE_MAGIC = 0x65786368, LIBRARY_IDLE_S = 75, BACKLOG = 1024 };

static const struct http_limits default_limits = {
    .connections_max = 256,
    .waiting_max = 64,
    .head_ns_max = UINT64_C(10) * 1000000000,
    .idle_ns_max = UINT64_C(65) * 1000000000,
    .body_rate_min = 500,
    .head_bytes_max = 16 << 10,
    .body_bytes_max = 1 << 20,
};

struct http_server {
    uint32_t magic;
    struct http_server_options options;
    char socket_path[108];
    int listener;
    struct MHD_Daemon *daemon;
    struct http_patrol *patrol;
    atomic_uint waiting; /* requests given to the loop and not answered */
    atomic_bool is_stopping;
    struct loop_message stop_message;
    bool is_stop_posted;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

/* A request in the library's hands. */
struct exchange {
    uint32_t magic;
    struct http_request request; /* first seen by the router */
    struct http_server *server;
    struct MHD_Connection *connection;
    struct MHD_Response *response;
    unsigned status;
    char *uri; /* as it came */
    char *fields_text;
    char *body; /* ends with a NUL of ours */
    size_t body_length, body_room;
    size_t head_bytes;
    unsigned field_count; /* may be more than the request has room for */
    struct http_guest *guest;
    bool has_begun, is_given, is_form;
    struct loop_message message;
};

static struct exchange *exchange_of(struct http_request *request)
{
    struct exchange *exchange = container_of(request, struct exchange, request);

    check_magic(exchange, EXCHANGE_MAGIC);
    return exchange;
}

static void exchange_free(struct exchange *exchange)
{
    check_magic(exchange, EXCHANGE_MAGIC);
    form_fini(&exchange->request.form);
    if (exchange->response)
        MHD_destroy_response(exchange->response);
    free(exchange->uri);
    free(exchange->fields_text);
    free(exchange->body);
    exchange->magic = 0;
    free(exchange);
}

/* --- the library's thread -------------------------------------------------------------------- */

static struct http_guest *guest_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void *uri_seen(void *arg, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    check(exchange);
    exchange->magic = EXCHANGE_MAGIC;
    exchange->server = arg;
    exchange->connection = connection;
    exchange->uri = strdup(uri);
    check(exchange->uri);
    exchange->guest = guest_of(connection);
    http_patrol_phase(exchange->server->patrol, exchange->guest, HTTP_PHASE_HEAD);
    return exchange;
}

/* Keeps the library's pointers; take_fields() makes texts of ours. */
static enum MHD_Result header_seen(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct exchange *exchange = arg;
    struct http_request *request = &exchange->request;

    if (!value)
        value = "";
    exchange->head_bytes += strlen(name) + strlen(value);
    if (exchange->field_count++ < HTTP_FIELDS_MAX)
        request->fields[request->field_count++] = (struct http_field){.name = name, .value = value};
    return MHD_YES;
}

static char *copy_lower(char *at, const char *name)
{
    for (; *name != '\0'; name++)
        *at++ = (char)(*name >= 'A' && *name <= 'Z' ? *name | 0x20 : *name);
    *at++ = '\0';
    return at;
}

static char *copy_trimmed(char *at, const char *value)
{
    size_t length;

    value += strspn(value, " \t");
    length = strlen(value);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    memcpy(at, value, length);
    at[length] = '\0';
    return at + length + 1;
}

static void copy_text(const struct http_request *request, const char *name, char *at, size_t size)
{
    const char *value = http_field_get(request, name);

    if (value != NULL && strlen(value) < size)
        memcpy(at, value, strlen(value) + 1);
}

static bool is_form_type(const char *value)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const size_t length = sizeof(type) - 1;

    return strncasecmp(value, type, length) == 0 && strchr("; ", value[length]) != NULL;
}

static void take_fields(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;
    const char *type;
    char *at;

    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, header_seen, exchange);
    at = malloc(exchange->head_bytes + 2 * HTTP_FIELDS_MAX);
    check(at);
    exchange->fields_text = at;
    for (unsigned i = 0; i < request->field_count; i++) {
        struct http_field *field = &request->fields[i];
        const struct http_field given = *field;

        field->name = at;
        at = copy_lower(at, given.name);
        field->value = at;
        at = copy_trimmed(at, given.value);
    }
    copy_text(request, "x-acs-action", request->action, sizeof(request->action));
    copy_text(request, "x-acs-version", request->version, sizeof(request->version));
    type = http_field_get(request, "content-type");
    exchange->is_form = type == NULL || is_form_type(type); /* without a type: taken for a form */
}

static bool is_permitted(struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return false;
    exchange->request.user = credentials.uid;
    return credentials.uid == 0 || credentials.uid == geteuid();
}

static void take_query(struct exchange *exchange)
{
    const char *query = strchr(exchange->uri, '?');

    exchange->request.query = query ? query + 1 : "";
    exchange->request.body = "";
    exchange->head_bytes = strlen(exchange->uri);
}

static void exchange_begin(struct exchange *exchange, const char *path, const char *method)
{
    struct http_request *request = &exchange->request;

    exchange->has_begun = true;
    http_patrol_phase(exchange->server->patrol, exchange->guest, HTTP_PHASE_BODY);
    request->method = method;
    take_query(exchange);
    take_fields(exchange);
    if (!is_permitted(exchange))
        request->problem = HTTP_FORBIDDEN;
    else if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
        request->problem = HTTP_BAD_METHOD;
    else if (exchange->head_bytes > exchange->server->options.limits.head_bytes_max ||
             exchange->field_count > HTTP_FIELDS_MAX)
        request->problem = HTTP_HEAD_TOO_LARGE;
    else if (strcmp(path, "/") != 0)
        request->problem = HTTP_BAD_PATH;
}

static void exchange_upload(struct exchange *exchange, const char *bytes, size_t length)
{
    char *larger;

    http_patrol_body(exchange->server->patrol, exchange->guest, length);
    if (exchange->request.problem != HTTP_FINE)
        return; /* read and thrown away */
    if (length > exchange->server->options.limits.body_bytes_max - exchange->body_length) {
        exchange->request.problem = HTTP_BODY_TOO_LARGE;
        return;
    }
    if (length >= exchange->body_room - exchange->body_length) {
        exchange->body_room = (exchange->body_length + length) * 2 + 1;
        larger = realloc(exchange->body, exchange->body_room);
        check(larger);
        exchange->body = larger;
    }
    memcpy(exchange->body + exchange->body_length, bytes, length);
    exchange->body_length += length;
    exchange->body[exchange->body_length] = '\0';
}

static void exchange_parse(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;

    if (request->problem != HTTP_FINE)
        return;
    if (exchange->body_length > 0) {
        request->body = exchange->body;
        request->body_length = exchange->body_length;
    }
    if (request->body_length > 0 && !exchange->is_form)
        request->problem = HTTP_BAD_TYPE;
    else if (form_parse(&request->form, request->query, strlen(request->query)) < 0 ||
             form_parse(&request->form, request->body, request->body_length) < 0)
        request->problem = HTTP_BAD_FORM;
}

static void give(struct loop_message *message)
{
    struct exchange *exchange = container_of(message, struct exchange, message);

    check_magic(exchange, EXCHANGE_MAGIC);
    exchange->server->options.route_cb(exchange->server->options.arg, &exchange->request);
}

static enum MHD_Result exchange_give(struct exchange *exchange)
{
    struct http_server *server = exchange->server;

    exchange_parse(exchange);
    atomic_fetch_add(&server->waiting, 1);
    if (atomic_load(&server->is_stopping)) {
        atomic_fetch_sub(&server->waiting, 1);
        return MHD_NO;
    }
    exchange->is_given = true;
    http_patrol_phase(server->patrol, exchange->guest, HTTP_PHASE_WORK);
    MHD_suspend_connection(exchange->connection);
    exchange->message.run_cb = give;
    loop_post(server->options.loop, &exchange->message);
    return MHD_YES;
}

static enum MHD_Result request_seen(void *arg, struct MHD_Connection *connection, const char *path,
                                    const char *method, const char *version, const char *upload,
                                    size_t *upload_length, void **state)
{
    struct exchange *exchange = *state;

    check_magic(exchange, EXCHANGE_MAGIC);
    if (!exchange->has_begun) {
        exchange_begin(exchange, path, method);
        return MHD_YES;
    }
    if (*upload_length > 0) {
        exchange_upload(exchange, upload, *upload_length);
        *upload_length = 0;
        return MHD_YES;
    }
    if (!exchange->is_given)
        return exchange_give(exchange);
    check(exchange->response);
    return MHD_queue_response(connection, exchange->status, exchange->response);
}

static void request_ended(void *arg, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode why)
{
    struct exchange *exchange = *state;

    struct http_server *server = arg;

    if (exchange) {
        http_patrol_phase(server->patrol, exchange->guest, HTTP_PHASE_IDLE);
        exchange_free(exchange);
    }
    *state = NULL;
}

/* --- the loop -------------------------------------------------------------------------------- */

/* Behind every message that the library's thread posted. */
static void library_ended(struct loop_message *message)
{
    struct http_server *server = container_of(message, struct http_server, stop_message);

    http_patrol_free(server->patrol);
    server->patrol = NULL;
    server->stopped_cb(server->stopped_arg);
}

static void stop_now(struct loop_message *message)
{
    struct http_server *server = container_of(message, struct http_server, stop_message);

    check_magic(server, HTTP_MAGIC);
    check(atomic_load(&server->waiting) == 0);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    close(server->listener);
    unlink(server->socket_path);
    http_patrol_stop(server->patrol);
    server->stop_message.run_cb = library_ended;
    loop_post(server->options.loop, &server->stop_message);
}

static void stop_if_quiet(struct http_server *server)
{
    if (!atomic_load(&server->is_stopping) || atomic_load(&server->waiting) > 0 ||
        server->is_stop_posted)
        return;
    server->is_stop_posted = true;
    server->stop_message.run_cb = stop_now;
    loop_post(server->options.loop, &server->stop_message);
}

void http_server_stop(struct http_server *server, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(server, HTTP_MAGIC);
    server->stopped_cb = stopped_cb;
    server->stopped_arg = arg;
    MHD_quiesce_daemon(server->daemon);
    atomic_store(&server->is_stopping, true);
    stop_if_quiet(server);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    check_magic(server, HTTP_MAGIC);
    check(!server->daemon);
    server->magic = 0;
    free(server);
}

const char *http_field_get(const struct http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->field_count; i++)
        if (strcmp(request->fields[i].name, name) == 0)
            return request->fields[i].value;
    return NULL;
}

/* What clients wait by: the public runtimes read one of the first two, people the third. */
static void add_retry(struct MHD_Response *response, uint64_t retry_ms)
{
    char text[64];

    snprintf(text, sizeof(text), "%" PRIu64, retry_ms);
    MHD_add_response_header(response, "x-acs-retry-after", text);
    snprintf(text, sizeof(text), "TimeLeft:%" PRIu64, retry_ms);
    MHD_add_response_header(response, "x-ratelimit-user-api", text);
    snprintf(text, sizeof(text), "%" PRIu64, (retry_ms + 999) / 1000);
    MHD_add_response_header(response, "Retry-After", text);
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
    struct exchange *exchange = exchange_of(request);
    struct http_server *server = exchange->server;
    const char *type =
        answer->content_type ? answer->content_type : "application/json;charset=utf-8";
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->length, (void *)answer->body, MHD_RESPMEM_MUST_COPY);

    check(response && exchange->is_given && !exchange->response);
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Keep-Alive", "timeout=55");
    MHD_add_response_header(response, HTTP_OUR_HEADER, answer->request_id);
    if (answer->retry_ms > 0)
        add_retry(response, answer->retry_ms);
    exchange->response = response;
    exchange->status = answer->status;
    MHD_resume_connection(exchange->connection);
    /* From here on the exchange is the other thread's. */
    atomic_fetch_sub(&server->waiting, 1);
    stop_if_quiet(server);
}

static void connection_changed(void *arg, struct MHD_Connection *connection, void **state,
                               enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = arg;
    const union MHD_ConnectionInfo *info;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*state != NULL)
            http_patrol_leave(server->patrol, *state);
        *state = NULL;
        return;
    }
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *state = info ? http_patrol_enter(server->patrol, info->connect_fd) : NULL;
    if (server->options.connected_cb)
        server->options.connected_cb(server->options.connected_arg);
}

/* A socket file that nobody answers on is replaced, a live one is not. */
static int bind_socket(struct http_server *server, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = server->socket_path;
    int probe;

    strcpy(address.sun_path, path);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0 && connect(probe, (void *)&address, sizeof(address)) == 0) {
        close(probe);
        return err_set(err, -EADDRINUSE, "%s: another process listens there", path);
    }
    close(probe);
    unlink(path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0 || bind(server->listener, (void *)&address, sizeof(address)) != 0 ||
        chmod(path, 0660) != 0 || listen(server->listener, BACKLOG) != 0) {
        int error = -errno;
        if (server->listener >= 0)
            close(server->listener);
        return err_set(err, error, "%s: %s", path, err_name(error));
    }
    return 0;
}

static void fill_limits(struct http_limits *limits)
{
    const struct http_limits given = *limits;

    *limits = default_limits;
#define TAKE(field) limits->field = given.field ? given.field : limits->field
    TAKE(connections_max);
    TAKE(waiting_max);
    TAKE(head_ns_max);
    TAKE(idle_ns_max);
    TAKE(body_rate_min);
    TAKE(head_bytes_max);
    TAKE(body_bytes_max);
#undef TAKE
    if (limits->waiting_max > limits->connections_max / 2) /* the others are for those who call */
        limits->waiting_max = limits->connections_max / 2;
}

/* The pool holds a head twice: as it came and taken apart. */
static struct MHD_Daemon *start_library(struct http_server *server)
{
    const struct http_limits *limits = &server->options.limits;

    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        request_seen, server, MHD_OPTION_LISTEN_SOCKET, server->listener,
        MHD_OPTION_URI_LOG_CALLBACK, uri_seen, server, MHD_OPTION_NOTIFY_COMPLETED, request_ended,
        server, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
        MHD_OPTION_CONNECTION_LIMIT, limits->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(limits->idle_ns_max / 1000000000 + LIBRARY_IDLE_S),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)limits->head_bytes_max * 4, MHD_OPTION_END);
}

int http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                    struct err *err)
{
    struct http_server *server;
    int result;

    check(options->loop && options->route_cb);
    if (strlen(options->socket_path) >= sizeof(server->socket_path))
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", options->socket_path);
    server = calloc(1, sizeof(*server));
    if (!server)
        return err_set(err, -ENOMEM, "http: out of memory");
    server->magic = HTTP_MAGIC;
    server->options = *options;
    fill_limits(&server->options.limits);
    strcpy(server->socket_path, options->socket_path);
    result = bind_socket(server, err);
    if (result < 0) {
        free(server);
        return result;
    }
    server->patrol = http_patrol_new(options->loop, &server->options.limits);
    server->daemon = server->patrol ? start_library(server) : NULL;
    if (!server->daemon) {
        http_patrol_free(server->patrol);
        close(server->listener);
        free(server);
        return err_set(err, -EIO, "%s: the HTTP server does not start", options->socket_path);
    }
    *ret_server = server;
    return 0;
}

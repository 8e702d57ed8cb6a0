/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a request comes in pieces on the library's thread, and is answered on the loop's.
 *
 * Promises
 *  1. A request is given to the loop once, complete, and is answered once.
 *  2. Two threads touch a request in turn, never at once: the library's until it is suspended, the
 *     loop's until it is resumed.
 *  3. While the server stops, nothing new is suspended: `waiting` goes up before `is_stopping` is
 *     read, and is read after that was set.
 *  4. A head that two readers could read in two ways, or whose body is declared too large, is
 *     answered at once, its connection closed, and no byte behind it looked at.
 */
#include "http/http_exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/log.h"
#include "http/http_strict.h"

enum {
    EXCHANGE_MAGIC = 0x65786368,
    DISCARDED_MAX = 4 /* bodies of the largest size */,
    SPARES_MAX = 64
};

/* The router's answer, copied. */
struct reply {
    unsigned status;
    const char *content_type;
    char request_id[64];
    uint64_t retry_ms;
    size_t length;
    char *body;      /* `room`, or memory of its own */
    char room[1536]; /* most are shorter */
};

/* A request in the library's hands. */
struct exchange {
    uint32_t magic;
    struct http_request request; /* first seen by the router */
    struct http_gate *gate;
    struct http_peer *peer;
    struct MHD_Connection *connection;
    char *uri;           /* as it came */
    const char *uri_raw; /* in the library's buffer; NULL: there was none */
    char *fields_text;
    char *body; /* ends with a NUL of ours */
    size_t body_length, body_room;
    uint64_t discarded_bytes;
    size_t head_bytes;
    unsigned field_count; /* may be more than the request has room for */
    bool has_begun, is_given, is_form, is_answered;
    bool is_last; /* of its connection */
    struct loop_message message;
    struct exchange *next_spare;
    struct reply reply; /* the last: what is behind it is not made empty */
};

static struct exchange *exchange_of(struct http_request *request)
{
    struct exchange *exchange = container_of(request, struct exchange, request);

    check_magic(exchange, EXCHANGE_MAGIC);
    return exchange;
}

static struct exchange *exchange_new(struct http_gate *gate)
{
    struct exchange *exchange = gate->spares;

    if (exchange) {
        gate->spares = exchange->next_spare;
        gate->spare_count--;
    } else {
        exchange = malloc(sizeof(*exchange));
        check(exchange);
    }
    memset(exchange, 0, offsetof(struct exchange, reply.room));
    exchange->magic = EXCHANGE_MAGIC;
    exchange->gate = gate;
    return exchange;
}

static void exchange_free(struct exchange *exchange)
{
    struct http_gate *gate = exchange->gate;

    check_magic(exchange, EXCHANGE_MAGIC);
    form_fini(&exchange->request.form);
    if (exchange->reply.body != exchange->reply.room)
        free(exchange->reply.body);
    free(exchange->uri);
    free(exchange->fields_text);
    free(exchange->body);
    exchange->magic = 0;
    if (gate->spare_count == SPARES_MAX) {
        free(exchange);
        return;
    }
    exchange->next_spare = gate->spares;
    gate->spares = exchange;
    gate->spare_count++;
}

void http_exchange_drop_spares(struct http_gate *gate)
{
    while (gate->spares) {
        struct exchange *exchange = gate->spares;

        gate->spares = exchange->next_spare;
        free(exchange);
    }
    gate->spare_count = 0;
}

/* --- the library's thread -------------------------------------------------------------------- */

static struct http_peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    check(info && info->socket_context);
    return info->socket_context;
}

static void tell_phase(struct exchange *exchange, enum http_phase phase)
{
    http_patrol_phase(exchange->gate->patrol, exchange->peer->guest, phase);
}

void *http_exchange_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *exchange = exchange_new(arg);

    exchange->connection = connection;
    exchange->uri = strdup(uri ? uri : "");
    check(exchange->uri);
    exchange->uri_raw = uri;
    exchange->peer = peer_of(connection);
    exchange->peer->is_owed = false;
    exchange->peer->has_asked = true;
    exchange->peer->has_begun = false;
    exchange->peer->is_head_coming = true;
    tell_phase(exchange, HTTP_PHASE_HEAD);
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

    at = calloc(1, exchange->head_bytes + 2 * HTTP_FIELDS_MAX);
    check(at);
    exchange->fields_text = at;
    for (unsigned i = 0; i < request->field_count; i++) {
        struct http_field *field = &request->fields[i];
        const char *name = field->name, *value = field->value;

        field->name = at;
        at = copy_lower(at, name);
        field->value = at;
        at = copy_trimmed(at, value);
    }
    copy_text(request, "x-acs-action", request->action, sizeof(request->action));
    copy_text(request, "x-acs-version", request->version, sizeof(request->version));
    type = http_field_get(request, "content-type");
    exchange->is_form = type == NULL || is_form_type(type); /* without a type: taken for a form */
}

static void take_query(struct exchange *exchange)
{
    const char *query = strchr(exchange->uri, '?');

    exchange->request.query = query ? query + 1 : "";
    exchange->request.body = "";
    exchange->head_bytes = strlen(exchange->uri);
}

static void take_peer(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;
    const struct http_peer *peer = exchange->peer;

    request->door = exchange->gate->door;
    request->is_loopback = peer->is_loopback;
    request->user = peer->user;
    memcpy(request->source, peer->source, sizeof(request->source));
}

static bool has_close(const struct http_request *request, const char *version)
{
    const char *value = http_field_get(request, "connection");

    if (value != NULL && strcasestr(value, "close") != NULL)
        return true;
    return strcmp(version, "HTTP/1.1") != 0;
}

/* Are all texts of the head where they came, and nothing between them but what belongs there? The
 * target may have been shortened since, but not moved. */
static bool is_in_place(const struct exchange *exchange, const char *version)
{
    const struct http_request *request = &exchange->request;
    const char *method = request->method, *target = exchange->uri_raw;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info != NULL && target == method + strlen(method) + 1 &&
           version == target + strlen(exchange->uri) + 1 &&
           http_strict_in_place(version, request->fields, request->field_count,
                                method + info->header_size);
}

/* 0, or the status of the answer that ends this connection. Before names and values are copied. */
static unsigned judge_head(struct exchange *exchange, const char *version)
{
    const struct http_front *front = exchange->gate->front;
    const struct http_request *request = &exchange->request;
    struct http_framing framing = {0};
    const char *why = NULL;

    if (exchange->field_count > HTTP_FIELDS_MAX)
        return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    if (front->is_parsed_in_place && !is_in_place(exchange, version))
        why = "a folded line, a line without CR, a NUL, or too many spaces";
    else if (!http_strict_line(request->method, exchange->uri))
        why = "the request line has what does not belong there";
    else
        why = http_strict_head(version, request->fields, request->field_count, &framing);
    if (why != NULL) {
        log_debug("api", "a request is refused: %s", why);
        return MHD_HTTP_BAD_REQUEST;
    }
    return framing.length > front->limits->body_bytes_max ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}

static enum MHD_Result refuse(struct exchange *exchange, unsigned status)
{
    struct MHD_Response *response = http_errors_response(exchange->peer, status);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    exchange->is_last = true;
    tell_phase(exchange, HTTP_PHASE_REPLY);
    result = exchange->gate->front->queue_fn(exchange->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result exchange_begin(struct exchange *exchange, const char *path,
                                      const char *method, const char *version)
{
    struct http_request *request = &exchange->request;
    unsigned status;

    exchange->has_begun = exchange->peer->has_begun = true;
    exchange->peer->is_head_coming = false;
    tell_phase(exchange, HTTP_PHASE_BODY);
    take_peer(exchange);
    request->method = method;
    take_query(exchange);
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, header_seen, exchange);
    status = judge_head(exchange, version);
    if (status != 0)
        return refuse(exchange, status);
    take_fields(exchange);
    exchange->is_last = has_close(request, version);
    if (!exchange->peer->is_permitted)
        request->problem = HTTP_FORBIDDEN;
    else if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
        request->problem = HTTP_BAD_METHOD;
    else if (exchange->head_bytes > exchange->gate->front->limits->head_bytes_max)
        request->problem = HTTP_HEAD_TOO_LARGE;
    else if (strcmp(path, "/") != 0)
        request->problem = HTTP_BAD_PATH;
    return MHD_YES;
}

/* What is read and thrown away, until there was too much of it. */
static enum MHD_Result discard(struct exchange *exchange, size_t length)
{
    exchange->discarded_bytes += length;
    if (exchange->discarded_bytes / DISCARDED_MAX < exchange->gate->front->limits->body_bytes_max)
        return MHD_YES;
    http_errors_send(exchange->connection, exchange->peer, MHD_HTTP_CONTENT_TOO_LARGE);
    exchange->is_last = true;
    return MHD_NO;
}

static enum MHD_Result exchange_upload(struct exchange *exchange, const char *bytes, size_t length)
{
    char *larger;

    http_patrol_body(exchange->gate->patrol, exchange->peer->guest, length);
    if (exchange->request.problem == HTTP_FINE &&
        length > exchange->gate->front->limits->body_bytes_max - exchange->body_length)
        exchange->request.problem = HTTP_BODY_TOO_LARGE;
    if (exchange->request.problem != HTTP_FINE)
        return discard(exchange, length);
    if (length >= exchange->body_room - exchange->body_length) {
        exchange->body_room = (exchange->body_length + length) * 2 + 1;
        larger = realloc(exchange->body, exchange->body_room);
        check(larger);
        exchange->body = larger;
    }
    memcpy(exchange->body + exchange->body_length, bytes, length);
    exchange->body_length += length;
    exchange->body[exchange->body_length] = '\0';
    return MHD_YES;
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
    exchange->gate->front->route_cb(exchange->gate->front->arg, &exchange->request);
}

static enum MHD_Result exchange_give(struct exchange *exchange)
{
    struct http_front *front = exchange->gate->front;

    exchange_parse(exchange);
    atomic_fetch_add(&front->waiting, 1);
    if (atomic_load(&front->is_stopping)) {
        atomic_fetch_sub(&front->waiting, 1);
        return MHD_NO;
    }
    exchange->is_given = true;
    tell_phase(exchange, HTTP_PHASE_WORK);
    MHD_suspend_connection(exchange->connection);
    exchange->message.run_cb = give;
    loop_post(front->loop, &exchange->message);
    return MHD_YES;
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

/* The body stays in the exchange, which outlives the sending. */
static enum MHD_Result exchange_answer(struct exchange *exchange)
{
    const struct http_front *front = exchange->gate->front;
    const struct reply *reply = &exchange->reply;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->length, reply->body, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    check(response);
    MHD_add_response_header(response, "Content-Type", reply->content_type);
    if (exchange->is_last)
        MHD_add_response_header(response, "Connection", "close");
    else
        MHD_add_response_header(response, "Keep-Alive", front->rest_hint);
    if (exchange->request.problem == HTTP_BAD_METHOD)
        MHD_add_response_header(response, "Allow", "GET, POST");
    MHD_add_response_header(response, HTTP_OUR_HEADER, reply->request_id);
    if (reply->retry_ms > 0)
        add_retry(response, reply->retry_ms);
    result = front->queue_fn(exchange->connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_exchange_request(void *arg, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *upload, size_t *upload_length, void **state)
{
    struct exchange *exchange = *state;

    check_magic(exchange, EXCHANGE_MAGIC);
    if (!exchange->has_begun)
        return exchange_begin(exchange, path, method, version);
    if (*upload_length > 0) {
        size_t length = *upload_length;

        *upload_length = 0;
        return exchange_upload(exchange, upload, length);
    }
    if (!exchange->is_given)
        return exchange_give(exchange);
    check(exchange->is_answered);
    if (exchange->request.is_proved)
        http_patrol_proved(exchange->gate->patrol, exchange->peer->guest);
    tell_phase(exchange, HTTP_PHASE_REPLY);
    return exchange_answer(exchange);
}

void http_exchange_ended(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct exchange *exchange = *state;

    if (exchange) {
        exchange->peer->is_owed = exchange->is_answered && !exchange->is_last &&
                                  why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
        exchange->peer->session.has_words = false;
        tell_phase(exchange, HTTP_PHASE_IDLE);
        exchange_free(exchange);
    }
    *state = NULL;
}

/* --- the loop -------------------------------------------------------------------------------- */

const char *http_field_get(const struct http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->field_count; i++)
        if (request->fields[i].name[0] == name[0] && strcmp(request->fields[i].name, name) == 0)
            return request->fields[i].value;
    return NULL;
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
    struct exchange *exchange = exchange_of(request);
    struct http_front *front = exchange->gate->front;
    struct reply *reply = &exchange->reply;

    check(exchange->is_given && !exchange->is_answered);
    reply->status = answer->status;
    reply->content_type = "application/json;charset=utf-8";
    if (answer->content_type)
        reply->content_type = answer->content_type;
    reply->retry_ms = answer->retry_ms;
    check(strlen(answer->request_id) < sizeof(reply->request_id));
    strcpy(reply->request_id, answer->request_id);
    reply->length = answer->length;
    reply->body = answer->length <= sizeof(reply->room) ? reply->room : malloc(answer->length);
    check(reply->body);
    memcpy(reply->body, answer->body, answer->length);
    exchange->is_answered = true;
    MHD_resume_connection(exchange->connection);
    /* From here on the exchange is the other thread's. */
    atomic_fetch_sub(&front->waiting, 1);
    front->quiet_cb(front);
}

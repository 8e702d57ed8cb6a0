/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: bytes that are no HTTP, or a head that is too large, the library answers by itself, with a
 * page of HTML. Clients of this API want every error as JSON with RequestId, Code and Message
 * and cannot read anything else.
 *
 * The library has no hook for it, but it queues its own answers by its public function, through
 * the table of dynamic symbols. So the MHD_queue_response() of this file stands before the
 * library's: what has none of our headers is an answer of its own, and one of ours takes its place.
 * test_http_server.c fails should a version of the library not come by here.
 *
 * A request line that is none makes the library close without a word; http_listener.c says it.
 */
#include "http/http_errors.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/id.h"
#include "http/http_peer.h"
#include "http/http_refusals.h"

struct answer {
    unsigned status;
    const char *code, *message;
};

static uint64_t draw(void *arg)
{
    uint64_t bits = 0;

    check(getrandom(&bits, sizeof(bits), 0) == sizeof(bits));
    return bits;
}

static const struct answer *answer_of(unsigned status)
{
    static const struct answer answers[] = {
        {408, "InvalidRequest", "The request did not come in time."},
        {413, "RequestTooLarge", "The request is too large."},
        {431, "RequestHeaderTooLarge", "The request header is too large."},
        {500, "InternalError", "The request processing has failed due to some unknown error."},
        {503, "ServiceUnavailable", "The request has failed due to a temporary failure."},
        {505, "UnsupportedHTTPVersion", "This version of HTTP is not supported."},
        {0, "InvalidRequest", "The request is not valid HTTP."},
    };
    const struct answer *answer = answers;

    while (answer->status != 0 && answer->status != status)
        answer++;
    return answer;
}

struct body {
    char id[ID_SIZE], text[384];
    size_t length;
};

static void make_body(const struct http_peer *peer, unsigned status, struct body *body)
{
    const struct answer *answer = answer_of(status);
    int length;

    id_make_uuid(draw, NULL, body->id);
    /* The site's name is a word: nothing in it needs an escape. */
    length = snprintf(body->text, sizeof(body->text),
                      "{\"RequestId\":\"%s\",\"HostId\":\"%s\",\"Code\":\"%s\",\"Message\":\"%s\"}",
                      body->id, peer ? peer->host_id : "", answer->code, answer->message);
    if (peer && peer->refusals)
        http_refusals_note(peer->refusals, peer->source, status, answer->code, answer->message,
                           body->id);
    check(length > 0 && length < (int)sizeof(body->text));
    body->length = (size_t)length;
}

struct MHD_Response *http_errors_response(const struct http_peer *peer, unsigned status)
{
    struct MHD_Response *response;
    struct body body;

    make_body(peer, status, &body);
    response = MHD_create_response_from_buffer(body.length, body.text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return NULL;
    MHD_add_response_header(response, "Content-Type", "application/json;charset=utf-8");
    MHD_add_response_header(response, "Connection", "close");
    MHD_add_response_header(response, HTTP_OUR_HEADER, body.id);
    return response;
}

size_t http_errors_write(const struct http_peer *peer, unsigned status, char *text, size_t size)
{
    struct body body;
    int length;

    make_body(peer, status, &body);
    length =
        snprintf(text, size,
                 "HTTP/1.1 %u %s\r\nContent-Type: application/json;charset=utf-8\r\n"
                 "Connection: close\r\n" HTTP_OUR_HEADER ": %s\r\nContent-Length: %zu\r\n\r\n%s",
                 status, MHD_get_reason_phrase_for(status), body.id, body.length, body.text);
    check(length > 0 && (size_t)length < size);
    return (size_t)length;
}

void http_errors_send(struct MHD_Connection *connection, const struct http_peer *peer,
                      unsigned status)
{
    const union MHD_ConnectionInfo *session =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char text[HTTP_ERRORS_TEXT_SIZE];
    size_t length = http_errors_write(peer, status, text, sizeof(text));

    if (session != NULL && session->tls_session != NULL)
        (void)gnutls_record_send(session->tls_session, text, length);
    else if (info != NULL)
        (void)send(info->connect_fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

http_queue_fn http_errors_queue(void)
{
    http_queue_fn queue = (http_queue_fn)dlsym(RTLD_NEXT, "MHD_queue_response");

    check(queue != NULL);
    return queue;
}

/* The library tells a long query from long fields; to a caller both are the head (431). */
static unsigned our_status(unsigned status)
{
    return status == MHD_HTTP_URI_TOO_LONG ? MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE : status;
}

/* 0.9.75 writes the head of its answer to a wrong Content-Length twice. That is judged when all
 * fields are there and our handler has not been called. Only then may we make it close instead:
 * an error in the very first field must be answered, or the connection is never looked at again. */
static bool may_answer_twice(struct MHD_Connection *connection, const struct http_peer *peer)
{
    return peer != NULL && peer->has_asked && !peer->has_begun &&
           MHD_get_connection_values(connection, MHD_HEADER_KIND, NULL, NULL) > 0;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_peer *peer = info ? info->socket_context : NULL;
    enum MHD_Result result = MHD_NO;

    if (MHD_get_response_header(response, HTTP_OUR_HEADER) != NULL)
        return http_errors_queue()(connection, status, response);
    if (peer != NULL)
        peer->is_owed = peer->is_head_coming = false;
    if (may_answer_twice(connection, peer)) {
        http_errors_send(connection, peer, our_status(status));
        return MHD_NO;
    }
    response = http_errors_response(peer, our_status(status));
    if (response != NULL) {
        result = http_errors_queue()(connection, our_status(status), response);
        MHD_destroy_response(response);
    }
    return result;
}

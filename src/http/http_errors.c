/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: bytes that are no HTTP, or a head that is too large, the library answers by itself, with a
 * page of HTML. Clients of this API want every error as JSON with RequestId, Code and Message
 * and cannot read anything else.
 *
 * The library has no hook for it, but it queues its own answers by its public function, through
 * the table of dynamic symbols. So the MHD_queue_response() of this file stands before the
 * library's: what has none of our headers gets a body of ours. test_http_server.c fails should a
 * version of the library not come by here.
 */
#include <dlfcn.h>
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/id.h"
#include "http/http_errors.h"

typedef enum MHD_Result (*queue_fn)(struct MHD_Connection *connection, unsigned status,
                                    struct MHD_Response *response);

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

static struct MHD_Response *make_answer(unsigned status)
{
    const struct answer *answer = answer_of(status);
    struct MHD_Response *response;
    char id[ID_SIZE], body[256];
    int length;

    id_make_uuid(draw, NULL, id);
    length =
        snprintf(body, sizeof(body), "{\"RequestId\":\"%s\",\"Code\":\"%s\",\"Message\":\"%s\"}",
                 id, answer->code, answer->message);
    check(length > 0 && length < (int)sizeof(body));
    response = MHD_create_response_from_buffer((size_t)length, body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return NULL;
    MHD_add_response_header(response, "Content-Type", "application/json;charset=utf-8");
    MHD_add_response_header(response, HTTP_OUR_HEADER, id);
    return response;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response)
{
    queue_fn queue = (queue_fn)dlsym(RTLD_NEXT, "MHD_queue_response");
    struct MHD_Response *ours = NULL;
    enum MHD_Result result;

    check(queue != NULL);
    /* The library tells a long query from long fields; to a caller both are the head (431). */
    if (status == MHD_HTTP_URI_TOO_LONG)
        status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    if (status >= 400 && MHD_get_response_header(response, HTTP_OUR_HEADER) == NULL)
        ours = make_answer(status);
    result = queue(connection, status, ours ? ours : response);
    if (ours)
        MHD_destroy_response(ours);
    return result;
}

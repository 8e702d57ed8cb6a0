/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that never reach the router: the library's own, which become JSON (see the .c), and ours
 * about framing, where no further byte of the connection may be trusted. All close it. */
#ifndef HTTP_HTTP_ERRORS_H
#define HTTP_HTTP_ERRORS_H

#include <microhttpd.h>
#include <stddef.h>

struct http_peer;

#define HTTP_OUR_HEADER "x-acs-request-id" /* each answer of the router has it */

enum { HTTP_ERRORS_TEXT_SIZE = 768 };

typedef enum MHD_Result (*http_queue_fn)(struct MHD_Connection *connection, unsigned status,
                                         struct MHD_Response *response);

/* Each is noted for the record of calls (http_refusals.h). `peer` NULL: not known. */
struct MHD_Response *http_errors_response(const struct http_peer *peer,
                                          unsigned status); /* NULL: no memory */
/* A whole answer, for a socket that the library has given up; `size` is HTTP_ERRORS_TEXT_SIZE. */
size_t http_errors_write(const struct http_peer *peer, unsigned status, char *text, size_t size);
/* The same, past the library, which is about to close: by TLS where there is a session. */
void http_errors_send(struct MHD_Connection *connection, const struct http_peer *peer,
                      unsigned status);
/* The library's own MHD_queue_response(). */
http_queue_fn http_errors_queue(void);

#endif

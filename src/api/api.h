/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API: requests of the HTTP door become calls of the control wing, their trees become JSON.
 * Every reply is one object with RequestId; errors have Code and Message besides (clients.md, top).
 */
#ifndef API_API_H
#define API_API_H

#include "control/control.h"
#include "http/http_server.h"

struct api;
struct door;

/* Gives `control` its table of operations (control_set_execute()); before control_start(). */
int api_new(struct control *control, struct api **ret_api, struct err *err);
void api_free(struct api *api); /* no call under way; NULL is fine */

/* Runs an operation by its name: a control_execute_fn with the api as its argument. */
void api_execute(void *api, const char *action, const char *version, const json_t *texts,
                 const struct caller *caller, const char *request_id, const struct call_pass *pass,
                 control_executed_fn done_cb, void *done_arg);

/* Who judges requests; before api_route() is called. It stays the caller's and outlives the api. */
void api_set_door(struct api *api, struct door *door);
/* Its refused_cb: what was no request has a line in the record of calls. */
void api_refused(void *api, const struct http_refusal *refusal);
/* The router: struct http_server_options.route_cb with the api as its argument. */
void api_route(void *api, struct http_request *request);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the control API over the daemon's unix socket. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct client;

/* Parameters of a call, in order; names and values are copied. */
struct params {
    struct param {
        char *name, *value;
    } * items;
    unsigned count;
};

void params_add(struct params *params, const char *name, const char *value);
void params_addf(struct params *params, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void params_fini(struct params *params);

/* A reply; `body` is always an object (made up when the daemon is not reachable). */
struct reply {
    long status;  /* HTTP; 0: no daemon answered */
    json_t *body; /* owned */
};

void reply_fini(struct reply *reply);
bool reply_is_good(const struct reply *reply);
/* A string member, or "" */
const char *reply_text(const json_t *object, const char *name);

#define EBS_VERSION "2021-07-30"
#define ECS_VERSION "2014-05-26"

struct client *client_new(const char *socket);
void client_free(struct client *client);
const char *client_socket(const struct client *client);
/* `version` NULL: found by the action's name. */
void client_call(struct client *client, const char *action, const char *version,
                 const struct params *params, struct reply *ret_reply);

#endif

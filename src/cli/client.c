/* SPDX-License-Identifier: Apache-2.0 */
/* One POST with a form body a call, by libcurl over the unix socket. */
#include "cli/client.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { REPLY_BYTES_MAX = 64 << 20 };

struct client {
    CURL *curl;
    char *socket;
};

struct received {
    char *bytes;
    size_t length;
};

static const char *const ecs_actions[] = {
    "CreateDisk",          "DeleteDisk", "DescribeDisks", "AttachDisk",    "DetachDisk",
    "ModifyDiskAttribute", "ResizeDisk", "ReInitDisk",    "DescribeZones", NULL};
static const char *const own_actions[] = {"ImportDisk",
                                          "DescribeVersoStatus",
                                          "DescribeDiskAccess",
                                          "DescribeReplicaEvents",
                                          "DescribeReplicaLag",
                                          "ForceOpenDiskReplica",
                                          "ForgetDiskReplica",
                                          "DeleteDiskSnapshot",
                                          "CreateUser",
                                          "DeleteUser",
                                          "ListUsers",
                                          "CreateAccessKey",
                                          "UpdateAccessKey",
                                          "DeleteAccessKey",
                                          "ListAccessKeys",
                                          "CreatePolicy",
                                          "PutPolicy",
                                          "DeletePolicy",
                                          "GetPolicy",
                                          "ListPolicies",
                                          "AttachPolicy",
                                          "DetachPolicy",
                                          NULL};

void params_add(struct params *params, const char *name, const char *value)
{
    params->items = realloc(params->items, (params->count + 1) * sizeof(*params->items));
    check(params->items != NULL);
    params->items[params->count].name = strdup(name);
    params->items[params->count].value = strdup(value);
    check(params->items[params->count].name && params->items[params->count].value);
    params->count++;
}

void params_addf(struct params *params, const char *name, const char *format, ...)
{
    va_list arguments;
    char *value;

    va_start(arguments, format);
    check(vasprintf(&value, format, arguments) >= 0);
    va_end(arguments);
    params_add(params, name, value);
    free(value);
}

void params_fini(struct params *params)
{
    for (unsigned i = 0; i < params->count; i++) {
        free(params->items[i].name);
        free(params->items[i].value);
    }
    free(params->items);
    *params = (struct params){0};
}

void reply_fini(struct reply *reply)
{
    json_decref(reply->body);
    *reply = (struct reply){0};
}

bool reply_is_good(const struct reply *reply)
{
    return reply->status >= 200 && reply->status < 300;
}

const char *reply_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

struct client *client_new(const char *socket)
{
    struct client *client = calloc(1, sizeof(*client));

    check(client != NULL);
    client->socket = strdup(socket);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->curl = curl_easy_init();
    check(client->socket != NULL && client->curl != NULL);
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    free(client->socket);
    free(client);
    curl_global_cleanup();
}

const char *client_socket(const struct client *client)
{
    return client->socket;
}

static size_t take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct received *received = arg;
    size_t length = size * count;

    if (received->length + length > REPLY_BYTES_MAX)
        return 0;
    received->bytes = realloc(received->bytes, received->length + length + 1);
    check(received->bytes != NULL);
    memcpy(received->bytes + received->length, bytes, length);
    received->length += length;
    received->bytes[received->length] = '\0';
    return length;
}

static bool is_one_of(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

static const char *version_of(const char *action)
{
    if (is_one_of(ecs_actions, action))
        return ECS_VERSION;
    if (strcmp(action, "GetCallerIdentity") == 0)
        return "2015-04-01";
    return is_one_of(own_actions, action) ? "2026-11-22" : EBS_VERSION;
}

static void append_form(CURL *curl, char **form, const char *name, const char *value)
{
    char *name_encoded = curl_easy_escape(curl, name, 0);
    char *value_encoded = curl_easy_escape(curl, value, 0);
    char *longer;

    check(name_encoded && value_encoded);
    check(asprintf(&longer, "%s%s%s=%s", *form ? *form : "", *form ? "&" : "", name_encoded,
                   value_encoded) >= 0);
    curl_free(name_encoded);
    curl_free(value_encoded);
    free(*form);
    *form = longer;
}

void client_call(struct client *client, const char *action, const char *version,
                 const struct params *params, struct reply *ret_reply)
{
    CURL *curl = client->curl;
    struct received received = {0};
    char *form = NULL;
    CURLcode code;

    append_form(curl, &form, "Action", action);
    append_form(curl, &form, "Version", version ? version : version_of(action));
    append_form(curl, &form, "Format", "JSON");
    for (unsigned i = 0; params != NULL && i < params->count; i++)
        append_form(curl, &form, params->items[i].name, params->items[i].value);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(curl, CURLOPT_URL, "http://verso/");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 60000L);
    code = curl_easy_perform(curl);
    *ret_reply = (struct reply){0};
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret_reply->status);
        ret_reply->body =
            json_loadb(received.bytes ? received.bytes : "", received.length, 0, NULL);
    }
    if (!json_is_object(ret_reply->body)) {
        json_decref(ret_reply->body);
        ret_reply->body =
            json_pack("{s:s, s:s++}", "Code", "Unreachable", "Message", "no daemon answers at ",
                      client->socket, code == CURLE_OK ? " (not a JSON reply)" : "");
        ret_reply->status = 0;
        check(ret_reply->body != NULL);
    }
    free(received.bytes);
    free(form);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: everything that anybody may send meets these checks before an operation is looked at, and
 * clients compare the codes and texts of the refusals.
 *
 * Promises
 *  1. A caller is given out only for the unix socket without any signature, or for a signature
 *     that is right, fresh and new.
 *  2. What an operation sees of a signed request was signed: V1 signs all of query and form, V3 the
 *     query, the body and each header that is read here (host and x-acs-* must be listed).
 *  3. A nonce is used up only by a request that passed everything before it, flow control too: a
 *     refused one was not done, so its repetition would be the first.
 */
#include "api/door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "access/canonical.h"
#include "access/nonces.h"
#include "access/throttle.h"
#include "api/table.h"
#include "base/check.h"
#include "base/log.h"

enum { DOOR_MAGIC = 0x646f6f72 };

#define NONCES_AGAIN_NS UINT64_C(10000000000)

struct door {
    uint32_t magic;
    struct door_options options;
    struct signature *signature;
    struct nonces *nonces;    /* NULL: not opened yet */
    uint64_t nonces_again_ns; /* not tried before */
    struct throttle *throttle;
    struct canonical canonical;
    char *detail; /* of the last verdict */
};

/* One request on its way. */
struct visitor {
    struct door *door;
    const struct http_request *request;
    struct door_verdict *verdict;
    const char *key_id, *signature, *nonce, *time;
    struct canonical_authorization authorization; /* V3 */
    struct directory_key key;
    int64_t time_s, now_s;
};

static bool refuse(struct visitor *visitor, enum api_error error, const char *name)
{
    visitor->verdict->error = error;
    visitor->verdict->name = name;
    return false;
}

static const char *parameter(const struct visitor *visitor, const char *name)
{
    const char *text = form_get(&visitor->request->form, name);

    return text ? text : "";
}

static const char *field(const struct visitor *visitor, const char *name)
{
    const char *text = http_field_get(visitor->request, name);

    return text ? text : "";
}

/* --- which scheme, which operation ----------------------------------------------------------- */

static bool is_bearer(const struct visitor *visitor)
{
    return strcasecmp(parameter(visitor, "SignatureType"), "BEARERTOKEN") == 0 ||
           strcasecmp(field(visitor, "x-acs-signature-type"), "BEARERTOKEN") == 0 ||
           strncasecmp(field(visitor, "authorization"), "bearer ", 7) == 0;
}

static void find_scheme(struct visitor *visitor)
{
    static const char *const signs[] = {"Signature", "SignatureMethod", "SignatureNonce",
                                        "SignatureVersion"};

    visitor->verdict->scheme = REPLY_UNSIGNED;
    if (strncmp(field(visitor, "authorization"), "ACS3-", 5) == 0) {
        visitor->verdict->scheme = REPLY_V3;
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(signs); i++)
        if (parameter(visitor, signs[i])[0])
            visitor->verdict->scheme = REPLY_V1;
}

/* V1 signs parameters only; V3 names the operation in headers, whoever does not sign in either. */
static const char *named(const struct visitor *visitor, const char *name, const char *header)
{
    enum reply_scheme scheme = visitor->verdict->scheme;
    const char *in_form = parameter(visitor, name);

    if (scheme == REPLY_V1)
        return in_form;
    if (scheme == REPLY_V3)
        return header[0] ? header : in_form;
    return in_form[0] ? in_form : header;
}

static bool is_version(const char *text)
{
    static const char shape[] = "dddd-dd-dd";

    if (strlen(text) != sizeof(shape) - 1)
        return false;
    for (unsigned i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    return true;
}

static bool check_operation(struct visitor *visitor)
{
    struct door_verdict *verdict = visitor->verdict;

    verdict->action = named(visitor, "Action", visitor->request->action);
    verdict->version = named(visitor, "Version", visitor->request->version);
    if (!reply_form_choose(verdict->scheme, parameter(visitor, "Format"), field(visitor, "accept"),
                           &verdict->form))
        return refuse(visitor, API_INVALID_PARAMETER_FORMAT, "");
    if (!verdict->action[0])
        return refuse(visitor, API_MISSING_NAME, "Action");
    if (!verdict->version[0])
        return refuse(visitor, API_MISSING_NAME, "Version");
    if (!is_version(verdict->version))
        return refuse(visitor, API_INVALID_NAME, "Version");
    if (!table_find(verdict->action, verdict->version))
        return refuse(visitor, API_NOT_FOUND, "");
    return true;
}

/* --- what the scheme needs ------------------------------------------------------------------- */

static bool check_v1_parts(struct visitor *visitor)
{
    static const char *const needed[] = {"AccessKeyId",    "Signature",        "SignatureMethod",
                                         "SignatureNonce", "SignatureVersion", "Timestamp"};
    const struct http_request *request = visitor->request;

    for (unsigned i = 0; i < ARRAY_COUNT(needed); i++)
        if (!parameter(visitor, needed[i])[0])
            return refuse(visitor, API_MISSING_NAME, needed[i]);
    visitor->key_id = parameter(visitor, "AccessKeyId");
    visitor->signature = parameter(visitor, "Signature");
    visitor->nonce = parameter(visitor, "SignatureNonce");
    visitor->time = parameter(visitor, "Timestamp");
    if (request->door == HTTP_DOOR_PLAIN && !request->is_loopback &&
        !visitor->door->options.allow_v1)
        return refuse(visitor, API_NEED_SSL, "");
    return true;
}

static bool must_be_listed(const struct http_request *request, const char *name)
{
    return strcmp(name, "host") == 0 || strncmp(name, "x-acs-", 6) == 0 ||
           (strcmp(name, "content-type") == 0 && request->body_length > 0);
}

/* Each header that counts stands there once and is signed. */
static bool check_v3_fields(struct visitor *visitor)
{
    const struct http_request *request = visitor->request;

    for (unsigned i = 0; i < request->field_count; i++) {
        const char *name = request->fields[i].name;

        if (strcmp(name, "authorization") != 0 && !must_be_listed(request, name))
            continue;
        if (http_field_get(request, name) != request->fields[i].value)
            return refuse(visitor, API_INCOMPLETE_SIGNATURE, "");
        if (must_be_listed(request, name) && !canonical_is_listed(&visitor->authorization, name))
            return refuse(visitor, API_INCOMPLETE_SIGNATURE, "");
    }
    return true;
}

static bool check_v3_parts(struct visitor *visitor)
{
    static const struct {
        const char *field, *name;
    } needed[] = {{"host", "host"},
                  {"x-acs-date", "Timestamp"},
                  {"x-acs-signature-nonce", "SignatureNonce"},
                  {"x-acs-content-sha256", "x-acs-content-sha256"}};

    for (unsigned i = 0; i < ARRAY_COUNT(needed); i++)
        if (!field(visitor, needed[i].field)[0])
            return refuse(visitor, API_MISSING_NAME, needed[i].name);
    if (canonical_parse_authorization(field(visitor, "authorization"), &visitor->authorization) < 0)
        return refuse(visitor, API_INCOMPLETE_SIGNATURE, "");
    visitor->key_id = visitor->authorization.key_id;
    visitor->signature = visitor->authorization.signature;
    visitor->nonce = field(visitor, "x-acs-signature-nonce");
    visitor->time = field(visitor, "x-acs-date");
    return check_v3_fields(visitor);
}

/* ASCII, as all clients have it: it travels to the other site in JSON. */
static bool is_nonce(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return strlen(text) <= DOOR_NONCE_MAX;
}

static bool check_parts(struct visitor *visitor)
{
    bool is_whole =
        visitor->verdict->scheme == REPLY_V3 ? check_v3_parts(visitor) : check_v1_parts(visitor);

    if (is_whole) /* not proven yet: for the audit */
        snprintf(visitor->verdict->caller.key_id, RECORD_WORD_SIZE, "%s", visitor->key_id);
    if (is_whole && !is_nonce(visitor->nonce))
        return refuse(visitor, API_INVALID_NAME, "SignatureNonce");
    return is_whole;
}

/* --- key and time ---------------------------------------------------------------------------- */

static bool check_key(struct visitor *visitor)
{
    struct directory *directory = visitor->door->options.directory;

    if (parameter(visitor, "SecurityToken")[0] || field(visitor, "x-acs-security-token")[0])
        return refuse(visitor, API_SECURITY_TOKEN, "");
    if (strlen(visitor->key_id) >= RECORD_WORD_SIZE || !directory ||
        !directory_find_key(directory, visitor->key_id, &visitor->key))
        return refuse(visitor, API_ACCESS_KEY_NOT_FOUND, "");
    /* A secret that could not be unsealed is empty. */
    if (!visitor->key.is_enabled || !visitor->key.secret[0])
        return refuse(visitor, API_ACCESS_KEY_INACTIVE, "");
    return true;
}

static int two_digits(const char *at)
{
    return (at[0] - '0') * 10 + at[1] - '0';
}

/* "2026-11-22T15:14:47Z" and nothing else. */
static bool parse_time(const char *text, int64_t *ret_s)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second;
    int64_t days;

    if (strlen(text) != sizeof(shape) - 1)
        return false;
    for (unsigned i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    year = two_digits(text) * 100 + two_digits(text + 2);
    month = two_digits(text + 5);
    day = two_digits(text + 8);
    hour = two_digits(text + 11);
    minute = two_digits(text + 14);
    second = two_digits(text + 17);
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 ||
        second > 59 || day > month_days[month - 1] + (month == 2 && is_leap))
        return false;
    days = (int64_t)(year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 +
           (year - 1601) / 400 + day - 1 + (month > 2 && is_leap);
    for (int i = 1; i < month; i++)
        days += month_days[i - 1];
    *ret_s = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

static bool check_time(struct visitor *visitor)
{
    int64_t window_s = visitor->door->options.clock_window;

    if (!parse_time(visitor->time, &visitor->time_s))
        return refuse(visitor, API_TIMESTAMP_FORMAT, "");
    if (visitor->time_s < visitor->now_s - window_s || visitor->time_s > visitor->now_s + window_s)
        return refuse(visitor, API_TIMESTAMP_EXPIRED, "");
    return true;
}

/* --- the signature --------------------------------------------------------------------------- */

static bool is_span(struct canonical_span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.at, text, span.length) == 0;
}

static bool check_method(struct visitor *visitor)
{
    if (visitor->verdict->scheme == REPLY_V3)
        return is_span(visitor->authorization.algorithm, "ACS3-HMAC-SHA256") ||
               refuse(visitor, API_SIGNATURE_METHOD, "");
    if (strcmp(parameter(visitor, "SignatureMethod"), "HMAC-SHA1") != 0)
        return refuse(visitor, API_SIGNATURE_METHOD, "");
    if (strcmp(parameter(visitor, "SignatureVersion"), "1.0") != 0)
        return refuse(visitor, API_INVALID_NAME, "SignatureVersion");
    return true;
}

/* SignatureDoesNotMatch tells what we signed: old SDKs compare it with theirs. */
static bool refuse_signature(struct visitor *visitor, const char *text, size_t length)
{
    static const char label[] = "server string to sign is:";
    char *detail = visitor->door->detail;
    size_t room = DOOR_DETAIL_MAX - sizeof(label);

    memcpy(detail, label, sizeof(label));
    if (length > room)
        length = room;
    memcpy(detail + sizeof(label) - 1, text, length);
    detail[sizeof(label) - 1 + length] = 0;
    visitor->verdict->detail = detail;
    return refuse(visitor, API_SIGNATURE_MISMATCH, "");
}

static bool refuse_text(struct visitor *visitor, int result)
{
    if (result == -ENOMEM || result == -EIO)
        return refuse(visitor, API_INTERNAL_ERROR, "");
    if (result == -ENOENT)
        return refuse(visitor, API_INCOMPLETE_SIGNATURE, "");
    return refuse(visitor, API_INVALID_PARAMETER_FORMAT, "");
}

static bool check_v1(struct visitor *visitor, const struct canonical_request *request)
{
    struct canonical *canonical = &visitor->door->canonical;
    char ours[SIGNATURE_V1_SIZE];
    int result = canonical_v1(canonical, request);

    if (result == 0)
        result = signature_v1(visitor->door->signature, visitor->key.secret, canonical->text,
                              canonical->length, ours);
    if (result < 0)
        return refuse_text(visitor, result);
    return signature_is_equal(ours, visitor->signature) ||
           refuse_signature(visitor, canonical->text, canonical->length);
}

static bool check_v3(struct visitor *visitor, const struct canonical_request *request)
{
    struct door *door = visitor->door;
    char hash[SIGNATURE_HEX_SIZE], text[SIGNATURE_V3_TEXT], ours[SIGNATURE_HEX_SIZE];
    int result = signature_hash(door->signature, request->body.at, request->body.length, hash);

    if (result == 0)
        result = canonical_v3(&door->canonical, request, &visitor->authorization, hash);
    if (result == 0)
        result = signature_v3(door->signature, visitor->key.secret, door->canonical.text,
                              door->canonical.length, text, ours);
    if (result < 0)
        return refuse_text(visitor, result);
    return signature_is_equal(ours, visitor->signature) ||
           refuse_signature(visitor, text, strlen(text));
}

static bool check_signature(struct visitor *visitor)
{
    const struct http_request *request = visitor->request;
    struct canonical_field fields[HTTP_FIELDS_MAX];
    const struct canonical_request signed_request = {
        .method = request->method,
        .query = {.at = request->query, .length = strlen(request->query)},
        .body = {.at = request->body, .length = request->body_length},
        .fields = fields,
        .field_count = request->field_count,
    };

    for (unsigned i = 0; i < request->field_count; i++)
        fields[i] = (struct canonical_field){request->fields[i].name, request->fields[i].value};
    return visitor->verdict->scheme == REPLY_V3 ? check_v3(visitor, &signed_request)
                                                : check_v1(visitor, &signed_request);
}

/* --- once, and not too often ----------------------------------------------------------------- */

static bool open_nonces(struct door *door)
{
    const struct nonces_options options = {.loop = door->options.loop,
                                           .signature = door->signature,
                                           .folder = door->options.folder,
                                           .capacity = door->options.nonces_max,
                                           .window_s = door->options.clock_window};
    uint64_t now_ns = loop_now_ns(door->options.loop);
    struct err err = {0};

    if (door->nonces || now_ns < door->nonces_again_ns)
        return door->nonces != NULL;
    door->nonces_again_ns = now_ns + NONCES_AGAIN_NS;
    if (nonces_open(&options, &door->nonces, &err) < 0)
        log_error("api", "signed requests are refused: %s", err.text);
    return door->nonces != NULL;
}

static bool check_nonce(struct visitor *visitor)
{
    struct door *door = visitor->door;
    struct nonce nonce;
    uint64_t wait_ns;

    if (!open_nonces(door))
        return refuse(visitor, API_SERVICE_UNAVAILABLE, "");
    switch (nonces_judge(door->nonces, visitor->key_id, visitor->nonce, visitor->time_s, &nonce)) {
    case NONCE_USED:
        return refuse(visitor, API_NONCE_USED, "");
    case NONCE_EXPIRED:
        return refuse(visitor, API_TIMESTAMP_EXPIRED, "");
    case NONCE_LATER:
        return refuse(visitor, API_SERVICE_UNAVAILABLE, "");
    case NONCE_FRESH:
        break;
    }
    wait_ns = throttle_ask_ns(door->throttle, visitor->key_id, loop_now_ns(door->options.loop));
    if (wait_ns > 0) {
        visitor->verdict->retry_ms = (wait_ns + 999999) / 1000000;
        return refuse(visitor, API_THROTTLING_USER, "");
    }
    if (nonces_take(door->nonces, &nonce) < 0)
        return refuse(visitor, API_SERVICE_UNAVAILABLE, "");
    return true;
}

enum api_error door_take_elsewhere(void *arg, const char *key_id, const char *text, int64_t time_s)
{
    struct door *door = arg;
    enum nonce_verdict verdict;
    struct nonce nonce;

    check_magic(door, DOOR_MAGIC);
    if (!door->nonces && !door->options.is_remote) /* whoever can ask here has the unix socket */
        return API_OK;
    if (!open_nonces(door))
        return API_SERVICE_UNAVAILABLE;
    verdict = nonces_judge(door->nonces, key_id, text, time_s, &nonce);
    if (verdict == NONCE_USED)
        return API_NONCE_USED;
    if (verdict == NONCE_FRESH && nonces_take(door->nonces, &nonce) < 0)
        return API_SERVICE_UNAVAILABLE;
    return API_OK;
}

static void give_caller(struct visitor *visitor)
{
    struct caller *caller = &visitor->verdict->caller;

    caller->kind = visitor->key.kind;
    snprintf(caller->user, sizeof(caller->user), "%s", visitor->key.user);
    snprintf(caller->nonce, sizeof(caller->nonce), "%s", visitor->nonce);
    caller->signed_s = visitor->time_s;
    directory_use_key(visitor->door->options.directory, visitor->key_id, visitor->now_s);
}

/* --- the door -------------------------------------------------------------------------------- */

static bool check_all(struct visitor *visitor)
{
    if (!check_operation(visitor))
        return false;
    if (is_bearer(visitor))
        return refuse(visitor, API_INVALID_NAME, "SignatureType");
    if (visitor->verdict->scheme == REPLY_UNSIGNED && visitor->request->door == HTTP_DOOR_UNIX) {
        visitor->verdict->caller = caller_local(visitor->now_s);
        return true;
    }
    if (!check_parts(visitor) || !check_key(visitor) || !check_time(visitor) ||
        !check_method(visitor) || !check_signature(visitor) || !check_nonce(visitor))
        return false;
    give_caller(visitor);
    return true;
}

void door_judge(struct door *door, const struct http_request *request,
                struct door_verdict *ret_verdict)
{
    struct visitor visitor = {.door = door, .request = request, .verdict = ret_verdict};

    check_magic(door, DOOR_MAGIC);
    check(request->problem == HTTP_FINE);
    visitor.now_s = (int64_t)(loop_wall_ns(door->options.loop) / 1000000000);
    *ret_verdict = (struct door_verdict){.error = API_OK, .name = "", .action = "", .version = ""};
    ret_verdict->caller = (struct caller){
        .kind = CALLER_USER, .is_secure = request->door != HTTP_DOOR_PLAIN, .now_s = visitor.now_s};
    snprintf(ret_verdict->caller.source, CALLER_SOURCE_SIZE, "%s", request->source);
    find_scheme(&visitor);
    check_all(&visitor);
}

bool door_is_protocol(const struct door_verdict *verdict, const char *name)
{
    static const char *const names[] = {"Action",         "Version",          "Format",
                                        "AccessKeyId",    "Signature",        "SignatureMethod",
                                        "SignatureNonce", "SignatureVersion", "SignatureType",
                                        "Timestamp",      "SecurityToken"};
    unsigned count = verdict->scheme == REPLY_V1 ? ARRAY_COUNT(names) : 3;

    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

int door_new(const struct door_options *options, struct door **ret_door, struct err *err)
{
    struct door *door = calloc(1, sizeof(*door));
    int result;

    check(options->loop && options->folder);
    if (!door)
        return err_set(err, -ENOMEM, "door: out of memory");
    door->magic = DOOR_MAGIC;
    door->options = *options;
    if (door->options.clock_window == 0)
        door->options.clock_window = NONCES_WINDOW_S;
    door->detail = malloc(DOOR_DETAIL_MAX);
    door->throttle = throttle_new(options->rate);
    result = door->detail && door->throttle ? 0 : err_set(err, -ENOMEM, "door: out of memory");
    if (result == 0)
        result = signature_new(&door->signature, err);
    if (result < 0) {
        door_free(door);
        return result;
    }
    if (options->is_remote)
        open_nonces(door);
    *ret_door = door;
    return 0;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    check_magic(door, DOOR_MAGIC);
    nonces_close(door->nonces);
    signature_free(door->signature);
    throttle_free(door->throttle);
    canonical_fini(&door->canonical);
    free(door->detail);
    door->magic = 0;
    free(door);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole door with an access key, on the simulated loop. Input: a byte of flags, the number of
 * twists and the twists (4 bytes each: where it changes, what to), then a request (fuzz_draft.h).
 * The harness may sign the request with the key, by V1 or V3; the twists come after that.
 *
 * Checked: whoever is taken came by the unix socket without a signature, or the harness signed
 * what he means: the same pairs, method, body, action and version as before the twists; the same
 * request is never taken twice; a refusal has an entry in the catalogue.
 *
 * Covers: api/door.c access/nonces.c access/throttle.c access/signature.c access/canonical.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "access/signature.h"
#include "api/door.h"
#include "fuzz_draft.h"
#include "fuzz_scene.h"
#include "http/http_request.h"
#include "io/file.h"

#define KEY "VERSOkey"
#define SECRET "fuzzsecret"

enum {
    TWISTS_MAX = 16,
    FLAG_DOOR = 3,
    FLAG_V1 = 4,
    FLAG_V3 = 8,
    FLAG_REMOTE = 16,
    FLAG_ALLOW = 32
};

struct bench {
    struct fuzz_scene scene;
    struct directory *directory;
    struct signature *signature; /* the caller's; libcrypto's memory is nobody's */
    struct door *door;
    struct canonical canonical;
    unsigned flags;
    struct http_request request;
    struct door_verdict verdict;
};

static struct fuzz_draft draft, original;

static void open_door(void *arg)
{
    struct bench *bench = arg;
    struct door_options options = {.loop = sim_site_loop(bench->scene.server),
                                   .folder = "/site",
                                   .directory = bench->directory,
                                   .allow_v1 = (bench->flags & FLAG_ALLOW) != 0,
                                   .rate = 1000,
                                   .nonces_max = 64};

    check(io_dir_make_durable(options.loop, "/site") == 0);
    check(door_new(&options, &bench->door, NULL) == 0);
}

static void close_door(void *arg)
{
    door_free(((struct bench *)arg)->door);
}

static void judge(void *arg)
{
    struct bench *bench = arg;

    door_judge(bench->door, &bench->request, &bench->verdict);
}

static void now_text(struct bench *bench, char *ret_text, size_t size)
{
    time_t now =
        (time_t)((sim_now_ns(bench->scene.world) + sim_site_wall_offset_ns(bench->scene.server)) /
                 SIM_SECOND);
    struct tm parts;

    strftime(ret_text, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
}

/* --- the caller ------------------------------------------------------------------------------ */

static bool sign_v1(struct bench *bench, struct fuzz_draft *mine)
{
    struct canonical_field fields[DRAFT_FIELDS_MAX];
    struct canonical_request request;
    char ours[SIGNATURE_V1_SIZE], now[32], *at = mine->query + strlen(mine->query);

    now_text(bench, now, sizeof(now));
    at += sprintf(at,
                  "&AccessKeyId=" KEY "&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&"
                  "SignatureNonce=n1&Timestamp=%s",
                  now);
    fuzz_draft_request(mine, fields, &request);
    if (canonical_v1(&bench->canonical, &request) < 0)
        return false;
    check(signature_v1(bench->signature, SECRET, bench->canonical.text, bench->canonical.length,
                       ours) == 0);
    at += sprintf(at, "&Signature=");
    for (unsigned i = 0; ours[i]; i++)
        at += sprintf(at, ours[i] == '+' || ours[i] == '=' ? "%%%02X" : "%c", ours[i]);
    return true;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All names that must be listed, ascending, each once. */
static void list_names(const struct fuzz_draft *mine, char *listed, size_t size)
{
    const char *names[DRAFT_FIELDS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < mine->field_count; i++) {
        const char *name = mine->heads + mine->fields[i].name;

        if (strcmp(name, "host") == 0 || strncmp(name, "x-acs-", 6) == 0 ||
            strcmp(name, "content-type") == 0)
            names[count++] = name;
    }
    qsort(names, count, sizeof(names[0]), name_compare);
    listed[0] = 0;
    for (unsigned i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
            snprintf(listed + strlen(listed), size - strlen(listed), "%s%s", listed[0] ? ";" : "",
                     names[i]);
}

static bool sign_v3(struct bench *bench, struct fuzz_draft *mine)
{
    static char listed[DRAFT_TEXT_MAX * 2], header[DRAFT_TEXT_MAX * 3];
    struct canonical_field fields[DRAFT_FIELDS_MAX];
    struct canonical_request request;
    struct canonical_authorization authorization;
    char hash[SIGNATURE_HEX_SIZE], text[SIGNATURE_V3_TEXT], ours[SIGNATURE_HEX_SIZE], now[32];

    now_text(bench, now, sizeof(now));
    check(signature_hash(bench->signature, mine->body, mine->body_length, hash) == 0);
    fuzz_draft_field(mine, "host", "h");
    fuzz_draft_field(mine, "x-acs-date", now);
    fuzz_draft_field(mine, "x-acs-signature-nonce", "n1");
    fuzz_draft_field(mine, "x-acs-content-sha256", hash);
    list_names(mine, listed, sizeof(listed));
    snprintf(header, sizeof(header),
             "ACS3-HMAC-SHA256 Credential=" KEY ",SignedHeaders=%s,Signature=0", listed);
    fuzz_draft_request(mine, fields, &request);
    if (canonical_parse_authorization(header, &authorization) < 0 ||
        canonical_v3(&bench->canonical, &request, &authorization, hash) < 0)
        return false;
    check(signature_v3(bench->signature, SECRET, bench->canonical.text, bench->canonical.length,
                       text, ours) == 0);
    snprintf(header, sizeof(header),
             "ACS3-HMAC-SHA256 Credential=" KEY ",SignedHeaders=%s,Signature=%s", listed, ours);
    fuzz_draft_field(mine, "authorization", header);
    return true;
}

static void twist(struct fuzz_draft *mine, struct bytes_reader twists)
{
    while (twists.left >= 4) {
        unsigned what = bytes_u8(&twists);
        size_t where = bytes_le16(&twists);
        char value = (char)bytes_u8(&twists);
        char *text = what % 3 == 0 ? mine->query : what % 3 == 1 ? mine->body : mine->heads;
        size_t length = what % 3 == 0   ? strlen(mine->query)
                        : what % 3 == 1 ? mine->body_length
                                        : mine->heads_used;

        if (length == 0 || (what % 3 != 1 && value == 0))
            continue;
        if (what % 3 == 2 && text[where % length] == 0)
            continue;
        text[where % length] = value;
    }
}

/* --- what it means --------------------------------------------------------------------------- */

static bool fill(struct http_request *request, const struct fuzz_draft *mine, unsigned flags)
{
    memset(request, 0, sizeof(*request));
    request->door = (enum http_door)((flags & FLAG_DOOR) % 3);
    request->is_loopback = (flags & FLAG_REMOTE) == 0;
    request->method = mine->method;
    request->query = mine->query;
    request->body = mine->body;
    request->body_length = mine->body_length;
    for (unsigned i = 0; i < mine->field_count; i++) {
        const char *name = mine->heads + mine->fields[i].name;
        const char *value = mine->heads + mine->fields[i].value;

        request->fields[request->field_count++] = (struct http_field){name, value};
        if (strcmp(name, "x-acs-action") == 0 && strlen(value) < sizeof(request->action))
            strcpy(request->action, value);
        if (strcmp(name, "x-acs-version") == 0 && strlen(value) < sizeof(request->version))
            strcpy(request->version, value);
    }
    return form_parse(&request->form, mine->query, strlen(mine->query)) == 0 &&
           form_parse(&request->form, mine->body, mine->body_length) == 0;
}

static bool has_all(const struct form *a, const struct form *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        const char *value = form_get(b, a->pairs[i].name);

        if (!value || strcmp(value, a->pairs[i].value) != 0)
            return false;
    }
    return true;
}

static void check_meaning(const struct bench *bench, bool is_signed)
{
    struct http_request before;

    check(bench->verdict.scheme != REPLY_UNSIGNED && is_signed);
    check(strcmp(bench->verdict.caller.key_id, KEY) == 0);
    check(strcmp(bench->verdict.caller.user, "anna") == 0);
    check(fill(&before, &original, bench->flags));
    check(strcmp(before.method, bench->request.method) == 0);
    check(has_all(&before.form, &bench->request.form) &&
          has_all(&bench->request.form, &before.form));
    if (bench->verdict.scheme == REPLY_V3) {
        check(strcmp(before.action, bench->request.action) == 0);
        check(strcmp(before.version, bench->request.version) == 0);
        check(before.body_length == bench->request.body_length &&
              memcmp(before.body, bench->request.body, before.body_length) == 0);
    }
    form_fini(&before.form);
}

static void check_verdict(struct bench *bench, bool is_signed)
{
    struct door_verdict *verdict = &bench->verdict;
    bool is_unix = bench->request.door == HTTP_DOOR_UNIX;

    check(verdict->name && verdict->action && verdict->version);
    if (verdict->error != API_OK) {
        check(api_error_entry(verdict->error)->http_status >= 400);
        check(!verdict->detail || strlen(verdict->detail) < DOOR_DETAIL_MAX);
    } else if (verdict->caller.kind == CALLER_LOCAL) {
        check(is_unix && verdict->scheme == REPLY_UNSIGNED);
    } else {
        check_meaning(bench, is_signed);
        fuzz_scene_call(&bench->scene, judge, bench);
        check(bench->verdict.error == API_NONCE_USED);
    }
}

/* --- one input ------------------------------------------------------------------------------- */

static void begin(struct bench *bench)
{
    struct user_record anna = {.access.id = "anna", .uid = "u-1"};
    struct access_key_record key = {
        .access.id = KEY, .user = "anna", .user_uid = "u-1", .is_enabled = true};

    fuzz_quiet();
    check(signature_new(&bench->signature, NULL) == 0);
    bench->directory = directory_new();
    check(bench->directory);
    directory_apply_user(bench->directory, &anna);
    directory_apply_key(bench->directory, &key, SECRET);
    fuzz_scene_open(&bench->scene);
    fuzz_scene_call(&bench->scene, open_door, bench);
}

static void end(struct bench *bench)
{
    form_fini(&bench->request.form);
    fuzz_scene_call(&bench->scene, close_door, bench);
    fuzz_scene_close(&bench->scene);
    directory_free(bench->directory);
    signature_free(bench->signature);
    canonical_fini(&bench->canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct bench bench;
    struct bytes_reader input = {.at = bytes, .left = length}, twists = {0};
    bool is_signed = false;

    memset(&bench, 0, sizeof(bench));
    bench.flags = bytes_u8(&input);
    twists.left = bytes_u8(&input) % (TWISTS_MAX + 1) * 4u;
    twists.at = bytes_take(&input, twists.left);
    if (input.failed)
        return 0;
    fuzz_draft_parse(&draft, &input);
    begin(&bench);
    if (bench.flags & FLAG_V1)
        is_signed = sign_v1(&bench, &draft);
    else if (bench.flags & FLAG_V3)
        is_signed = sign_v3(&bench, &draft);
    original = draft;
    twist(&draft, twists);
    if (fill(&bench.request, &draft, bench.flags)) {
        fuzz_scene_call(&bench.scene, judge, &bench);
        check_verdict(&bench, is_signed);
    }
    end(&bench);
    return 0;
}

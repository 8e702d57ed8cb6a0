/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: what real clients sent is taken once, every refusal has its code, and the checks come
 * in the order of contract 3.6.
 */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/canonical.h"
#include "access/signature.h"
#include "api/door.h"
#include "base/check.h"
#include "captures.h"
#include "io/file.h"

#define CAPTURED_S 1795360500ll /* 2026-11-22T15:15:00Z */
#define CAPTURED "2026-11-22T15:15:00Z"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    struct directory *directory;
    struct signature *signature;
    struct canonical canonical;
    struct door *door;
    struct door_options options;
    const struct http_request *request;
    struct door_verdict verdict;
    struct err err;
};

/* A request that the test writes, before it is signed. */
struct draft {
    const char *method, *query, *body, *secret;
    struct http_field fields[12]; /* V3; NULL name: the end */
    bool is_v3, is_unsigned, is_remote;
    enum http_door door;
    char bytes[4096], authorization[1024];
    struct http_request request;
};

static void open_door(void *arg)
{
    struct bench *bench = arg;

    check(io_dir_make_durable(sim_site_loop(bench->site), "/site") == 0);
    bench->options.loop = sim_site_loop(bench->site);
    check(door_new(&bench->options, &bench->door, &bench->err) == 0);
}

static void close_door(void *arg)
{
    door_free(((struct bench *)arg)->door);
}

static void add_key(struct bench *bench, const char *id, const char *user, bool is_enabled)
{
    struct user_record person = {.uid = "u-1"};
    struct access_key_record key = {.user_uid = "u-1", .is_enabled = is_enabled};

    snprintf(person.access.id, sizeof(person.access.id), "%s", user);
    if (strcmp(user, "root") != 0)
        directory_apply_user(bench->directory, &person);
    else
        key.user_uid[0] = 0;
    snprintf(key.access.id, sizeof(key.access.id), "%s", id);
    snprintf(key.user, sizeof(key.user), "%s", user);
    directory_apply_key(bench->directory, &key, "testsecret");
}

static void begin(struct bench *bench)
{
    int64_t wall_ns;

    memset(bench, 0, sizeof(*bench));
    bench->world = sim_world_new(1);
    bench->site = sim_site_new(bench->world, "paris");
    wall_ns = (int64_t)(sim_now_ns(bench->world) + sim_site_wall_offset_ns(bench->site));
    sim_site_wall_jump(bench->site, CAPTURED_S * (int64_t)SIM_SECOND - wall_ns);
    bench->directory = directory_new();
    assert_int_equal(signature_new(&bench->signature, NULL), 0);
    add_key(bench, "LTAItestkeyid", "root", true);
    add_key(bench, "LTAIanna", "anna", true);
    add_key(bench, "LTAIoff", "anna", false);
    bench->options =
        (struct door_options){.folder = "/site", .directory = bench->directory, .rate = 50};
}

static void start(struct bench *bench)
{
    begin(bench);
    assert_true(sim_site_call(bench->site, open_door, bench));
}

static void end(struct bench *bench)
{
    assert_true(sim_site_call(bench->site, close_door, bench));
    sim_world_free(bench->world);
    directory_free(bench->directory);
    signature_free(bench->signature);
    canonical_fini(&bench->canonical);
}

static void judge_it(void *arg)
{
    struct bench *bench = arg;

    door_judge(bench->door, bench->request, &bench->verdict);
}

static enum api_error judge(struct bench *bench, const struct http_request *request)
{
    bench->request = request;
    assert_true(sim_site_call(bench->site, judge_it, bench));
    return bench->verdict.error;
}

static void wait_s(struct bench *bench, unsigned seconds)
{
    sim_world_run_until(bench->world, sim_now_ns(bench->world) + seconds * SIM_SECOND);
}

/* --- captures -------------------------------------------------------------------------------- */

static void fill(struct http_request *request, const struct capture *capture)
{
    memset(request, 0, sizeof(*request));
    request->door = HTTP_DOOR_PLAIN;
    request->is_loopback = true;
    strcpy(request->source, "127.0.0.1");
    request->method = capture->request.method;
    request->query = capture->request.query.at;
    request->body = capture->body;
    request->body_length = capture->request.body.length;
    for (unsigned i = 0; i < capture->request.field_count; i++)
        request->fields[request->field_count++] =
            (struct http_field){capture->fields[i].name, capture->fields[i].value};
    strcpy(request->action, capture_field(capture, "x-acs-action"));
    strcpy(request->version, capture_field(capture, "x-acs-version"));
    assert_int_equal(form_parse(&request->form, request->query, strlen(request->query)), 0);
    assert_int_equal(form_parse(&request->form, request->body, request->body_length), 0);
}

static void test_captures(void **state)
{
    static const char *const names[] = {CAPTURES_V1, CAPTURES_V3};
    struct bench bench;

    start(&bench);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        bool is_sts = strcmp(names[i], "C3") == 0, is_v3 = strchr("CDG", names[i][0]) != NULL;
        struct capture capture;
        struct http_request request;

        capture_load(&capture, names[i]);
        fill(&request, &capture);
        if (judge(&bench, &request) != (is_sts ? API_SECURITY_TOKEN : API_OK))
            fail_msg("%s: error %d", names[i], bench.verdict.error);
        assert_string_equal(bench.verdict.action,
                            names[i][0] == 'G' ? "DescribeDisks" : "ReprotectDiskReplicaGroup");
        assert_string_equal(bench.verdict.version,
                            names[i][0] == 'G' ? "2014-05-26" : "2021-07-30");
        assert_int_equal(bench.verdict.scheme, is_v3 ? REPLY_V3 : REPLY_V1);
        assert_int_equal(bench.verdict.form, REPLY_JSON);
        if (!is_sts) {
            assert_int_equal(bench.verdict.caller.kind, CALLER_ROOT_KEY);
            assert_string_equal(bench.verdict.caller.user, "root");
            assert_string_equal(bench.verdict.caller.key_id, "LTAItestkeyid");
            assert_string_equal(bench.verdict.caller.source, "127.0.0.1");
            assert_false(bench.verdict.caller.is_secure);
            assert_int_equal(judge(&bench, &request), API_NONCE_USED);
        }
        form_fini(&request.form);
    }
    assert_int_equal(directory_used_s(bench.directory, "LTAItestkeyid"), CAPTURED_S);
    end(&bench);
}

/* --- drafts ---------------------------------------------------------------------------------- */

static void sign_v1(struct bench *bench, struct draft *draft)
{
    struct canonical_request request = {
        .method = draft->method,
        .query = {.at = draft->query, .length = strlen(draft->query)},
        .body = {.at = draft->body, .length = strlen(draft->body)}};
    char ours[SIGNATURE_V1_SIZE];
    size_t used;

    assert_int_equal(canonical_v1(&bench->canonical, &request), 0);
    signature_v1(bench->signature, draft->secret, bench->canonical.text, bench->canonical.length,
                 ours);
    used = (size_t)snprintf(draft->bytes, sizeof(draft->bytes), "%s&Signature=", draft->query);
    for (const char *at = ours; *at; at++)
        used += (size_t)snprintf(draft->bytes + used, sizeof(draft->bytes) - used, "%%%02X", *at);
}

static void sign_v3(struct bench *bench, struct draft *draft, const char *listed)
{
    struct canonical_field fields[12];
    struct canonical_request request = {
        .method = draft->method,
        .query = {.at = draft->query, .length = strlen(draft->query)},
        .fields = fields};
    struct canonical_authorization authorization;
    char hash[SIGNATURE_HEX_SIZE], text[SIGNATURE_V3_TEXT], ours[SIGNATURE_HEX_SIZE];

    for (; draft->fields[request.field_count].name; request.field_count++)
        fields[request.field_count] = (struct canonical_field){
            draft->fields[request.field_count].name, draft->fields[request.field_count].value};
    snprintf(draft->authorization, sizeof(draft->authorization),
             "ACS3-HMAC-SHA256 Credential=LTAIanna,SignedHeaders=%s,Signature=0", listed);
    assert_int_equal(canonical_parse_authorization(draft->authorization, &authorization), 0);
    signature_hash(bench->signature, draft->body, strlen(draft->body), hash);
    assert_int_equal(canonical_v3(&bench->canonical, &request, &authorization, hash), 0);
    signature_v3(bench->signature, draft->secret, bench->canonical.text, bench->canonical.length,
                 text, ours);
    snprintf(draft->authorization, sizeof(draft->authorization),
             "ACS3-HMAC-SHA256 Credential=LTAIanna,SignedHeaders=%s,Signature=%s", listed, ours);
    draft->fields[request.field_count] = (struct http_field){"authorization", draft->authorization};
    strcpy(draft->bytes, draft->query);
}

#define LISTED                                                                                     \
    "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"

static void finish(struct draft *draft)
{
    struct http_request *request = &draft->request;

    request->door = draft->door;
    request->is_loopback = !draft->is_remote;
    if (draft->door != HTTP_DOOR_UNIX)
        strcpy(request->source, draft->is_remote ? "192.0.2.7" : "::1");
    request->method = draft->method;
    request->query = draft->bytes;
    request->body = draft->body;
    request->body_length = strlen(draft->body);
    for (unsigned i = 0; draft->fields[i].name; i++) {
        request->fields[request->field_count++] = draft->fields[i];
        if (strcmp(draft->fields[i].name, "x-acs-action") == 0)
            strcpy(request->action, draft->fields[i].value);
        if (strcmp(draft->fields[i].name, "x-acs-version") == 0)
            strcpy(request->version, draft->fields[i].value);
    }
    assert_int_equal(form_parse(&request->form, request->query, strlen(request->query)), 0);
    assert_int_equal(form_parse(&request->form, request->body, request->body_length), 0);
}

static enum api_error submit(struct bench *bench, const struct draft *from)
{
    struct draft draft = *from;
    enum api_error error;

    draft.method = draft.method ? draft.method : "POST";
    draft.query = draft.query ? draft.query : "";
    draft.body = draft.body ? draft.body : "";
    draft.secret = draft.secret ? draft.secret : "testsecret";
    if (draft.is_unsigned)
        strcpy(draft.bytes, draft.query);
    else if (draft.is_v3)
        sign_v3(bench, &draft, LISTED);
    else
        sign_v1(bench, &draft);
    finish(&draft);
    error = judge(bench, &draft.request);
    /* Texts of the request go with it. */
    bench->verdict.action = "";
    bench->verdict.version = "";
    form_fini(&draft.request.form);
    return error;
}

#define V1_REST                                                                                    \
    "&AccessKeyId=LTAIanna&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Timestamp=" CAPTURED
#define V1_HEAD "Action=DescribeDisks&Version=2014-05-26&Format=json"

#define V3_FIELDS(action, version, date, nonce)                                                    \
    {                                                                                              \
        {"host", "h"}, {"x-acs-action", action}, {"x-acs-version", version}, {"x-acs-date", date}, \
            {"x-acs-signature-nonce", nonce},                                                      \
        {                                                                                          \
            "x-acs-content-sha256", EMPTY_HASH                                                     \
        }                                                                                          \
    }

struct expectation {
    const char *query;
    enum api_error error;
    const char *name;
};

/* Each line mends what the one above was refused for: this is the order of the checks. */
static const struct expectation v1_order[] = {
    {"Format=yaml&SignatureNonce=1", API_INVALID_PARAMETER_FORMAT, ""},
    {"Format=json&SignatureNonce=1", API_MISSING_NAME, "Action"},
    {"Action=Nonsense&SignatureNonce=1", API_MISSING_NAME, "Version"},
    {"Action=Nonsense&SignatureNonce=1&Version=1", API_INVALID_NAME, "Version"},
    {"Action=Nonsense&SignatureNonce=1&Version=2014-05-26", API_NOT_FOUND, ""},
    {"Action=DescribeDisks&SignatureNonce=1&Version=2017-12-14", API_NOT_FOUND, ""},
    {"Action=describedisks&SignatureNonce=1&Version=2014-05-26", API_NOT_FOUND, ""},
    {V1_HEAD "&SignatureType=bearertoken&BearerToken=x", API_INVALID_NAME, "SignatureType"},
    {V1_HEAD "&SignatureType=", API_MISSING_NAME, "AccessKeyId"},
    {V1_HEAD "&AccessKeyId=x", API_MISSING_NAME, "SignatureMethod"},
    {V1_HEAD "&AccessKeyId=x&SignatureMethod=x", API_MISSING_NAME, "SignatureNonce"},
    {V1_HEAD "&AccessKeyId=x&SignatureMethod=x&SignatureNonce=n", API_MISSING_NAME,
     "SignatureVersion"},
    {V1_HEAD "&AccessKeyId=x&SignatureMethod=x&SignatureNonce=n&SignatureVersion=2",
     API_MISSING_NAME, "Timestamp"},
#define NONCE_65 "12345678901234567890123456789012345678901234567890123456789012345"
    {V1_HEAD "&AccessKeyId=x&SignatureMethod=x&SignatureNonce=" NONCE_65
             "&SignatureVersion=2&Timestamp=t",
     API_INVALID_NAME, "SignatureNonce"},
    {V1_HEAD "&AccessKeyId=x&SignatureMethod=x&SignatureNonce=n%C3%A9"
             "&SignatureVersion=2&Timestamp=t",
     API_INVALID_NAME, "SignatureNonce"},
#define V1_BAD "&SignatureMethod=x&SignatureNonce=n&SignatureVersion=2"
    {V1_HEAD V1_BAD "&AccessKeyId=x&Timestamp=t&SecurityToken=t", API_SECURITY_TOKEN, ""},
    {V1_HEAD V1_BAD "&AccessKeyId=x&Timestamp=t&SecurityToken=", API_ACCESS_KEY_NOT_FOUND, ""},
    {V1_HEAD V1_BAD "&AccessKeyId=LTAIoff&Timestamp=t", API_ACCESS_KEY_INACTIVE, ""},
    {V1_HEAD V1_BAD "&AccessKeyId=LTAIanna&Timestamp=t", API_TIMESTAMP_FORMAT, ""},
    {V1_HEAD V1_BAD "&AccessKeyId=LTAIanna&Timestamp=2026-11-22T14:59:59Z", API_TIMESTAMP_EXPIRED,
     ""},
    {V1_HEAD V1_BAD "&AccessKeyId=LTAIanna&Timestamp=2026-11-22T15:30:01Z", API_TIMESTAMP_EXPIRED,
     ""},
    {V1_HEAD V1_BAD "&AccessKeyId=LTAIanna&Timestamp=" CAPTURED, API_SIGNATURE_METHOD, ""},
    {V1_HEAD "&SignatureMethod=HMAC-SHA1&SignatureNonce=n&SignatureVersion=2&AccessKeyId=LTAIanna"
             "&Timestamp=" CAPTURED,
     API_INVALID_NAME, "SignatureVersion"},
};

static void test_order_of_v1(void **state)
{
    struct bench bench;

    start(&bench);
    for (unsigned i = 0; i < ARRAY_COUNT(v1_order); i++) {
        struct draft draft = {.door = HTTP_DOOR_TLS, .query = v1_order[i].query, .secret = "wrong"};

        if (submit(&bench, &draft) != v1_order[i].error ||
            strcmp(bench.verdict.name, v1_order[i].name) != 0)
            fail_msg("%s: error %d, \"%s\"", v1_order[i].query, bench.verdict.error,
                     bench.verdict.name);
    }
    assert_int_equal(submit(&bench, &(struct draft){.door = HTTP_DOOR_TLS,
                                                    .secret = "wrong",
                                                    .query = V1_HEAD V1_REST "&SignatureNonce=n"}),
                     API_SIGNATURE_MISMATCH);
    assert_int_equal(submit(&bench, &(struct draft){.door = HTTP_DOOR_TLS,
                                                    .query = V1_HEAD V1_REST "&SignatureNonce=n"}),
                     API_OK);
    assert_int_equal(bench.verdict.caller.kind, CALLER_USER);
    assert_string_equal(bench.verdict.caller.user, "anna");
    assert_true(bench.verdict.caller.is_secure);
    assert_int_equal(submit(&bench, &(struct draft){.door = HTTP_DOOR_TLS,
                                                    .query = V1_HEAD V1_REST "&SignatureNonce=n"}),
                     API_NONCE_USED);
    end(&bench);
}

/* Old SDKs look for this text to tell a wrong secret from a wrong string. */
static void test_string_to_sign_is_told(void **state)
{
    struct bench bench;
    char expected[1024];

    start(&bench);
    assert_int_equal(submit(&bench, &(struct draft){.door = HTTP_DOOR_TLS,
                                                    .secret = "wrong",
                                                    .query = V1_HEAD V1_REST "&SignatureNonce=n"}),
                     API_SIGNATURE_MISMATCH);
    snprintf(expected, sizeof(expected), "server string to sign is:%s", bench.canonical.text);
    assert_string_equal(bench.verdict.detail, expected);
    assert_string_equal(bench.verdict.caller.key_id, "LTAIanna"); /* as it says */
    assert_int_equal(
        submit(&bench,
               &(struct draft){.door = HTTP_DOOR_TLS,
                               .is_v3 = true,
                               .secret = "wrong",
                               .fields = V3_FIELDS("DescribeDisks", "2014-05-26", CAPTURED, "n")}),
        API_SIGNATURE_MISMATCH);
    assert_memory_equal(bench.verdict.detail, "server string to sign is:ACS3-HMAC-SHA256\n", 42);
    assert_int_equal(strlen(bench.verdict.detail), 42 + 64);
    end(&bench);
}

static void test_where_v1_is_taken(void **state)
{
    static const struct {
        enum http_door door;
        bool is_remote, allow_v1, is_taken;
    } cases[] = {
        {HTTP_DOOR_UNIX, false, false, true}, {HTTP_DOOR_PLAIN, false, false, true},
        {HTTP_DOOR_TLS, true, false, true},   {HTTP_DOOR_PLAIN, true, false, false},
        {HTTP_DOOR_PLAIN, true, true, true},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct draft draft = {.door = cases[i].door,
                              .is_remote = cases[i].is_remote,
                              .query = V1_HEAD V1_REST "&SignatureNonce=n"};
        struct draft v3 = {.door = cases[i].door,
                           .is_remote = cases[i].is_remote,
                           .is_v3 = true,
                           .fields = V3_FIELDS("DescribeDisks", "2014-05-26", CAPTURED, "v3")};
        struct bench bench;

        begin(&bench);
        bench.options.allow_v1 = cases[i].allow_v1;
        assert_true(sim_site_call(bench.site, open_door, &bench));
        assert_int_equal(submit(&bench, &draft), cases[i].is_taken ? API_OK : API_NEED_SSL);
        assert_int_equal(submit(&bench, &v3), API_OK);
        assert_int_equal(bench.verdict.caller.is_secure, cases[i].door != HTTP_DOOR_PLAIN);
        end(&bench);
    }
}

static void test_without_a_signature(void **state)
{
    struct draft draft = {.is_unsigned = true, .query = V1_HEAD "&AccessKeyId=LTAIanna"};
    struct bench bench;

    start(&bench);
    assert_int_equal(submit(&bench, &draft), API_OK); /* an operation may have such a parameter */
    assert_int_equal(bench.verdict.caller.kind, CALLER_LOCAL);
    assert_true(bench.verdict.caller.is_secure);
    draft.query = V1_HEAD "&SignatureNonce=n";
    assert_int_equal(submit(&bench, &draft), API_MISSING_NAME);
    draft.door = HTTP_DOOR_PLAIN;
    draft.query = V1_HEAD;
    assert_int_equal(submit(&bench, &draft), API_MISSING_NAME);
    assert_string_equal(bench.verdict.name, "AccessKeyId");
    /* The header alone is signed by nobody, but it says what is asked for. */
    draft.query = "";
    assert_int_equal(submit(&bench, &draft), API_MISSING_NAME);
    assert_string_equal(bench.verdict.name, "Action");
    assert_int_equal(bench.verdict.form, REPLY_JSON);
    draft.fields[0] = (struct http_field){"authorization", "Bearer abc"};
    draft.query = V1_HEAD;
    assert_int_equal(submit(&bench, &draft), API_INVALID_NAME);
    assert_string_equal(bench.verdict.name, "SignatureType");
    draft.fields[0] = (struct http_field){"authorization", "Basic abc"};
    assert_int_equal(submit(&bench, &draft), API_MISSING_NAME);
    end(&bench);
}

/* V1 signs the parameter, not the header. */
static void test_action_of_v1_is_the_parameter(void **state)
{
    struct draft draft = {.door = HTTP_DOOR_TLS,
                          .query = V1_HEAD V1_REST "&SignatureNonce=n",
                          .fields = {{"x-acs-action", "DeleteDisk"}}};
    struct bench bench;

    start(&bench);
    assert_int_equal(submit(&bench, &draft), API_OK);
    draft.query = "Version=2014-05-26&SignatureNonce=m" V1_REST;
    assert_int_equal(submit(&bench, &draft), API_MISSING_NAME);
    assert_string_equal(bench.verdict.name, "Action");
    end(&bench);
}

/* What is added on the way, or taken away, shows. */
static void test_v3_on_the_way(void **state)
{
    static const struct http_field added[] = {{"x-acs-action", "DeleteDisk"},
                                              {"x-acs-new", "1"},
                                              {"host", "other"},
                                              {"authorization", "ACS3-HMAC-SHA256 x"},
                                              {"x-acs-security-token", "t"}};
    const struct draft good = {.door = HTTP_DOOR_PLAIN,
                               .is_remote = true,
                               .is_v3 = true,
                               .query = "RegionId=paris&Action=DeleteDisk",
                               .fields = V3_FIELDS("DescribeDisks", "2014-05-26", CAPTURED, "n")};
    struct bench bench;

    start(&bench);
    for (unsigned i = 0; i < ARRAY_COUNT(added); i++) {
        struct draft draft = good;
        enum api_error error;

        draft.method = "POST";
        draft.body = "";
        draft.secret = "testsecret";
        sign_v3(&bench, &draft, LISTED);
        draft.fields[7] = added[i];
        finish(&draft);
        error = judge(&bench, &draft.request);
        if (error != API_INCOMPLETE_SIGNATURE)
            fail_msg("%s added: error %d", added[i].name, error);
        form_fini(&draft.request.form);
    }
    for (unsigned i = 0; i < 6; i++) {
        struct draft draft = good;
        enum api_error error;

        draft.method = "POST";
        draft.body = "";
        draft.secret = "testsecret";
        sign_v3(&bench, &draft, LISTED);
        draft.fields[i] = (struct http_field){"accept", "*"};
        finish(&draft);
        error = judge(&bench, &draft.request);
        assert_true(error == API_MISSING_NAME || error == API_INCOMPLETE_SIGNATURE ||
                    error == API_NOT_FOUND);
        form_fini(&draft.request.form);
    }
    assert_int_equal(submit(&bench, &good), API_OK);
    end(&bench);
}

/* The type counts where there is a body to be read by it. */
static void test_v3_type_of_a_body(void **state)
{
    struct draft draft = {.door = HTTP_DOOR_PLAIN,
                          .is_v3 = true,
                          .fields = V3_FIELDS("DescribeDisks", "2014-05-26", CAPTURED, "n")};
    struct bench bench;

    start(&bench);
    draft.fields[6] = (struct http_field){"content-type", "application/x-www-form-urlencoded"};
    draft.body = "a=1";
    assert_int_equal(submit(&bench, &draft), API_INCOMPLETE_SIGNATURE);
    draft.body = "";
    assert_int_equal(submit(&bench, &draft), API_OK);
    end(&bench);
}

static void test_v3_method(void **state)
{
    static const struct {
        const char *header;
        enum api_error error;
    } cases[] = {
        {"ACS3-HMAC-SM3 Credential=LTAIanna,SignedHeaders=" LISTED ",Signature=0",
         API_SIGNATURE_METHOD},
        {"ACS3-HMAC-SHA256 Credential=LTAIanna,SignedHeaders=" LISTED, API_INCOMPLETE_SIGNATURE},
        {"ACS3-HMAC-SHA256 Credential=LTAIanna,SignedHeaders=" LISTED ",Signature=0",
         API_SIGNATURE_MISMATCH},
        {"ACS3-HMAC-SHA256 Credential=nobody,SignedHeaders=" LISTED ",Signature=0",
         API_ACCESS_KEY_NOT_FOUND},
        {"ACS3-HMAC-SHA256 Credential=LTAIoff,SignedHeaders=" LISTED ",Signature=0",
         API_ACCESS_KEY_INACTIVE},
        {"ACS3-HMAC-SHA256 Credential=LTAIanna,SignedHeaders=host,Signature=0",
         API_INCOMPLETE_SIGNATURE},
    };
    struct bench bench;

    start(&bench);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct draft draft = {.door = HTTP_DOOR_PLAIN,
                              .is_unsigned = true,
                              .fields = V3_FIELDS("DescribeDisks", "2014-05-26", CAPTURED, "n")};

        draft.fields[6] = (struct http_field){"authorization", cases[i].header};
        if (submit(&bench, &draft) != cases[i].error)
            fail_msg("%s: error %d", cases[i].header, bench.verdict.error);
    }
    end(&bench);
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        enum api_error error;
    } cases[] = {
        {"2026-11-22T15:00:00Z", API_SIGNATURE_METHOD}, /* the next check */
        {"2026-11-22T15:30:00Z", API_SIGNATURE_METHOD},
        {"2026-11-22T14:59:59Z", API_TIMESTAMP_EXPIRED},
        {"2026-11-22T15:30:01Z", API_TIMESTAMP_EXPIRED},
        {"2024-02-29T00:00:00Z", API_TIMESTAMP_EXPIRED},
        {"2000-02-29T00:00:00Z", API_TIMESTAMP_EXPIRED},
        {"9999-12-31T23:59:59Z", API_TIMESTAMP_EXPIRED},
        {"2026-02-29T00:00:00Z", API_TIMESTAMP_FORMAT},
        {"2100-02-29T00:00:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-31T15:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-13-22T15:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-00-22T15:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-00T15:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-22T24:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:60:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:15:60Z", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:15:00z", API_TIMESTAMP_FORMAT},
        {"2026-11-22 15:15:00Z", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:15:00", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:15:00ZZ", API_TIMESTAMP_FORMAT},
        {"2026-11-22T15:15Z", API_TIMESTAMP_FORMAT},
        {"1969-12-31T23:59:59Z", API_TIMESTAMP_FORMAT},
        {"Sun, 22 Nov 2026 15:15:00 GMT", API_TIMESTAMP_FORMAT},
    };
    struct bench bench;
    char query[512];

    start(&bench);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct draft draft = {.door = HTTP_DOOR_TLS, .query = query};

        snprintf(query, sizeof(query),
                 V1_HEAD "&AccessKeyId=LTAIanna&SignatureMethod=x&SignatureNonce=n&"
                         "SignatureVersion=1.0&Timestamp=%s",
                 cases[i].text);
        if (submit(&bench, &draft) != cases[i].error)
            fail_msg("%s: error %d", cases[i].text, bench.verdict.error);
    }
    end(&bench);
}

static enum api_error call(struct bench *bench, const char *key, unsigned number)
{
    char query[512];

    snprintf(query, sizeof(query),
             V1_HEAD "&AccessKeyId=%s&SignatureMethod=HMAC-SHA1&SignatureNonce=n%u&"
                     "SignatureVersion=1.0&Timestamp=" CAPTURED,
             key, number);
    return submit(bench, &(struct draft){.door = HTTP_DOOR_TLS, .query = query});
}

static void test_flow_control(void **state)
{
    struct bench bench;

    start(&bench);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(call(&bench, "LTAIanna", i), API_OK);
    assert_int_equal(call(&bench, "LTAIanna", 50), API_THROTTLING_USER);
    assert_in_range(bench.verdict.retry_ms, 1, 20);
    assert_int_equal(call(&bench, "LTAIanna", 3), API_NONCE_USED); /* before flow control */
    assert_int_equal(call(&bench, "LTAItestkeyid", 0), API_OK);    /* each key its own */
    sim_world_run_until(bench.world, sim_now_ns(bench.world) + 20 * SIM_MS);
    assert_int_equal(call(&bench, "LTAIanna", 50), API_OK); /* it was not done, so not used */
    assert_int_equal(bench.verdict.retry_ms, 0);
    assert_int_equal(call(&bench, "LTAIanna", 51), API_THROTTLING_USER);
    wait_s(&bench, 10); /* never more than a second's worth */
    for (unsigned i = 51; i < 101; i++)
        assert_int_equal(call(&bench, "LTAIanna", i), API_OK);
    assert_int_equal(call(&bench, "LTAIanna", 101), API_THROTTLING_USER);
    end(&bench);
}

static void make_folder(void *arg)
{
    check(io_dir_make_durable(sim_site_loop(((struct bench *)arg)->site), "/later") == 0);
}

struct elsewhere {
    struct bench *bench;
    const char *nonce;
    int64_t time_s;
    enum api_error error;
};

static void take_elsewhere(void *arg)
{
    struct elsewhere *elsewhere = arg;

    elsewhere->error = door_take_elsewhere(elsewhere->bench->door, "LTAIanna", elsewhere->nonce,
                                           elsewhere->time_s);
}

static enum api_error used_elsewhere(struct bench *bench, const char *nonce, int64_t time_s)
{
    struct elsewhere elsewhere = {.bench = bench, .nonce = nonce, .time_s = time_s};

    assert_true(sim_site_call(bench->site, take_elsewhere, &elsewhere));
    return elsewhere.error;
}

/* A request that another site took is not taken here, nor the other way round. */
static void test_nonces_of_another_site(void **state)
{
    struct bench bench;

    begin(&bench);
    bench.options.is_remote = true;
    assert_true(sim_site_call(bench.site, open_door, &bench));
    assert_int_equal(used_elsewhere(&bench, "n1", CAPTURED_S), API_OK);
    assert_int_equal(used_elsewhere(&bench, "n1", CAPTURED_S), API_NONCE_USED);
    assert_int_equal(call(&bench, "LTAIanna", 1), API_NONCE_USED);
    assert_int_equal(call(&bench, "LTAIanna", 2), API_OK);
    assert_string_equal(bench.verdict.caller.nonce, "n2");
    assert_int_equal(bench.verdict.caller.signed_s, CAPTURED_S);
    assert_int_equal(used_elsewhere(&bench, "n2", CAPTURED_S), API_NONCE_USED);
    /* It could not be used here: no reason to refuse what the other site found in time. */
    assert_int_equal(used_elsewhere(&bench, "n3", CAPTURED_S - 7200), API_OK);
    assert_int_equal(used_elsewhere(&bench, "n3", CAPTURED_S - 7200), API_OK);
    end(&bench);
}

/* A full disk, say: only signed requests wait, and not for ever. */
static void test_nonces_that_cannot_be_kept(void **state)
{
    struct draft unsigned_one = {.is_unsigned = true, .query = V1_HEAD};
    struct bench bench;

    begin(&bench);
    bench.options.folder = "/later";
    bench.options.is_remote = true;
    assert_true(sim_site_call(bench.site, open_door, &bench));
    assert_int_equal(call(&bench, "LTAIanna", 0), API_SERVICE_UNAVAILABLE);
    assert_int_equal(submit(&bench, &unsigned_one), API_OK);
    assert_true(sim_site_call(bench.site, make_folder, &bench));
    assert_int_equal(call(&bench, "LTAIanna", 0), API_SERVICE_UNAVAILABLE);
    wait_s(&bench, 11);
    assert_int_equal(call(&bench, "LTAIanna", 0), API_OK);
    assert_int_equal(call(&bench, "LTAIanna", 0), API_NONCE_USED);
    end(&bench);
}

static void test_protocol_parameters(void **state)
{
    struct door_verdict v1 = {.scheme = REPLY_V1}, other = {.scheme = REPLY_UNSIGNED};

    assert_true(door_is_protocol(&v1, "Signature"));
    assert_true(door_is_protocol(&v1, "AccessKeyId"));
    assert_true(door_is_protocol(&other, "Action"));
    assert_true(door_is_protocol(&other, "Format"));
    assert_false(door_is_protocol(&other, "AccessKeyId"));
    assert_false(door_is_protocol(&v1, "RegionId"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),
        cmocka_unit_test(test_order_of_v1),
        cmocka_unit_test(test_string_to_sign_is_told),
        cmocka_unit_test(test_where_v1_is_taken),
        cmocka_unit_test(test_without_a_signature),
        cmocka_unit_test(test_action_of_v1_is_the_parameter),
        cmocka_unit_test(test_v3_on_the_way),
        cmocka_unit_test(test_v3_type_of_a_body),
        cmocka_unit_test(test_v3_method),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_flow_control),
        cmocka_unit_test(test_nonces_that_cannot_be_kept),
        cmocka_unit_test(test_nonces_of_another_site),
        cmocka_unit_test(test_protocol_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: everything that can be wrong with a condition is told when the policy is made, by name; when
 * a request waits, values are numbers and masks already. An operator or key that is not known is
 * refused: a condition that is passed over would allow what its author meant to forbid.
 */
#include "access/policy_condition.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "access/wildcard.h"
#include "base/check.h"

enum { CONDITIONS_MAX = 64 };

enum kind { KIND_STRING, KIND_NUMBER, KIND_DATE, KIND_BOOL, KIND_ADDRESS };
enum relation_kind {
    IS_EQUAL,
    IS_EQUAL_FOLDED,
    IS_LIKE,
    IS_LESS,
    IS_LESS_EQUAL,
    IS_MORE,
    IS_MORE_EQUAL
};

struct operator_row {
    const char *name;
    enum kind kind;
    enum relation_kind relation;
    bool is_negated;
};

static const struct operator_row operators[] = {
    {"StringEquals", KIND_STRING, IS_EQUAL, false},
    {"StringNotEquals", KIND_STRING, IS_EQUAL, true},
    {"StringEqualsIgnoreCase", KIND_STRING, IS_EQUAL_FOLDED, false},
    {"StringNotEqualsIgnoreCase", KIND_STRING, IS_EQUAL_FOLDED, true},
    {"StringLike", KIND_STRING, IS_LIKE, false},
    {"StringNotLike", KIND_STRING, IS_LIKE, true},
    {"NumericEquals", KIND_NUMBER, IS_EQUAL, false},
    {"NumericNotEquals", KIND_NUMBER, IS_EQUAL, true},
    {"NumericLessThan", KIND_NUMBER, IS_LESS, false},
    {"NumericLessThanEquals", KIND_NUMBER, IS_LESS_EQUAL, false},
    {"NumericGreaterThan", KIND_NUMBER, IS_MORE, false},
    {"NumericGreaterThanEquals", KIND_NUMBER, IS_MORE_EQUAL, false},
    {"DateEquals", KIND_DATE, IS_EQUAL, false},
    {"DateNotEquals", KIND_DATE, IS_EQUAL, true},
    {"DateLessThan", KIND_DATE, IS_LESS, false},
    {"DateLessThanEquals", KIND_DATE, IS_LESS_EQUAL, false},
    {"DateGreaterThan", KIND_DATE, IS_MORE, false},
    {"DateGreaterThanEquals", KIND_DATE, IS_MORE_EQUAL, false},
    {"Bool", KIND_BOOL, IS_EQUAL, false},
    {"IpAddress", KIND_ADDRESS, IS_EQUAL, false},
    {"NotIpAddress", KIND_ADDRESS, IS_EQUAL, true},
};

enum key { KEY_SOURCE, KEY_SECURE, KEY_TIME, KEY_MFA, KEY_TAG };

/* Bits of kinds that make sense for the key. */
#define MAY(kind) (1u << (kind))

static const struct {
    const char *name;
    enum key key;
    unsigned kinds;
} keys[] = {
    {"acs:SourceIp", KEY_SOURCE, MAY(KIND_STRING) | MAY(KIND_ADDRESS)},
    {"acs:SecureTransport", KEY_SECURE, MAY(KIND_STRING) | MAY(KIND_BOOL)},
    {"acs:CurrentTime", KEY_TIME, MAY(KIND_DATE)},
    {"acs:MFAPresent", KEY_MFA, MAY(KIND_STRING) | MAY(KIND_BOOL)},
    {"ecs:tag/", KEY_TAG, MAY(KIND_STRING) | MAY(KIND_NUMBER) | MAY(KIND_BOOL)},
    {"ebs:tag/", KEY_TAG, MAY(KIND_STRING) | MAY(KIND_NUMBER) | MAY(KIND_BOOL)},
};

struct address {
    uint8_t bytes[16];
    unsigned size, bits; /* 4 or 16; of the prefix */
};

struct value {
    const char *text;
    double number;
    int64_t date_s;
    bool is_true;
    struct address address;
};

struct condition {
    const struct operator_row *row;
    enum key key;
    char product[4];
    const char *tag;
    struct value *values;
    unsigned value_count;
};

struct policy_conditions {
    unsigned count;
    struct condition items[CONDITIONS_MAX];
};

/* --- values ---------------------------------------------------------------------------------- */

static bool parse_number(const char *text, double *ret_number)
{
    const char *at = text + (text[0] == '-');
    size_t whole = strspn(at, "0123456789"), part = 0;

    if (at[whole] == '.')
        part = strspn(at + whole + 1, "0123456789") + 1;
    if (whole == 0 || whole > 15 || part == 1 || part > 10 || at[whole + part])
        return false;
    *ret_number = strtod(text, NULL);
    return true;
}

/* `count` digits; false: other characters, or out of the range. */
static bool take_digits(const char **text, unsigned count, int low, int high, int *ret_value)
{
    int value = 0;

    for (unsigned i = 0; i < count; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        value = value * 10 + (**text - '0');
    }
    *ret_value = value;
    return value >= low && value <= high;
}

static bool take_letter(const char **text, char letter)
{
    return *(*text)++ == letter;
}

static int64_t days_of(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Z" or "+08:00"; seconds east. */
static bool take_offset(const char *text, int *ret_s)
{
    int sign = text[0] == '-' ? -1 : 1, hours, minutes;

    *ret_s = 0;
    if (strcmp(text, "Z") == 0)
        return true;
    if (text[0] != '+' && text[0] != '-')
        return false;
    text++;
    if (!take_digits(&text, 2, 0, 14, &hours) || !take_letter(&text, ':') ||
        !take_digits(&text, 2, 0, 59, &minutes) || *text)
        return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* yyyy-MM-ddTHH:mm:ssZ, or with an offset in place of the Z. */
static bool parse_date(const char *text, int64_t *ret_s)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, east;
    bool is_leap;

    if (strlen(text) < 20 || !take_digits(&text, 4, 1970, 9999, &year) ||
        !take_letter(&text, '-') || !take_digits(&text, 2, 1, 12, &month) ||
        !take_letter(&text, '-') || !take_digits(&text, 2, 1, month_days[month - 1], &day) ||
        !take_letter(&text, 'T') || !take_digits(&text, 2, 0, 23, &hour) ||
        !take_letter(&text, ':') || !take_digits(&text, 2, 0, 59, &minute) ||
        !take_letter(&text, ':') || !take_digits(&text, 2, 0, 59, &second) ||
        !take_offset(text, &east))
        return false;
    is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !is_leap)
        return false;
    *ret_s = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - east;
    return true;
}

static bool parse_bool(const char *text, bool *ret_bool)
{
    *ret_bool = strcasecmp(text, "true") == 0;
    return *ret_bool || strcasecmp(text, "false") == 0;
}

/* An IPv4 address inside of IPv6 is the IPv4 address. */
static void unmap(struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (address->size != 16 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0 ||
        address->bits < 96)
        return;
    memmove(address->bytes, address->bytes + 12, 4);
    address->size = 4;
    address->bits -= 96;
}

static bool parse_address(const char *text, bool may_be_range, struct address *ret_address)
{
    size_t length = strcspn(text, "/");
    char host[INET6_ADDRSTRLEN];
    int bits;

    if (length >= sizeof(host) || (text[length] && !may_be_range))
        return false;
    memcpy(host, text, length);
    host[length] = 0;
    memset(ret_address, 0, sizeof(*ret_address));
    if (inet_pton(AF_INET, host, ret_address->bytes) == 1)
        ret_address->size = 4;
    else if (inet_pton(AF_INET6, host, ret_address->bytes) == 1)
        ret_address->size = 16;
    else
        return false;
    bits = (int)ret_address->size * 8;
    if (text[length]) {
        const char *digits = text + length + 1;
        size_t count = strlen(digits);

        if (count < 1 || count > 3 || (count > 1 && digits[0] == '0') ||
            !take_digits(&digits, (unsigned)count, 0, bits, &bits))
            return false;
    }
    ret_address->bits = (unsigned)bits;
    unmap(ret_address);
    return true;
}

static bool address_covers(const struct address *range, const struct address *address)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    if (range->size != address->size || memcmp(range->bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((range->bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

static bool parse_value(enum kind kind, const char *text, bool may_be_range, struct value *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->text = text;
    switch (kind) {
    case KIND_STRING:
        return true;
    case KIND_NUMBER:
        return parse_number(text, &ret->number);
    case KIND_DATE:
        return parse_date(text, &ret->date_s);
    case KIND_BOOL:
        return parse_bool(text, &ret->is_true);
    case KIND_ADDRESS:
        return parse_address(text, may_be_range, &ret->address);
    }
    return false;
}

/* --- parsing --------------------------------------------------------------------------------- */

static const char *const kind_words[] = {
    [KIND_STRING] = "a text",
    [KIND_NUMBER] = "a decimal number",
    [KIND_DATE] = "a time such as 2026-11-22T08:00:00Z",
    [KIND_BOOL] = "true or false",
    [KIND_ADDRESS] = "an address such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
};

static int parse_key(const char *name, struct condition *condition, struct err *err)
{
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        size_t length = strlen(keys[i].name);
        bool is_tag = keys[i].key == KEY_TAG;

        if (is_tag ? strncmp(keys[i].name, name, length) != 0 : strcasecmp(keys[i].name, name) != 0)
            continue;
        if (is_tag && !name[length])
            return err_set(err, -EINVAL, "%s: the tag's key is missing", name);
        if (!(keys[i].kinds & MAY(condition->row->kind)))
            return err_set(err, -EINVAL, "%s does not go with this operator", name);
        condition->key = keys[i].key;
        memcpy(condition->product, name, 3);
        condition->tag = is_tag ? name + length : NULL;
        return 0;
    }
    return err_set(err, -EINVAL, "%.100s is no condition key of this server", name);
}

static int parse_values(const json_t *tree, unsigned *value_count, struct condition *condition,
                        struct err *err)
{
    unsigned count = json_is_array(tree) ? (unsigned)json_array_size(tree) : 1;

    if (count == 0)
        return err_set(err, -EINVAL, "an empty list of values");
    *value_count += count;
    if (*value_count > POLICY_VALUES_MAX)
        return err_set(err, -EINVAL, "more than %d values in the policy", POLICY_VALUES_MAX);
    condition->values = calloc(count, sizeof(*condition->values));
    if (!condition->values)
        return err_set(err, -ENOMEM, "out of memory");
    condition->value_count = count;
    for (unsigned i = 0; i < count; i++) {
        const json_t *item = json_is_array(tree) ? json_array_get(tree, i) : tree;

        if (!json_is_string(item))
            return err_set(err, -EINVAL, "a value is not a quoted string");
        if (!parse_value(condition->row->kind, json_string_value(item), true,
                         &condition->values[i]))
            return err_set(err, -EINVAL, "%.80s is not %s", json_string_value(item),
                           kind_words[condition->row->kind]);
    }
    return 0;
}

static int parse_operator(const char *name, const json_t *tree, unsigned *value_count,
                          struct policy_conditions *conditions, struct err *err)
{
    const struct operator_row *row = NULL;
    const char *key;
    json_t *values;

    for (unsigned i = 0; i < ARRAY_COUNT(operators); i++)
        if (strcmp(operators[i].name, name) == 0)
            row = &operators[i];
    if (!row)
        return err_set(err, -EINVAL, "%.60s: no such operator", name);
    if (!json_is_object(tree) || json_object_size(tree) == 0)
        return err_set(err, -EINVAL, "%s: not an object of keys", name);
    json_object_foreach((json_t *)tree, key, values)
    {
        struct condition *condition = &conditions->items[conditions->count];
        int result;

        if (conditions->count == CONDITIONS_MAX)
            return err_set(err, -EINVAL, "more than %d conditions", CONDITIONS_MAX);
        conditions->count++;
        condition->row = row;
        result = parse_key(key, condition, err);
        if (result < 0)
            return err_wrap(err, "%s", name);
        result = parse_values(values, value_count, condition, err);
        if (result < 0)
            return err_wrap(err, "%s.%.100s", name, key);
    }
    return 0;
}

int policy_condition_parse(const json_t *tree, unsigned *value_count,
                           struct policy_conditions **ret_conditions, struct err *err)
{
    struct policy_conditions *conditions;
    const char *name;
    json_t *value;
    int result = 0;

    if (!json_is_object(tree))
        return err_set(err, -EINVAL, "not an object");
    conditions = calloc(1, sizeof(*conditions));
    if (!conditions)
        return err_set(err, -ENOMEM, "out of memory");
    json_object_foreach((json_t *)tree, name, value)
    {
        result = parse_operator(name, value, value_count, conditions, err);
        if (result < 0)
            break;
    }
    if (result < 0) {
        policy_condition_free(conditions);
        return result;
    }
    *ret_conditions = conditions;
    return 0;
}

void policy_condition_free(struct policy_conditions *conditions)
{
    if (!conditions)
        return;
    for (unsigned i = 0; i < conditions->count; i++)
        free(conditions->items[i].values);
    free(conditions);
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool compare(double ours, double theirs, enum relation_kind relation)
{
    switch (relation) {
    case IS_LESS:
        return ours < theirs;
    case IS_LESS_EQUAL:
        return ours <= theirs;
    case IS_MORE:
        return ours > theirs;
    case IS_MORE_EQUAL:
        return ours >= theirs;
    case IS_EQUAL:
    case IS_EQUAL_FOLDED:
    case IS_LIKE:
        return !(ours < theirs) && !(ours > theirs);
    }
    return false;
}

static bool value_holds(const struct operator_row *row, const struct value *wanted,
                        const struct value *found)
{
    switch (row->kind) {
    case KIND_STRING:
        if (row->relation == IS_LIKE)
            return wildcard_match(wanted->text, found->text, false);
        if (row->relation == IS_EQUAL_FOLDED)
            return strcasecmp(wanted->text, found->text) == 0;
        return strcmp(wanted->text, found->text) == 0;
    case KIND_NUMBER:
        return compare(found->number, wanted->number, row->relation);
    case KIND_DATE:
        return compare((double)found->date_s, (double)wanted->date_s, row->relation);
    case KIND_BOOL:
        return found->is_true == wanted->is_true;
    case KIND_ADDRESS:
        return address_covers(&wanted->address, &found->address);
    }
    return false;
}

/* False: the request has no such key, or its value is none of the operator's kind. */
static bool find_value(const struct condition *condition, const struct policy_question *question,
                       struct value *ret)
{
    const char *text = NULL;

    switch (condition->key) {
    case KEY_TIME:
        *ret = (struct value){.text = "", .date_s = question->now_s};
        return true;
    case KEY_SOURCE:
        text = question->source && question->source[0] ? question->source : NULL;
        break;
    case KEY_SECURE:
        text = question->is_secure ? "true" : "false";
        break;
    case KEY_MFA:
        text = "false"; /* an access key is all that a caller shows */
        break;
    case KEY_TAG:
        text = question->tag_cb
                   ? question->tag_cb(question->arg, condition->product, condition->tag)
                   : NULL;
        break;
    }
    return text && parse_value(condition->row->kind, text, false, ret);
}

static bool condition_holds(const struct condition *condition,
                            const struct policy_question *question, bool unknown)
{
    struct value found;
    bool is_one = false;

    if (condition->key == KEY_TAG && question->are_tags_unknown)
        return unknown;
    if (!find_value(condition, question, &found))
        return condition->row->is_negated;
    for (unsigned i = 0; i < condition->value_count && !is_one; i++)
        is_one = value_holds(condition->row, &condition->values[i], &found);
    return is_one != condition->row->is_negated;
}

bool policy_condition_holds(const struct policy_conditions *conditions,
                            const struct policy_question *question, bool unknown)
{
    for (unsigned i = 0; conditions && i < conditions->count; i++)
        if (!condition_holds(&conditions->items[i], question, unknown))
            return false;
    return true;
}

bool policy_condition_asks_tags(const struct policy_conditions *conditions)
{
    for (unsigned i = 0; conditions && i < conditions->count; i++)
        if (conditions->items[i].key == KEY_TAG)
            return true;
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error idiom: functions return 0 or a negative errno; the message is made where the facts
 * are known, gets prefixes on the way up ("open journal d-1: segment 7: checksum ..."), and is
 * logged once, at the top. Library code never logs what it returns.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
    int code;       /* negative errno, 0 when nothing failed */
    char text[480]; /* for a person: what failed, why, what to do; no full stop */
};

/* Fills `err` (NULL is allowed: the text is dropped); `code` must be negative. */
void err_fill(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* err_fill(), with `code` as its value: "return err_set(err, -ENOENT, ...)". A macro, so that
 * readers and analyzers see which value comes back. */
#define err_set(err, code, ...)                                                                    \
    ({                                                                                             \
        int err_code_ = (code);                                                                    \
        err_fill((err), err_code_, __VA_ARGS__);                                                   \
        err_code_;                                                                                 \
    })

/* Puts "prefix: " before the text of a set error and returns its code. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A thread-safe strerror() that needs no buffer: the name text for a positive or negative errno. */
const char *err_name(int code);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: made from the loop's randomness, so that a simulation makes the same ones again. */
#include "base/id.h"

#include <string.h>

#include "base/check.h"

enum { LETTERS_MAX = 32 };

void id_make(const char *prefix, unsigned letters, uint64_t (*random)(void *arg), void *arg,
             char *ret_id)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t used = strlen(prefix);

    check(letters > 0 && letters <= LETTERS_MAX);
    check(used + 1 + letters < ID_SIZE);
    memcpy(ret_id, prefix, used);
    ret_id[used++] = '-';
    for (unsigned i = 0; i < letters; i++)
        ret_id[used++] = alphabet[random(arg) % (sizeof(alphabet) - 1)];
    ret_id[used] = '\0';
}

void id_make_uuid(uint64_t (*random)(void *arg), void *arg, char *ret_uuid)
{
    static const char digits[] = "0123456789ABCDEF";
    static const uint8_t dashes[] = {8, 13, 18, 23};
    uint64_t high = random(arg), low = random(arg);
    unsigned used = 0, dash = 0;

    high = (high & ~UINT64_C(0xf000)) | 0x4000;               /* version 4 */
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62); /* RFC 4122 variant */
    for (unsigned i = 0; i < 32; i++) {
        uint64_t half = i < 16 ? high : low;

        if (dash < sizeof(dashes) && used == dashes[dash]) {
            ret_uuid[used++] = '-';
            dash++;
        }
        ret_uuid[used++] = digits[half >> (60 - i % 16 * 4) & 15];
    }
    ret_uuid[used] = '\0';
}

bool id_is_valid(const char *prefix, const char *text)
{
    size_t length = strlen(prefix);
    const char *at;

    if (strncmp(text, prefix, length) != 0 || text[length] != '-')
        return false;
    text += length + 1;
    for (at = text; *at != '\0'; at++) {
        bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
        bool is_digit = *at >= '0' && *at <= '9';
        if (!is_letter && !is_digit && *at != '-')
            return false;
        if (at - text >= LETTERS_MAX)
            return false;
    }
    return at != text;
}

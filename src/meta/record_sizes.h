/* SPDX-License-Identifier: Apache-2.0 */
/* Room for the texts of records, with the NUL. */
#ifndef META_RECORD_SIZES_H
#define META_RECORD_SIZES_H

/* Names: 128 characters of up to 4 bytes; descriptions: 256. */
enum {
    RECORD_ID_SIZE = 40,
    RECORD_NAME_SIZE = 516,
    RECORD_TEXT_SIZE = 1028,
    RECORD_WORD_SIZE = 64
};

#endif

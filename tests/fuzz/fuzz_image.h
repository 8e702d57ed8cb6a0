/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of ours as an enemy or a rotting disk leaves them: a well-formed set of files, and a script
 * of edits on it. Whole random files would never pass the first magic number.
 *
 * A script: edits, each with an operation of 1 byte and its operands; see enum fuzz_edit. Places
 * are (mark 1, offset 2): marks are the parts that a format is made of (headers, slots, records),
 * so that a fuzzer need not guess where they lie.
 */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include "fuzz_scene.h"

enum {
    FUZZ_FILES_MAX = 48,
    FUZZ_MARKS_MAX = 256,
    FUZZ_DAMAGES_MAX = 128,
    FUZZ_EDITS_MAX = 32,
    FUZZ_FILE_BYTES_MAX = 1 << 20,
};

enum fuzz_edit {
    FUZZ_EDIT_SET,      /* place, length 1, bytes */
    FUZZ_EDIT_FLIP,     /* place, bit 1 */
    FUZZ_EDIT_NUMBER,   /* place, width 1, kind 1: an extreme number, or a small step from it */
    FUZZ_EDIT_ZERO,     /* place, length 2 */
    FUZZ_EDIT_COPY,     /* place, place, length 2: a misdirected write */
    FUZZ_EDIT_CUT,      /* place: the file ends there */
    FUZZ_EDIT_EXTEND,   /* file 1, length 2, value 1 */
    FUZZ_EDIT_REMOVE,   /* file 1 */
    FUZZ_EDIT_RENAME,   /* file 1, length 1, name: in the same folder */
    FUZZ_EDIT_SEAL,     /* mark 1: its checksums are made right: a forgery */
    FUZZ_EDIT_SEAL_ALL, /* from here on each edit is sealed */
    FUZZ_EDIT_COUNT
};

struct fuzz_file {
    char path[128];
    uint8_t *bytes; /* NULL: no such file */
    size_t length;
};

struct fuzz_place {
    unsigned file;
    size_t offset, length;
};

struct fuzz_image {
    struct fuzz_file files[FUZZ_FILES_MAX];
    unsigned file_count;
    struct fuzz_place marks[FUZZ_MARKS_MAX];
    unsigned mark_count;
    struct fuzz_place damages[FUZZ_DAMAGES_MAX]; /* what edits touched */
    unsigned damage_count;
    bool is_forged;   /* a checksum was made right behind an edit */
    bool has_removed; /* a file is gone or has another name */
    /* Makes the checksums of a mark right, within the file's bytes. */
    void (*seal_cb)(struct fuzz_image *image, const struct fuzz_place *mark);
};

/* Reads the files of a folder of the site and of those below it, but those named "disks". */
void fuzz_image_read(struct fuzz_image *image, struct sim_site *site, const char *folder);
void fuzz_image_mark(struct fuzz_image *image, unsigned file, size_t offset, size_t length);
void fuzz_image_copy(struct fuzz_image *image, const struct fuzz_image *from);
void fuzz_image_edit(struct fuzz_image *image, struct bytes_reader *script);
/* Writes them; the folder is made. */
void fuzz_image_write(const struct fuzz_image *image, struct sim_site *site, const char *folder);
void fuzz_image_free(struct fuzz_image *image);
/* Was a byte of that place touched, or is it gone? */
bool fuzz_image_is_damaged(const struct fuzz_image *image, unsigned file, size_t offset,
                           size_t length);
/* The file of that name, or -1. */
int fuzz_image_find(const struct fuzz_image *image, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site's database, changed. Input: 0 and a script of edits (fuzz_image.h) on its pages, whose
 * marks are parts of pages; or 1 and values for columns: table 1, column 1, type 1, length 1 (with
 * the type's high bit times 16), bytes. SQLite is not ours to fuzz; what we take from it is: rows
 * of any type and length.
 *
 * Checked: what opens can be listed, read and written; every text of every record ends.
 *
 * Covers: meta/meta_sqlite.c meta/records.c meta/meta.c meta/schema.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz_image.h"
#include "meta/record_cache.h"

enum { PAGE = 4096, MARK = 256 };

static void put(struct meta *meta, enum record_kind kind, const void *record)
{
    check(meta_begin(meta, NULL) == 0);
    check(meta_put(meta, kind, record, NULL) == 0);
    check(meta_commit(meta, NULL) == 0);
}

static void put_records(struct meta *meta)
{
    static struct disk_record disk = {.id = "d-1", .name = "one", .size_bytes = 1 << 30};
    static struct attachment_record attachment = {.disk_id = "d-1", .instance_id = "i-1"};
    static struct group_record group = {.common = {.id = "pg-1", .name = "g", .term = 1}};
    static struct pair_record pair = {
        .common = {.id = "pair-1", .name = "p", .term = 1, .opened_disks = "d-1 "},
        .group_id = "pg-1",
        .production_disk = "d-1",
        .backup_disk = "d-2",
        .size_bytes = 1 << 30};
    static struct job_record job = {.id = "start/pg-1", .kind = "start", .object = "pg-1"};
    static struct token_record token = {.id = "a/t", .digest = "x", .reply = "{}"};
    static struct tombstone_record tombstone = {.id = "pg-9", .peer = "lyon", .term = 4};

    put(meta, RECORD_DISK, &disk);
    put(meta, RECORD_ATTACHMENT, &attachment);
    put(meta, RECORD_GROUP, &group);
    put(meta, RECORD_PAIR, &pair);
    put(meta, RECORD_JOB, &job);
    put(meta, RECORD_TOKEN, &token);
    put(meta, RECORD_TOMBSTONE, &tombstone);
}

static void make_image(struct fuzz_image *image)
{
    struct fuzz_file *file = &image->files[0];
    struct meta *meta;
    const char *path = fuzz_file("template.db", NULL, 0);
    FILE *stream;

    unlink(path);
    check(record_cache_open(path, &meta, NULL) == 0);
    put_records(meta);
    meta_close(meta);
    stream = fopen(path, "rb");
    file->bytes = malloc(FUZZ_FILE_BYTES_MAX);
    check(stream && file->bytes);
    file->length = fread(file->bytes, 1, FUZZ_FILE_BYTES_MAX, stream);
    fclose(stream);
    snprintf(file->path, sizeof(file->path), "/site.db");
    image->file_count = 1;
    check(file->length >= PAGE && file->length < FUZZ_FILE_BYTES_MAX);
    /* The head of each page, where its cells are counted, and the tail, where they begin. */
    for (size_t page = 0; page < file->length / PAGE && image->mark_count + 3 < FUZZ_MARKS_MAX;
         page++) {
        fuzz_image_mark(image, 0, page * PAGE, MARK);
        fuzz_image_mark(image, 0, (page + 1) * PAGE - MARK, MARK);
        fuzz_image_mark(image, 0, page * PAGE, PAGE);
    }
}

/* A sound database whose rows hold what we never wrote. */
static void change_row(sqlite3 *database, struct bytes_reader *input)
{
    const struct record_type *type =
        record_type((enum record_kind)(bytes_u8(input) % RECORD_KIND_COUNT));
    const struct record_field *field = &type->fields[bytes_u8(input) % type->field_count];
    uint8_t what = bytes_u8(input);
    int length = bytes_u8(input) * (what & 0x80 ? 64 : 1);
    size_t part = (size_t)length < input->left ? (size_t)length : input->left;
    const uint8_t *bytes = bytes_take(input, part);
    char *text = calloc(1, (size_t)length + 8), sql[160];
    sqlite3_stmt *statement;

    check(text);
    for (int at = 0; bytes && part > 0 && at < length; at++)
        text[at] = (char)bytes[(size_t)at % part];
    snprintf(sql, sizeof(sql), "UPDATE \"%s\" SET \"%s\" = ?1", type->table, field->name);
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK) {
        switch (what % 5) {
        case 0:
            sqlite3_bind_text(statement, 1, text, length, SQLITE_TRANSIENT);
            break;
        case 1:
            sqlite3_bind_blob(statement, 1, text, length, SQLITE_TRANSIENT);
            break;
        case 2:
            sqlite3_bind_int64(statement, 1, (sqlite3_int64)get_le64(text));
            break;
        case 3:
            sqlite3_bind_double(statement, 1, (double)get_le64(text) * 1e290);
            break;
        }
        sqlite3_step(statement); /* NULL where it may not be: refused, fine */
        sqlite3_finalize(statement);
    }
    free(text);
}

static void change_rows(const char *path, struct bytes_reader *input)
{
    sqlite3 *database;

    check(sqlite3_open(path, &database) == SQLITE_OK);
    sqlite3_exec(database,
                 "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;"
                 "PRAGMA ignore_check_constraints = ON",
                 NULL, NULL, NULL);
    for (unsigned i = 0; i < FUZZ_EDITS_MAX && input->left > 0; i++)
        change_row(database, input);
    sqlite3_close(database);
}

static void check_record(const struct record_type *type, const uint8_t *record)
{
    for (unsigned i = 0; i < type->field_count; i++)
        if (type->fields[i].kind == FIELD_TEXT)
            check(memchr(record + type->fields[i].offset, 0, type->fields[i].size));
}

static void use(struct meta *meta)
{
    static uint8_t record[1 << 16];

    for (int kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        const struct record_type *type = record_type((enum record_kind)kind);
        void *records = NULL;
        unsigned count = 0;

        if (meta_list(meta, (enum record_kind)kind, NULL, NULL, &records, &count) == 0) {
            for (unsigned i = 0; i < count; i++)
                check_record(type, (uint8_t *)records + (size_t)i * type->size);
            if (count > 0 && meta_get(meta, (enum record_kind)kind,
                                      record_text(&type->fields[0], records), record) == 0)
                check_record(type, record);
        }
        free(records);
    }
    if (meta_begin(meta, NULL) == 0) {
        struct tombstone_record tombstone = {.id = "pg-77", .peer = "lyon"};

        if (meta_put(meta, RECORD_TOMBSTONE, &tombstone, NULL) != 0 || meta_commit(meta, NULL) != 0)
            meta_rollback(meta);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct fuzz_image template;
    struct bytes_reader script = {.at = bytes, .left = length};
    struct err err = {0};
    struct fuzz_image image;
    struct meta *meta;
    char path[256], other[300];
    uint8_t mode;

    fuzz_quiet();
    if (template.file_count == 0)
        make_image(&template);
    fuzz_image_copy(&image, &template);
    mode = bytes_u8(&script);
    if (mode != 1)
        fuzz_image_edit(&image, &script);
    if (image.files[0].bytes) {
        snprintf(path, sizeof(path), "%s",
                 fuzz_file("site.db", image.files[0].bytes, image.files[0].length));
        if (mode == 1)
            change_rows(path, &script);
        if (record_cache_open(path, &meta, &err) == 0) {
            use(meta);
            meta_close(meta);
        } else {
            check(err.text[0]);
        }
        snprintf(other, sizeof(other), "%s-wal", path);
        unlink(other);
        snprintf(other, sizeof(other), "%s-shm", path);
        unlink(other);
        snprintf(other, sizeof(other), "%s-journal", path);
        unlink(other);
    }
    fuzz_image_free(&image);
    return 0;
}

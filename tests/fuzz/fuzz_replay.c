/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main of a fuzz target without libFuzzer: runs the files named, and all files of folders
 * named, in the order of their names. A crash is the failure; the last name printed is the input.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    size_t length;
    long size;

    check(file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0);
    rewind(file);
    bytes = malloc((size_t)size + 1);
    check(bytes);
    length = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(bytes, length);
    free(bytes);
    return 1;
}

static unsigned replay_folder(const char *path)
{
    struct dirent **entries;
    unsigned replayed = 0;
    int count = scandir(path, &entries, NULL, alphasort);

    check(count >= 0);
    for (int i = 0; i < count; i++) {
        char name[1024];

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replayed += replay_file(name);
        free(entries[i]);
    }
    free(entries);
    return replayed;
}

int main(int argc, char **argv)
{
    unsigned replayed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) != 0) {
            fprintf(stderr, "%s: missing\n", argv[i]);
            return 2;
        }
        replayed += S_ISDIR(status.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
    }
    printf("%u inputs\n", replayed);
    return replayed > 0 ? 0 : 2; /* an empty corpus proves nothing */
}

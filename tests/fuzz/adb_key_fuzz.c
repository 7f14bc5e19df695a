/* Any bytes as a key: the text that a host offers to a phone, or the file of our own private key.
 * No text verifies a signature of nobody, and what is taken for a key signs. */
#include "host/shared/adb_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[32];
static int file = -1;

static void make_file(void) {
    file = memfd_create("key", MFD_CLOEXEC);
    if (file < 0) {
        perror("memfd_create");
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void open_file(const uint8_t *data, size_t size) {
    static const uint8_t token[ADB_TOKEN_SIZE] = {1};
    uint8_t signature[ADB_SIGNATURE_SIZE];
    struct adb_key key;
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) {
        perror("file in memory");
        abort();
    }
    if (adb_key_open(&key, path, "fuzz@here") == STATUS_OK) {
        struct bytes text = {(const uint8_t *)key.text, 0};
        while (key.text[text.size] != '\0') {
            text.size += 1;
        }
        check(adb_key_sign(&key, token, signature) == STATUS_OK);
        check(adb_key_verify(text, token, (struct bytes){signature, sizeof signature}) ==
              STATUS_OK);
        adb_key_close(&key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t token[ADB_TOKEN_SIZE] = {2};
    static const uint8_t nobodys[ADB_SIGNATURE_SIZE] = {3};
    if (file < 0) {
        make_file();
    }
    if (size > 1 && data[0] == 'F') {
        open_file(data + 1, size - 1);
    } else if (size > 1) {
        check(adb_key_verify((struct bytes){data + 1, size - 1}, token,
                             (struct bytes){nobodys, sizeof nobodys}) != STATUS_OK);
    }
    return 0;
}

/* replay.c - a fuzzer's corpus once, without libFuzzer: for `make coverage`. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* libFuzzer's own; nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) {
    (void)data;
    (void)max;
    return size;
}

int main(int count, char **paths) {
    static uint8_t data[1 << 20];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) {
            perror(paths[i]);
            return 1;
        }
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}

// Loads a side module before the allocator was ever used; the built guests/side must be granted as `/side`.
// Then it allocates much and looks whether the allocator left the pages of the side module alone.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("nodule:process/1"), import_name(#name)))

IMPORT(dlopen) uint32_t process_dlopen(const char *path, uint32_t path_len, uint32_t flags, uint32_t *handle);
IMPORT(dlsym) uint32_t process_dlsym(uint32_t handle, const char *name, uint32_t name_len, uint32_t *result);

enum { RTLD_NOW = 2, BLOCKS = 200, BLOCK_BYTES = 70000 };

static uint32_t find(uint32_t handle, const char *name) {
    static uint32_t result[2];
    uint32_t code = process_dlsym(handle, name, (uint32_t)strlen(name), result);
    if (code != 0) {
        printf("dlsym %s: error %u\n", name, code);
        exit(1);
    }
    return result[1];
}

// No argument of the program: libc would allocate memory for it.
static const char path[] = "/side/numbers.wasm";

int main(void) {
    static uint32_t handle;
    size_t pages = __builtin_wasm_memory_size(0);
    uint32_t code = process_dlopen(path, sizeof path - 1, RTLD_NOW, &handle);
    if (code != 0) {
        printf("dlopen: error %u\n", code);
        return 1;
    }
    int grown = __builtin_wasm_memory_size(0) > pages;
    int *scale = (int *)(uintptr_t)find(handle, "numbers_scale");
    for (int block = 0; block < BLOCKS; block++) memset(malloc(BLOCK_BYTES), 0xff, BLOCK_BYTES);
    int (*scaled)(int) = (int (*)(int))(uintptr_t)find(handle, "numbers_scaled");
    printf("grown %d scale %d scaled %d\n", grown, *scale, scaled(3));
    return 0;
}

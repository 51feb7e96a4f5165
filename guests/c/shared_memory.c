/* Shared memory from C: a window, C11 atomics in it, wait and notify, the imports for cells. */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodule.h"

NODULE_DECLARE_ABI()

enum { BYTES = 100000, BLOCKS = 50, BLOCK_BYTES = 70000, NOT_GROWABLE = -1 };

int main(void) {
    uint32_t handle, address, number;
    uint64_t value;
    /* The window lies behind the first memory of the allocator. */
    printf("create %u\n", nodule_shared_memory_create(BYTES, (uint64_t)NOT_GROWABLE, &handle));
    printf("map %u\n", nodule_shared_memory_map(handle, &address));
    printf("aligned %d\n", address % 65536 == 0);
    for (int block = 0; block < BLOCKS; block++) memset(malloc(BLOCK_BYTES), 0xff, BLOCK_BYTES);

    _Atomic int32_t *cells = (_Atomic int32_t *)(uintptr_t)address;
    printf("zero %d\n", atomic_load(&cells[BYTES / 4 - 1]));
    atomic_store(&cells[1], 40);
    printf("add %d\n", atomic_fetch_add(&cells[1], 2));
    int32_t expected = 42;
    printf("exchange %d\n", atomic_compare_exchange_strong(&cells[1], &expected, -1));
    printf("load %u", nodule_shared_memory_load(address + 4, 32, &value));
    printf(" %llu\n", (unsigned long long)value);
    printf("rmw %u", nodule_shared_memory_rmw(address + 4, 32, NODULE_ATOMIC_AND, 12, &value));
    printf(" %llu %d\n", (unsigned long long)value, cells[1]);
    printf("store %u %d\n", nodule_shared_memory_store(address + 6, 16, 1), (cells[1]));

    printf("not equal %u", nodule_shared_memory_wait(address + 4, 32, 5, 1e9, &number));
    printf(" %d\n", number == NODULE_WAIT_NOT_EQUAL);
    printf("timed out %u", nodule_shared_memory_wait(address, 64, (uint64_t)(uint32_t)cells[1] << 32, 2.5, &number));
    printf(" %d\n", number == NODULE_WAIT_TIMED_OUT);
    printf("notify %u", nodule_shared_memory_notify(address, 1, &number));
    printf(" %u\n", number);
    static int32_t own;
    printf("own memory %d\n",
           nodule_shared_memory_wait((uint32_t)(uintptr_t)&own, 32, 0, 0, &number) == NODULE_ERR_INVALID_ARG_TYPE);

    uint32_t wait, count;
    struct nodule_event event;
    nodule_shared_memory_wait_async(address, 32, 0, 1, &number, &wait);
    printf("pending %d\n", number == NODULE_WAIT_PENDING);
    printf("wait %u\n", nodule_event_loop_wait(&event, 1, -1, 1, &count));
    printf("done %d %d %d\n", event.kind == NODULE_EVENT_WAIT_DONE, event.handle == wait,
           event.args[0] == NODULE_WAIT_TIMED_OUT);
    printf("close %u\n", nodule_event_loop_close(wait));

    printf("unmap %u %d\n", nodule_shared_memory_unmap(handle), cells[1]);
    printf("map %u", nodule_shared_memory_map(handle, &number));
    printf(" %d %d\n", number == address, cells[1]);
    printf("close %u %d\n", nodule_event_loop_close(handle), cells[1]);
    return 0;
}

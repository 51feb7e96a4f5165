/* The imports from C, by the generated header: attributes, error records, event loop, exit. */

#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "nodule.h"

NODULE_DECLARE_ABI()

static uint8_t buffer[4096];
static uint32_t len;

static uint32_t get(const char *name, uint32_t cap) {
    return nodule_process_get((const uint8_t *)name, strlen(name), buffer, cap, &len);
}

int main(void) {
    uint32_t result = get("platform", sizeof buffer);
    /* A CBOR text: one byte of head for up to 23 bytes. */
    printf("platform %u %.*s\n", result, (int)len - 1, (const char *)buffer + 1);
    printf("too small %d\n", get("platform", 2) == NODULE_ERANGE);
    printf("no attribute %d\n", get("nothing", sizeof buffer) == NODULE_ENOENT);
    result = nodule_error_last(buffer, sizeof buffer, &len);
    printf("record %u %d\n", result, memmem(buffer, len, "ENOENT", 6) != NULL);

    uint32_t timer;
    uint32_t count;
    struct nodule_event event;
    printf("set %u\n", nodule_timers_set(5, 0, &timer));
    printf("wait %u\n", nodule_event_loop_wait(&event, 1, -1, 1, &count));
    printf("event %d %d %u\n", event.kind == NODULE_EVENT_TIMER, event.handle == timer, count);
    printf("closed %d\n", nodule_event_loop_close(timer) == NODULE_ERR_HANDLE_CLOSED);
    printf("idle %u\n", nodule_event_loop_wait(&event, 1, -1, 0, &count));
    printf("count %u\n", count);
    fflush(stdout);
    nodule_process_exit(300);
}

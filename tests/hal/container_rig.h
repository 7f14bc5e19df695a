/* container_rig.h - runs programs in containers of a folder made for the test. */
#ifndef TESTS_HAL_CONTAINER_RIG_H
#define TESTS_HAL_CONTAINER_RIG_H

#include "hal/linux/bubblewrap.h"

enum { CONTAINER_SLOTS = 3, MEBIBYTE = 1024 * 1024 };

extern char container_folder[64];
extern struct bubblewrap container_wrap;
extern char container_output[65536]; /* what the last one printed, with a NUL */
extern size_t container_output_bytes;

struct bubblewrap_config container_config(void);

/* Set-up and teardown of every test; says so when containers cannot run here. */
int container_rig_open(void **unused);
int container_rig_close(void **unused);

/* An order with limits that the tests know: 256 MiB, 32 processes, 64 files, 10 s, files of 4 MiB,
 * a /tmp of 8 MiB. */
struct hal_container_order container_shell(const char *const command[4]);
void container_begin(uint32_t slot, struct hal_container_order order, int *reader);
struct hal_container_end container_finish(uint32_t slot, int reader);
struct hal_container_end container_run(const char *script);
void container_assert_end(struct hal_container_end end, enum hal_container_outcome outcome,
                          int code);

int container_listen(const char *path, size_t size); /* a Unix socket */
uint64_t container_now_ms(void);
void container_pause_ms(long ms);

#endif

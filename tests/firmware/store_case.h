/* store_case.h - what the tests of the store do again and again, on one rig that they share. */
#ifndef TESTS_FIRMWARE_STORE_CASE_H
#define TESTS_FIRMWARE_STORE_CASE_H

#include "tests/firmware/store_rig.h"

enum { STORE_CASE_BYTES, STORE_CASE_PAGES, STORE_CASE_FILE }; /* rows of rig_geometries */

extern struct rig store_case;
extern const struct store_key store_case_phone;
extern const struct store_key store_case_process;

void store_case_start(uint32_t geometry);
/* Fails the test when the rig has seen anything wrong. */
void store_case_good(void);
/* Appends a text to the open group, beside the rig's model. */
void store_case_put(struct store_key key, const char *text);
/* Commits what is open, and waits for it. */
void store_case_make_durable(void);
enum status store_case_get(struct store_key key, char text[64]);
void store_case_reads(struct store_key key, const char *expected);
/* Mounts what is on flash, whatever a test has done to it. */
void store_case_mount_again(void);
/* Groups of two records through the model, all acknowledged. */
void store_case_commit_many(uint32_t groups);

#endif

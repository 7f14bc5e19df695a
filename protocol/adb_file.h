/* adb_file.h - the file service of ADB (`sync:`), for both ends of the stream.
 *
 * Source: AOSP file_sync_protocol.h, client/file_sync_client.cpp, daemon/file_sync_service.cpp.
 * Everything is little-endian. A message is a fixed part, whose first word is its id, and for some
 * ids a variable part (a path, file content, a name, an error text). The reader keeps the fixed
 * part and passes the variable part on in pieces, so it needs no buffer. */
#ifndef PROTOCOL_ADB_FILE_H
#define PROTOCOL_ADB_FILE_H

#include "hal/base.h"

#define ADB_FILE_STAT 0x54415453u    /* follow no link; v1 answer */
#define ADB_FILE_STAT_V2 0x32415453u /* follow links; v2 answer */
#define ADB_FILE_LSTAT_V2 0x3254534cu
#define ADB_FILE_LIST 0x5453494cu
#define ADB_FILE_LIST_V2 0x3253494cu
#define ADB_FILE_ENTRY 0x544e4544u    /* DENT */
#define ADB_FILE_ENTRY_V2 0x32544e44u /* DNT2 */
#define ADB_FILE_SEND 0x444e4553u
#define ADB_FILE_RECV 0x56434552u
#define ADB_FILE_SEND_V2 0x32444e53u /* a path; then a second message with mode and flags */
#define ADB_FILE_RECV_V2 0x32564352u /* the same with flags */
#define ADB_FILE_DATA 0x41544144u
#define ADB_FILE_DONE 0x454e4f44u
#define ADB_FILE_OKAY 0x59414b4fu
#define ADB_FILE_FAIL 0x4c494146u
#define ADB_FILE_QUIT 0x54495551u

enum {
    ADB_FILE_HEADER_SIZE = 8,
    ADB_FILE_STAT_SIZE = 16,
    ADB_FILE_STAT_V2_SIZE = 72,
    ADB_FILE_ENTRY_SIZE = 20,
    ADB_FILE_ENTRY_V2_SIZE = 76,
    ADB_FILE_PATH_MAX = 1024,
    ADB_FILE_DATA_MAX = 64 * 1024
};

/* Flags of SEND_V2 and RECV_V2: how content is packed, and whether it is to be kept. */
#define ADB_FILE_BROTLI 1u
#define ADB_FILE_LZ4 2u
#define ADB_FILE_ZSTD 4u
#define ADB_FILE_DRY_RUN 0x80000000u

enum adb_file_side {
    ADB_FILE_REQUESTS, /* what a device reads */
    ADB_FILE_ANSWERS   /* what a host reads */
};

struct adb_file_reader {
    enum adb_file_side side;
    uint32_t list_version; /* 0; 1 or 2 while a host reads a listing: DONE is then an entry */
    uint8_t fixed[ADB_FILE_ENTRY_V2_SIZE];
    uint32_t fixed_size;
    uint32_t left; /* bytes of the variable part still to come */
    bool is_inside;
    uint32_t awaited; /* SEND_V2 or RECV_V2: its path has come, its settings have not; else 0 */
};

/* A piece of one message. A message without variable part is one piece without data. */
struct adb_file_piece {
    uint32_t id;
    uint32_t value;     /* second word: a length, DONE's modification time, v1's mode, v2's error,
                         * of settings SEND_V2's mode or RECV_V2's flags */
    uint32_t flags;     /* of settings: ADB_FILE_BROTLI, ... */
    bool is_settings;   /* the second message of SEND_V2 or RECV_V2 */
    bool is_first;      /* begins the message */
    bool is_last;       /* ends it */
    struct bytes fixed; /* the fixed part; valid until the next call */
    struct bytes data;  /* a view into the input */
};

struct adb_file_stat {
    uint32_t error; /* Linux errno; v2 only */
    uint32_t mode;  /* 0 in v1: there is no such file */
    uint32_t links, user, group;
    uint64_t device, inode, size;
    int64_t accessed_s, modified_s, changed_s;
};

void adb_file_begin(struct adb_file_reader *reader, enum adb_file_side side);

/* Takes the next piece from the front of `input`, which moves past it. MORE: all of `input` was
 * taken and no piece came of it. MALFORMED: an id this side does not expect now, or a variable part
 * above its limit (paths and names 1024, data and error texts 64 KiB); the stream is then of no
 * more use. */
must_check enum status adb_file_next(struct adb_file_reader *reader, struct bytes *input,
                                     struct adb_file_piece *piece);

void adb_file_write_header(uint8_t target[ADB_FILE_HEADER_SIZE], uint32_t id, uint32_t value);

/* v1 answers. Sizes and times are cut to 32 bits, as on a real device. */
void adb_file_write_stat(uint8_t target[ADB_FILE_STAT_SIZE], const struct adb_file_stat *stat);
void adb_file_write_entry(uint8_t target[ADB_FILE_ENTRY_SIZE], uint32_t id,
                          const struct adb_file_stat *stat, uint32_t name_size);
/* v2 answers; `id` is STAT_V2 or LSTAT_V2, ENTRY_V2 or DONE. */
void adb_file_write_stat_v2(uint8_t target[ADB_FILE_STAT_V2_SIZE], uint32_t id,
                            const struct adb_file_stat *stat);
void adb_file_write_entry_v2(uint8_t target[ADB_FILE_ENTRY_V2_SIZE], uint32_t id,
                             const struct adb_file_stat *stat, uint32_t name_size);

/* Reads the fixed part of a STAT, STAT_V2, LSTAT_V2, ENTRY or ENTRY_V2 piece. */
void adb_file_read_stat(const struct adb_file_piece *piece, struct adb_file_stat *stat);

#endif

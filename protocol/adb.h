/* adb.h - messages of the Android Debug Bridge: header, limits, banner and features.
 *
 * Source: AOSP packages/modules/adb, docs/dev/protocol.md, types.h, adb.h, adb.cpp. A message is a
 * header of six little-endian words and a payload. Nothing here keeps a pointer. */
#ifndef PROTOCOL_ADB_H
#define PROTOCOL_ADB_H

#include "hal/base.h"

#define ADB_SYNC 0x434e5953u
#define ADB_CNXN 0x4e584e43u
#define ADB_OPEN 0x4e45504fu
#define ADB_OKAY 0x59414b4fu
#define ADB_CLSE 0x45534c43u
#define ADB_WRTE 0x45545257u
#define ADB_AUTH 0x48545541u
#define ADB_STLS 0x534c5453u

#define ADB_VERSION_MIN 0x01000000u
#define ADB_VERSION 0x01000001u /* from here on payloads carry no checksum */

enum {
    ADB_HEADER_SIZE = 24,
    ADB_HANDSHAKE_MAX = 4096,     /* payload of CNXN and AUTH */
    ADB_PAYLOAD_V1 = 4096,        /* what every peer takes */
    ADB_PAYLOAD_MAX = 1024 * 1024 /* what the newest takes */
};

/* arg0 of AUTH */
enum { ADB_AUTH_TOKEN = 1, ADB_AUTH_SIGNATURE = 2, ADB_AUTH_PUBLIC_KEY = 3 };
enum {
    ADB_TOKEN_SIZE = 20,
    ADB_SIGNATURE_SIZE = 256,
    ADB_PUBLIC_KEY_SIZE = 1024 /* room for the text, its comment and its NUL */
};

struct adb_message {
    uint32_t command;
    uint32_t arg0;
    uint32_t arg1;
    uint32_t payload_size;
    uint32_t checksum; /* sum of the payload's bytes; 0 once both sides are at ADB_VERSION */
};

/* Reads a header. MORE: fewer than ADB_HEADER_SIZE bytes. MALFORMED: wrong magic, or a payload
 * above `payload_max`. Unknown commands are OK: whoever reads on must skip their payload. The
 * checksum is not judged, as in AOSP: its receivers stopped looking at it. */
must_check enum status adb_decode(struct bytes input, uint32_t payload_max,
                                  struct adb_message *message);

void adb_encode(uint8_t target[ADB_HEADER_SIZE], const struct adb_message *message);

/* The byte sum a peer below ADB_VERSION expects. */
uint32_t adb_checksum(struct bytes payload);

/* What both sides can do; only what both name may be used. */
enum {
    ADB_FEATURE_SHELL_V2 = 1 << 0,
    ADB_FEATURE_CMD = 1 << 1,
    ADB_FEATURE_STAT_V2 = 1 << 2,
    ADB_FEATURE_LS_V2 = 1 << 3,
    ADB_FEATURE_FIXED_PUSH_MKDIR = 1 << 4,
    ADB_FEATURE_SENDRECV_V2 = 1 << 5,
    ADB_FEATURE_DELAYED_ACK = 1 << 6,
    ADB_FEATURE_FIXED_PUSH_SYMLINK_TIMESTAMP = 1 << 7,
    ADB_FEATURE_APEX = 1 << 8,
    ADB_FEATURE_ABB = 1 << 9,
    ADB_FEATURE_ABB_EXEC = 1 << 10,
    ADB_FEATURE_REMOUNT_SHELL = 1 << 11,
    ADB_FEATURE_TRACK_APP = 1 << 12,
    ADB_FEATURE_SENDRECV_V2_BROTLI = 1 << 13,
    ADB_FEATURE_SENDRECV_V2_LZ4 = 1 << 14,
    ADB_FEATURE_SENDRECV_V2_ZSTD = 1 << 15,
    ADB_FEATURE_SENDRECV_V2_DRY_RUN_SEND = 1 << 16,
    ADB_FEATURE_DEVRAW = 1 << 17,
    ADB_FEATURE_APP_INFO = 1 << 18,
    /* What a client and a phone agree on between themselves, over streams that only pass through:
     * a host that serves clients names all of it. */
    ADB_FEATURES_PASSED_ON = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD | ADB_FEATURE_STAT_V2 |
                             ADB_FEATURE_LS_V2 | ADB_FEATURE_FIXED_PUSH_MKDIR |
                             ADB_FEATURE_SENDRECV_V2 | ADB_FEATURE_FIXED_PUSH_SYMLINK_TIMESTAMP |
                             ADB_FEATURE_APEX | ADB_FEATURE_ABB | ADB_FEATURE_ABB_EXEC |
                             ADB_FEATURE_REMOUNT_SHELL | ADB_FEATURE_TRACK_APP |
                             ADB_FEATURE_SENDRECV_V2_BROTLI | ADB_FEATURE_SENDRECV_V2_LZ4 |
                             ADB_FEATURE_SENDRECV_V2_ZSTD | ADB_FEATURE_SENDRECV_V2_DRY_RUN_SEND |
                             ADB_FEATURE_DEVRAW | ADB_FEATURE_APP_INFO
};

enum adb_peer {
    ADB_PEER_HOST, /* also every type we do not know, as in AOSP */
    ADB_PEER_DEVICE,
    ADB_PEER_BOOTLOADER,
    ADB_PEER_RECOVERY,
    ADB_PEER_SIDELOAD,
    ADB_PEER_RESCUE
};

/* Views into the payload it was read from. */
struct adb_banner {
    enum adb_peer peer;
    struct bytes product; /* ro.product.name */
    struct bytes model;
    struct bytes device;
    unsigned features;          /* ADB_FEATURE_* */
    struct bytes features_text; /* as read: also those we do not know; not written */
};

/* Reads CNXN's payload: `type:serial:name=value;name=value;...`. Never fails: what is missing is
 * empty, what is unknown is skipped (AOSP parse_banner). */
void adb_banner_read(struct bytes payload, struct adb_banner *banner);

/* Writes CNXN's payload without a NUL. FULL: it does not fit into `capacity`. A host's banner has
 * features only. */
must_check enum status adb_banner_write(const struct adb_banner *banner, uint8_t *target,
                                        size_t capacity, size_t *size);

/* Writes the features' names with commas between them, as far as they fit; gives the size. */
size_t adb_features_write(unsigned features, uint8_t *target, size_t capacity);

#endif

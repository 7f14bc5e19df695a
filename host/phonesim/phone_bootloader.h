/* phone_bootloader.h - the bootloader of an emulated phone: fastboot packets in, answers out.
 *
 * A carrier gives each command as one packet, and the data of a download as it comes; it takes one
 * answer after the other. What is flashed is kept in files `FOLDER/SERIAL.PARTITION`, holes and
 * all, so that a test can compare them. As real ones, it is strict: partitions that have slots are
 * only known with one, and a download that is broken off leaves it waiting for the rest until its
 * port is reset.
 *
 * Faults (phone_fault.h) hit a command by its text, the middle of a download as `data`, and its
 * answer as `data-end`: fail (FAIL), hang (no answer any more), drop (leaves the bus), stall (halts
 * its endpoints), garbage (an answer cut to two letters), slow. */
#ifndef HOST_PHONESIM_PHONE_BOOTLOADER_H
#define HOST_PHONESIM_PHONE_BOOTLOADER_H

#include "host/phonesim/phone_fault.h"
#include "protocol/fastboot.h"

enum { PHONE_FOLDER_SIZE = 160, PHONE_DOWNLOAD_USUAL = 16 << 20 };

struct phone_bootloader_options {
    char folder[PHONE_FOLDER_SIZE]; /* "": it has no bootloader, each reboot is a plain one */
    uint32_t download_bytes;        /* max-download-size; 0: PHONE_DOWNLOAD_USUAL */
    bool has_no_serial;             /* on the bus; `getvar:serialno` knows it */
};

enum phone_boot { PHONE_BOOT_ANDROID, PHONE_BOOT_BOOTLOADER };

struct phone_bootloader {
    const struct phone_bootloader_options *options;
    const struct phone_faults *faults;
    const char *serial;
    uint64_t random;
    char slot;                        /* the active one: 'a' or 'b' */
    bool is_hung;                     /* from here on by a fault: no answer */
    bool is_stalled;                  /* by a fault: its endpoints are halted */
    bool is_leaving;                  /* once the answer is taken */
    enum phone_boot boots;            /* then */
    enum phone_fault_kind data_fault; /* of the middle of this download */
    uint32_t data_left;               /* of the download under way */
    uint32_t data_bytes;              /* of the newest one; 0: none */
    int download;                     /* its file; -1: none */
    uint32_t variable;     /* `getvar:all`: the next to list, from 1; 0: it is not asked for */
    uint64_t answer_ms;    /* not before */
    uint32_t answer_bytes; /* 0: none */
    uint8_t answer[FASTBOOT_RESPONSE_MAX];
};

void phone_bootloader_init(struct phone_bootloader *bootloader,
                           const struct phone_bootloader_options *options,
                           const struct phone_faults *faults, const char *serial);
void phone_bootloader_close(struct phone_bootloader *bootloader);

/* Its port was reset, or it was plugged in: what was under way is forgotten. */
void phone_bootloader_reset(struct phone_bootloader *bootloader);

/* Takes the data of a download; returns how many bytes it is. 0: none is awaited now. */
size_t phone_bootloader_data(struct phone_bootloader *bootloader, struct bytes data,
                             uint64_t now_ms);
void phone_bootloader_command(struct phone_bootloader *bootloader, struct bytes packet,
                              uint64_t now_ms);

/* The next answer, valid until the next call; empty: none now. */
struct bytes phone_bootloader_answer(const struct phone_bootloader *bootloader, uint64_t now_ms);
/* It was taken by the host. */
void phone_bootloader_answered(struct phone_bootloader *bootloader);

#endif

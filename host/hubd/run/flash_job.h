/* flash_job.h - one phone that is being flashed, and what the files of the `flash` action share:
 * what people see of it, how it fails, and its images. Internal to executor_flash.h. */
#ifndef HOST_HUBD_FLASH_JOB_H
#define HOST_HUBD_FLASH_JOB_H

#include "host/hubd/run/executor_internal.h"
#include "host/hubd/run/flash_image.h"
#include "host/hubd/run/flash_manifest.h"

enum { FLASH_JOB_ARGUMENT_BYTES = 64, FLASH_JOB_TEXT_BYTES = 96 };

enum flash_step {
    FLASH_CHECK,
    FLASH_LEAVE,  /* Android is asked for its bootloader */
    FLASH_ARRIVE, /* the bootloader is awaited in the same slot */
    FLASH_PRODUCT,
    FLASH_LIMIT,
    FLASH_ACTIVE,   /* which slot is active? */
    FLASH_HAS_SLOT, /* has this partition slots? */
    FLASH_ERASE,
    FLASH_DOWNLOAD,
    FLASH_WRITE,
    FLASH_ACTIVATE,
    FLASH_REBOOT,
    FLASH_RETURN, /* Android is awaited */
    FLASH_LOST,   /* the core is to be told */
    FLASH_STEP_COUNT
};

struct flash_job {
    struct attempt *attempt;                        /* NULL: free */
    struct phone_line *line;                        /* in its bootloader */
    struct phone_stream *stream;                    /* of the reboot; NULL: none */
    uint64_t total_bytes, hashed_bytes, sent_bytes; /* of all images */
    uint64_t part_bytes;                            /* that went out of this one */
    uint64_t began_ms, busy_ms;                     /* of the download; of all */
    enum flash_step step;
    int folder; /* -1: none */
    uint32_t part;
    uint32_t pass; /* of a partition that is written to both slots */
    uint32_t limit;
    bool is_waiting; /* a command is under way */
    bool is_away;
    bool is_image_open;
    char active; /* slot; 0: it has none */
    struct flash_image image;
    struct flash_identity identities[FLASH_STEPS_MAX];
    struct flash_manifest manifest;
    char partition[FLASH_PARTITION_SIZE + 2];
    char argument[FLASH_JOB_ARGUMENT_BYTES];
    char text[FLASH_JOB_TEXT_BYTES];
    char reason[HUB_REASON_MAX + 1]; /* LOST */
};

const struct flash_part *flash_job_part(const struct flash_job *job);
uint64_t flash_job_now(const struct flash_job *job);

/* What it does now, for people. */
__attribute__((format(printf, 2, 3))) void flash_job_say(struct flash_job *job, const char *format,
                                                         ...);
/* A line of the attempt's output. */
void flash_job_note(struct flash_job *job, const char *line);
uint64_t flash_job_rate(uint64_t bytes, uint64_t ms); /* MB/s */
uint64_t flash_job_sending_ms(const struct flash_job *job);
void flash_job_show_progress(struct flash_job *job);

/* The attempt fails, before or after something was written. */
void flash_job_refuse(struct flash_job *job, enum record_category category, const char *code,
                      const char *what, const char *why);
/* The phone is lost in its bootloader: the core is told in the next step. */
void flash_job_lose(struct flash_job *job, const char *why);

/* False: it failed, and the job is over. */
must_check bool flash_job_open_image(struct flash_job *job, const struct flash_part *part);
void flash_job_close_image(struct flash_job *job);
/* Hashes a slice of the images. False: nothing more to do now. */
must_check bool flash_job_check_some(struct flash_job *job);

#endif

/* record.h - the one form of every durable fact: the after-image of one object, and the event that
 * caused it. The same bytes are the state on flash, the event a reader sees and the message to
 * upstream. The schema is protocol/records.cddl; this file is its C side.
 *
 * Texts and bytes in an image are views: into the caller's values when writing, into the record's
 * own bytes when reading. A record's sequence number is not inside it: its place in the log, or in
 * a sync message, gives it. */
#ifndef PROTOCOL_RECORD_H
#define PROTOCOL_RECORD_H

#include "protocol/cbor.h"

enum {
    RECORD_ID_MAX = 64,         /* bytes of a hub id, phone id, slot, name or code */
    RECORD_TEXT_MAX = 1024,     /* bytes of a message, url or short free text */
    RECORD_PAYLOAD_MAX = 32768, /* bytes of raw JSON a caller gave, or of captured output */
    RECORD_DIGEST_BYTES = 16,
    RECORD_CHAIN_BYTES = 8,
    RECORD_BOOTS_MAX = 8,    /* boots whose clock offset the hub remembers */
    RECORD_FAILED_MAX = 2,   /* failures on one phone in a row, counted up to here */
    RECORD_NUMBER_BITS = 40, /* of a number of a process, phone or key, without its epoch */
};

/* What an object is. The number is on flash and on the wire: never reuse one. */
enum record_kind {
    RECORD_HUB,     /* the hub itself: counters, boots */
    RECORD_PHONE,   /* path [phone number] */
    RECORD_REQUEST, /* path [process number]: what the caller asked, never changed */
    RECORD_PROCESS, /* path [process number] */
    RECORD_ITEM,    /* path [process number, item number from 1] */
    RECORD_ATTEMPT, /* path [process number, item number, attempt number] */
    RECORD_KEY,     /* path [key number]: an idempotency key whose process was evicted */
    RECORD_ANSWER,  /* path [command number]: what became of an upstream command */
    RECORD_KIND_COUNT
};

const char *record_kind_name(enum record_kind kind);

/* What happened. EVENT(number, name): the name is the `type` that readers of events see. */
#define RECORD_EVENTS(EVENT)                                                                       \
    EVENT(ACCEPTED, "accepted")                                                                    \
    EVENT(PLANNED, "planned")                                                                      \
    EVENT(DUE, "due")                                                                              \
    EVENT(LEASED, "leased")                                                                        \
    EVENT(STARTED, "started")                                                                      \
    EVENT(RETURNED, "returned")                                                                    \
    EVENT(SUCCEEDED, "succeeded")                                                                  \
    EVENT(FAILED, "failed")                                                                        \
    EVENT(RETRY_SCHEDULED, "retry_scheduled")                                                      \
    EVENT(STOP_REQUESTED, "stop_requested")                                                        \
    EVENT(SUSPENDED, "suspended")                                                                  \
    EVENT(RESUMED, "resumed")                                                                      \
    EVENT(SETTLED, "settled")                                                                      \
    EVENT(CANCEL_REQUESTED, "cancel_requested")                                                    \
    EVENT(CANCELED, "cancelled")                                                                   \
    EVENT(FINISHED, "finished")                                                                    \
    EVENT(RETRIED, "retried")                                                                      \
    EVENT(WITHDRAWN, "withdrawn")                                                                  \
    EVENT(BOOTED, "booted")                                                                        \
    EVENT(CLOCK_SET, "clock_set")                                                                  \
    EVENT(PHONE_STATE, "phone_state")                                                              \
    EVENT(EVICTED, "evicted")                                                                      \
    EVENT(ATTEMPT_ENDED, "attempt_ended")                                                          \
    EVENT(STEP, "step")                                                                            \
    EVENT(COUNTERS, "counters")                                                                    \
    EVENT(FIRST_DEVICE, "first_device")                                                            \
    EVENT(GAVE_UP, "gave_up")                                                                      \
    EVENT(ANSWERED, "answered")                                                                    \
    EVENT(GRANTED, "granted")                                                                      \
    EVENT(RECONCILED, "reconciled")

enum record_event {
#define EVENT(name, text) RECORD_##name##_EVENT,
    RECORD_EVENTS(EVENT)
#undef EVENT
        RECORD_EVENT_COUNT
};

const char *record_event_name(enum record_event event);

enum {
    RECORD_MONO_BITS = 40, /* 34 years of one boot */
    RECORD_BOOT_BITS = 24, /* the machine starts twice a minute for 15 years */
    RECORD_WALL_BITS = 44, /* to the year 2527 */
};
#define RECORD_MONO_MAX ((UINT64_C(1) << RECORD_MONO_BITS) - 1)
#define RECORD_BOOT_MAX ((UINT64_C(1) << RECORD_BOOT_BITS) - 1)
#define RECORD_WALL_MAX ((UINT64_C(1) << RECORD_WALL_BITS) - 1)

/* A moment (SPEC.md section 3): boot 0 means never. Made by record_time_of(). A full hub holds a
 * million of them in RAM: hence the bits. */
struct record_time {
    __extension__ uint64_t mono_ms : RECORD_MONO_BITS; /* CLOCK_BOOTTIME of that boot */
    __extension__ uint64_t boot : RECORD_BOOT_BITS;
    __extension__ uint64_t wall_ms : RECORD_WALL_BITS; /* since 1970-01-01 UTC; 0: not known */
    __extension__ uint64_t quality : 2; /* of wall_ms: 0 none, 1 clock chip, 2 synchronised */
};
_Static_assert(sizeof(struct record_time) == 16, "what a large hub's memory is counted by");

/* What is larger than a field may hold becomes the largest that it holds. */
static inline struct record_time record_time_of(uint64_t boot, uint64_t mono_ms, uint64_t wall_ms,
                                                unsigned quality) {
    uint64_t mono = mono_ms < RECORD_MONO_MAX ? mono_ms : RECORD_MONO_MAX;
    uint64_t number = boot < RECORD_BOOT_MAX ? boot : RECORD_BOOT_MAX;
    uint64_t wall = wall_ms < RECORD_WALL_MAX ? wall_ms : RECORD_WALL_MAX;
    return (struct record_time){.mono_ms = mono & RECORD_MONO_MAX,
                                .boot = number & RECORD_BOOT_MAX,
                                .wall_ms = wall & RECORD_WALL_MAX,
                                .quality = quality & 3u};
}

struct record_header {
    enum record_kind kind;
    enum record_event event;
    uint8_t path_count;
    uint64_t path[3];
    uint64_t revision; /* dense per process from 1, over all its objects; per object elsewhere */
    uint8_t status;    /* row of SPEC.md section 3 (1..11) after this transition; 0: no process */
    struct record_time time;
    struct bytes
        time_bytes; /* for writing: `time` as record_put_time() has it; empty: not at hand */
};

enum { RECORD_TIME_BYTES = 45 }; /* of an encoded time, at most */

enum record_routing { RECORD_DIRECT, RECORD_QUEUE, RECORD_GROUP, RECORD_ROUTING_COUNT };
enum record_mode { RECORD_MANUAL, RECORD_UNATTENDED, RECORD_MODE_COUNT };

/* Which item of upstream's a part runs (SPEC.md section 8). */
struct record_origin {
    uint32_t upstream_epoch;
    uint64_t process; /* upstream's number, from 1; 0: the process is the hub's own */
    uint32_t generation;
    uint32_t item; /* number in that process, from 1 */
};

/* Raw JSON members hold the caller's text as it came, already validated; empty: absent. */
struct record_request {
    struct bytes process_type;
    struct bytes request_id; /* empty: null */
    struct bytes system;     /* requested_by */
    struct bytes user;       /* empty: null */
    struct bytes target;     /* raw JSON object */
    struct bytes inputs;     /* raw JSON */
    struct bytes callback;   /* raw JSON object or empty */
    struct bytes metadata;   /* raw JSON: requested_by.metadata */
    struct bytes labels;     /* raw JSON array of text the phone must have */
    struct bytes extra;      /* raw JSON object: related, workspace_id, queue */
    struct bytes concurrency_key;
    struct bytes key;         /* RECORD_DIGEST_BYTES of the idempotency key, or empty */
    struct bytes body_digest; /* RECORD_DIGEST_BYTES of the whole body */
    uint8_t routing;
    uint8_t mode;
    uint8_t priority;       /* 0 (last) to 9 (first) */
    uint64_t not_before_ms; /* wall clock, 0: none */
    uint64_t deadline_ms;   /* wall clock, 0: none */
    uint32_t item_count;    /* items of one generation */
    struct bytes phones;    /* of each item 8 bytes of its phone number, big-endian; or empty */
    struct bytes accounts;  /* of each item a line with its account; or empty */
    struct record_origin origin;
};

enum record_process_flag {
    RECORD_PLANNED = 1,
    RECORD_CANCEL_REQUESTED = 2,
    RECORD_HOLD = 4,
    RECORD_PAST_DEADLINE = 8,
};

struct record_process {
    uint32_t generation;   /* 1, and one more by each retry */
    uint32_t flags;        /* enum record_process_flag */
    uint32_t item_count;   /* items ever made, superseded ones included */
    bool is_deadline_over; /* a retry cleared the request's deadline, which had passed */
    struct record_time created;
    struct record_time queued; /* planned, and items materialised */
    struct record_time retrying;
    struct record_time cancel_requested;
    struct record_time finished;
};

enum record_item_state {
    RECORD_SCHEDULED,
    RECORD_READY,
    RECORD_LEASED,
    RECORD_RUNNING,
    RECORD_RETRY_WAIT,
    RECORD_SUSPENDED,
    RECORD_COMPLETED, /* the three terminal states come last */
    RECORD_FAILED,
    RECORD_CANCELED,
    RECORD_ITEM_STATE_COUNT
};

const char *record_item_state_name(enum record_item_state state);

/* Why a running item is asked to stop; a larger one replaces a smaller one. */
enum record_stop {
    RECORD_STOP_NONE,
    RECORD_STOP_SHUTDOWN,
    RECORD_STOP_SUSPEND,
    RECORD_STOP_EXPIRE,
    RECORD_STOP_TIMEOUT,
    RECORD_STOP_DEADLINE,
    RECORD_STOP_CANCEL,
    RECORD_STOP_WITHDRAW,
    RECORD_STOP_COUNT
};

enum record_suspension {
    RECORD_SUSPEND_NONE,
    RECORD_SUSPEND_OPERATOR,
    RECORD_SUSPEND_REVIEW,
    RECORD_SUSPEND_BUDGET,
    RECORD_SUSPEND_UNCERTAIN,
    RECORD_SUSPENSION_COUNT
};

/* Categories of SPEC.md section 6. */
#define RECORD_CATEGORIES(CATEGORY)                                                                \
    CATEGORY(NONE, "none")                                                                         \
    CATEGORY(EXIT_CODE, "exit_code")                                                               \
    CATEGORY(TIMEOUT, "timeout")                                                                   \
    CATEGORY(PHONE_LOST, "phone_lost")                                                             \
    CATEGORY(PHONE_UNAUTHORIZED, "phone_unauthorized")                                             \
    CATEGORY(USB, "usb")                                                                           \
    CATEGORY(ADB, "adb")                                                                           \
    CATEGORY(FASTBOOT, "fastboot")                                                                 \
    CATEGORY(CONTAINER, "container")                                                               \
    CATEGORY(CAPABILITY, "capability")                                                             \
    CATEGORY(HOST_RESTARTED, "host_restarted")                                                     \
    CATEGORY(LEASE_EXPIRED, "lease_expired")                                                       \
    CATEGORY(BUDGET, "budget")                                                                     \
    CATEGORY(DEADLINE, "deadline")                                                                 \
    CATEGORY(POISON, "poison")                                                                     \
    CATEGORY(NO_TARGET, "no_target")                                                               \
    CATEGORY(INTERNAL, "internal")

enum record_category {
#define CATEGORY(name, text) RECORD_CATEGORY_##name,
    RECORD_CATEGORIES(CATEGORY)
#undef CATEGORY
        RECORD_CATEGORY_COUNT
};

const char *record_category_name(enum record_category category);

struct record_item {
    uint8_t state;      /* enum record_item_state */
    uint8_t stop;       /* enum record_stop, while running */
    uint8_t suspension; /* enum record_suspension, while suspended */
    uint8_t category;   /* why it failed, when it did without an attempt's end (poison, deadline) */
    bool superseded;    /* by a retry: part of history only */
    uint32_t generation;
    uint32_t attempt;           /* number of the last attempt started, never reused */
    uint32_t attempts_counted;  /* compared with the cap */
    uint32_t deliveries;        /* leases that ended without an attempt */
    uint32_t faults;            /* attempts ended by power loss or hub fault */
    uint32_t actions_done;      /* the next attempt goes on behind these */
    uint32_t target_index;      /* which of the request's targets, from 0 */
    uint32_t failed_count;      /* on failed_phone, in a row, at most RECORD_FAILED_MAX */
    uint64_t target_phone;      /* phone number it must run on; 0: any eligible */
    uint64_t phone;             /* phone number leased now; 0: none */
    uint64_t token;             /* last fencing token; 0: never leased */
    uint64_t wait_ms;           /* from this record's time until due, retry or expiry; 0: none */
    struct record_time started; /* first start of this item */
    struct record_time first_device; /* exact first device interaction */
    struct bytes worker;             /* external worker that holds its lease; empty: none */
    struct bytes claim;              /* RECORD_DIGEST_BYTES of worker and claim_id, or empty */
    uint64_t actions_digest;         /* of the action list its actions_done count in; 0: none yet */
    uint64_t failed_phone;           /* phone number it failed on last; 0: none */
    /* Of a part; zeros for the hub's own. */
    uint32_t assignment;           /* upstream's; grows each time that it gives the item away */
    uint64_t grant_ms;             /* how long the grant lasts */
    struct record_time grant_from; /* when the poll left that the grant answered */
};

enum record_outcome {
    RECORD_SUCCESS,
    RECORD_FAILURE,
    RECORD_STOPPED,     /* on request: no error */
    RECORD_INTERRUPTED, /* power lost, hub fault: not counted */
    RECORD_UNFINISHED,  /* still running: what its finished actions found so far */
    RECORD_OUTCOME_COUNT
};

struct record_attempt {
    uint8_t outcome;          /* enum record_outcome */
    uint8_t category;         /* enum record_category; NONE for success */
    uint32_t actions_done;    /* of this item, when the record was written */
    uint8_t progress_percent; /* of the attempt, when the record was written */
    bool has_exit_code;
    int32_t exit_code;
    struct bytes phone_id;
    struct bytes code;    /* short machine word, such as a refused status or `exit_1` */
    struct bytes message; /* for a person */
    struct bytes action;  /* name of the action it ended in */
    struct bytes output;  /* last part of its output, valid UTF-8 */
    struct bytes result;  /* raw JSON object: what the actions found; empty: nothing */
    struct record_time started;
    struct record_time ended;
    struct bytes worker;   /* external worker that ran it; empty: hubd itself */
    uint32_t power_cycles; /* of its phone, that it asked for */
};

enum record_phone_state {
    RECORD_PHONE_ABSENT,
    RECORD_PHONE_CONNECTING,
    RECORD_PHONE_REFUSED,
    RECORD_PHONE_RECOVERING,
    RECORD_PHONE_UNAUTHORIZED,
    RECORD_PHONE_READY,
    RECORD_PHONE_LEASED,
    RECORD_PHONE_AWAY,
    RECORD_PHONE_QUARANTINED,
    RECORD_PHONE_STATE_COUNT
};

const char *record_phone_state_name(enum record_phone_state state);

struct record_phone {
    uint8_t state;       /* enum record_phone_state */
    struct bytes id;     /* serial, or serial~slot */
    struct bytes slot;   /* where it is plugged, or its network address */
    struct bytes model;  /* product and model as the phone says; untrusted text */
    struct bytes reason; /* why it is refused, recovering or quarantined */
    struct bytes labels; /* an operator gave it: words with one space between them */
};

struct record_boot {
    uint32_t boot;
    uint64_t offset_ms; /* wall clock minus monotonic clock; 0: never known */
};

/* What the hub gave up of the history that upstream lacks (SPEC.md section 8). */
struct record_gap {
    uint64_t first;                      /* sequence numbers; 0: no gap */
    uint64_t last;                       /* the end of a group */
    uint8_t chain[RECORD_CHAIN_BYTES];   /* there */
    uint32_t dropped[RECORD_KIND_COUNT]; /* records in it that are not sent again, by kind */
};

/* The newest life of the store, when upstream has begun it after a fork (SPEC.md section 8). */
struct record_life {
    uint32_t epoch;       /* 0: the store is in its first life */
    uint32_t first_epoch; /* that the store was made with: numbers of that life name no epoch */
    uint64_t seq;         /* its log begins behind this record */
    bool is_told; /* upstream has judged the whole inventory, and what it lacked was appended */
};

struct record_hub {
    struct bytes hub_id;
    struct bytes boot_id; /* 16 bytes the operating system gives each boot */
    uint32_t boot;        /* counts machine starts, from 1 */
    uint32_t starts;      /* counts program starts, from 1 */
    uint64_t token_counter;
    uint64_t process_number; /* last one given */
    uint64_t phone_number;
    uint64_t key_number;
    uint64_t command; /* highest upstream command applied */
    uint32_t boot_count;
    struct record_boot boots[RECORD_BOOTS_MAX]; /* newest first */
    struct record_gap gap;                      /* until upstream's cursor is known behind it */
    uint32_t upstream_epoch;                    /* which `command` belongs to; 0: none seen yet */
    struct record_life life;
};

struct record_key {
    struct bytes key;         /* RECORD_DIGEST_BYTES */
    struct bytes body_digest; /* RECORD_DIGEST_BYTES */
    uint64_t process;         /* number of the evicted process */
    uint8_t status;           /* its last status row */
    struct record_time evicted;
};

/* What became of an upstream command. */
#define RECORD_ANSWERS(ANSWER)                                                                     \
    ANSWER(DONE, "done")                                                                           \
    ANSWER(REFUSED_CAPABILITY, "refused_capability") /* none of that name here */                  \
    ANSWER(CAPACITY_EXHAUSTED, "capacity_exhausted")                                               \
    ANSWER(NO_PHONE, "no_phone") /* none with that id here */                                      \
    ANSWER(ALREADY_TERMINAL, "already_terminal")                                                   \
    ANSWER(UNKNOWN_PROCESS, "unknown_process")                                                     \
    ANSWER(STALE_ASSIGNMENT, "stale_assignment")                                                   \
    ANSWER(MALFORMED, "malformed")                                                                 \
    ANSWER(UNKNOWN_KIND, "unknown_kind")                                                           \
    ANSWER(ILLEGAL, "illegal")                                                                     \
    ANSWER(DIFFERS, "differs") /* offered again with another request */

enum record_answer_code {
#define ANSWER(name, text) RECORD_ANSWER_##name,
    RECORD_ANSWERS(ANSWER)
#undef ANSWER
        RECORD_ANSWER_CODE_COUNT
};

const char *record_answer_name(enum record_answer_code code);

struct record_answer {
    uint32_t upstream_epoch; /* which the command's number belongs to */
    uint8_t code;            /* enum record_answer_code */
    struct bytes text;       /* for a person; may be empty */
};

/* Writing: header first, then the image of its kind. */
void record_put_header(struct cbor_writer *writer, const struct record_header *header);
void record_put_request(struct cbor_writer *writer, const struct record_request *image);
void record_put_process(struct cbor_writer *writer, const struct record_process *image);
void record_put_item(struct cbor_writer *writer, const struct record_item *image);
void record_put_attempt(struct cbor_writer *writer, const struct record_attempt *image);
void record_put_phone(struct cbor_writer *writer, const struct record_phone *image);
void record_put_hub(struct cbor_writer *writer, const struct record_hub *image);
void record_put_key(struct cbor_writer *writer, const struct record_key *image);
void record_put_answer(struct cbor_writer *writer, const struct record_answer *image);

/* Whether an image would be read again as it is written: its texts are UTF-8 and within their
 * limits, its numbers in their ranges. */
bool record_is_request_valid(const struct record_request *image);

/* Reading: header first (leaves the reader before the image), then the image of its kind. Each
 * refuses what is out of range; judge once with cbor_reader_done(). Fields that a newer format
 * appends to an image are skipped. */
void record_get_header(struct cbor_reader *reader, struct record_header *header);
void record_get_request(struct cbor_reader *reader, struct record_request *image);
void record_get_process(struct cbor_reader *reader, struct record_process *image);
void record_get_item(struct cbor_reader *reader, struct record_item *image);
void record_get_attempt(struct cbor_reader *reader, struct record_attempt *image);
void record_get_phone(struct cbor_reader *reader, struct record_phone *image);
void record_get_hub(struct cbor_reader *reader, struct record_hub *image);
void record_get_key(struct cbor_reader *reader, struct record_key *image);
void record_get_answer(struct cbor_reader *reader, struct record_answer *image);

/* A gap inside a message: null for none. */
void record_put_gap(struct cbor_writer *writer, const struct record_gap *gap);
void record_get_gap(struct cbor_reader *reader, struct record_gap *gap);

/* A moment inside a message: null for never. */
void record_put_time(struct cbor_writer *writer, const struct record_time *time);
void record_get_time(struct cbor_reader *reader, struct record_time *time);

#endif

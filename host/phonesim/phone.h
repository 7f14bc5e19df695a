/* phone.h - one emulated phone as its adbd shows it: bytes in, bytes out, whatever carries them.
 * After `reboot bootloader` it is its bootloader that speaks (phone_bootloader.h), in packets.
 *
 * The carrier (link_tcp.c) calls phone_connect() when a host comes, phone_receive() with what it
 * sends, sends what phone_output() shows, and ends the connection when phone_is_leaving(). */
#ifndef HOST_PHONESIM_PHONE_H
#define HOST_PHONESIM_PHONE_H

#include "host/phonesim/phone_bootloader.h"
#include "host/phonesim/phone_session.h"

enum {
    PHONE_KEYS = 4, /* accepted hosts */
    PHONE_OUTPUT =
        ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE + ADB_FILE_HEADER_SIZE + ADB_FILE_DATA_MAX + 4096,
    PHONE_PAYLOAD_MAX = 256 * 1024,
    PHONE_WINDOW = 1024 * 1024 /* of a stream, with delayed_ack; what comes is used at once */
};

enum phone_auth {
    PHONE_AUTH_OFF,
    PHONE_AUTH_ACCEPT, /* a new key is accepted after a while, as if by the user */
    PHONE_AUTH_NEVER
};

struct phone_options {
    struct phone_faults faults;
    enum phone_auth auth;
    uint32_t accept_ms;
    uint32_t reboot_ms; /* how long a reboot takes */
    unsigned lacks;     /* ADB_FEATURE_* that older phones do not have */
    uint64_t seed;      /* of all that is drawn; each phone draws its own */
    struct phone_bootloader_options bootloader;
};

struct phone {
    const struct phone_options *options;
    struct phone_state state;
    struct phone_bootloader bootloader;
    uint64_t random;
    uint64_t back_ms;      /* rebooting until then; 0: running */
    bool is_in_bootloader; /* it speaks fastboot */
    bool boots_bootloader; /* when it has left */
    bool is_connected;
    bool is_leaving;
    uint8_t token[ADB_TOKEN_SIZE];
    char asking_key[ADB_PUBLIC_KEY_SIZE]; /* waits for the user */
    uint64_t accept_at_ms;                /* UINT64_MAX: nobody waits */
    char keys[PHONE_KEYS][ADB_PUBLIC_KEY_SIZE];
    uint32_t key_count;
    struct adb_connection connection;
    struct phone_session sessions[ADB_CONNECTION_STREAMS];
    uint8_t output_memory[PHONE_OUTPUT];
};

void phone_init(struct phone *phone, const struct phone_options *options, const char *serial,
                uint32_t number, uint64_t now_ms);

/* Whether a host may connect: it runs, and no host is connected. */
bool phone_is_free(const struct phone *phone, uint64_t now_ms);
void phone_connect(struct phone *phone);
/* Its port was reset, or it was plugged in. */
void phone_reset(struct phone *phone);
void phone_disconnect(struct phone *phone);

/* Takes bytes from the front of `input`, which moves past them. What is left is to be given again
 * after output was sent. A host that breaks the protocol makes the phone leave. */
void phone_receive(struct phone *phone, struct bytes *input, uint64_t now_ms);

/* Lets services run; call it after receive, after sending, and when phone_due_ms() is reached. */
void phone_step(struct phone *phone, uint64_t now_ms);

struct bytes phone_output(const struct phone *phone);
void phone_sent(struct phone *phone, size_t size);

/* The connection is to be ended, once the output is sent. */
bool phone_is_leaving(const struct phone *phone);
uint64_t phone_due_ms(const struct phone *phone); /* UINT64_MAX: never by time alone */

#endif

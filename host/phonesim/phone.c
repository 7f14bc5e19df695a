#include "host/phonesim/phone.h"

#include "host/phonesim/phone_service.h"

#include "host/shared/adb_key.h"
#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

static const unsigned features = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD | ADB_FEATURE_STAT_V2 |
                                 ADB_FEATURE_LS_V2 | ADB_FEATURE_FIXED_PUSH_MKDIR |
                                 ADB_FEATURE_SENDRECV_V2 | ADB_FEATURE_ABB | ADB_FEATURE_ABB_EXEC |
                                 ADB_FEATURE_DELAYED_ACK;

void phone_init(struct phone *phone, const struct phone_options *options, const char *serial,
                uint32_t number, uint64_t now_ms) {
    memset(phone, 0, offsetof(struct phone, connection));
    for (size_t i = 0; i < array_count(phone->sessions); i++) {
        /* Only what is set is cleared: pages that were never touched cost nothing. */
        /* cppcheck-suppress duplicateConditionalAssign */
        if (phone->sessions[i].stream != 0) {
            phone->sessions[i].stream = 0;
        }
    }
    phone->options = options;
    phone->random = options->seed * 1000003u + number;
    phone->accept_at_ms = UINT64_MAX;
    phone_state_init(&phone->state, serial, number, now_ms);
    phone_bootloader_init(&phone->bootloader, &options->bootloader, &options->faults,
                          phone->state.serial);
}

bool phone_is_free(const struct phone *phone, uint64_t now_ms) {
    return !phone->is_connected && now_ms >= phone->back_ms;
}

void phone_connect(struct phone *phone) {
    check(!phone->is_connected);
    phone->is_connected = true;
    phone->is_leaving = false;
    phone->accept_at_ms = UINT64_MAX;
    if (phone->is_in_bootloader) {
        return;
    }
    adb_connection_init(&phone->connection, ADB_CONNECTION_DEVICE, PHONE_PAYLOAD_MAX,
                        phone->output_memory, sizeof phone->output_memory);
    phone->connection.offered_window = PHONE_WINDOW;
}

void phone_reset(struct phone *phone) {
    phone_bootloader_reset(&phone->bootloader);
}

static void end_sessions(struct phone *phone) {
    for (size_t i = 0; i < array_count(phone->sessions); i++) {
        if (phone->sessions[i].stream != 0) {
            phone_session_end(&phone->sessions[i]);
        }
    }
}

void phone_disconnect(struct phone *phone) {
    end_sessions(phone);
    if (phone->is_leaving && phone->is_connected) {
        phone->is_in_bootloader = phone->boots_bootloader;
        phone_reset(phone);
    }
    phone->is_connected = false;
}

/* --- letting a host in --- */

static void accept_host(struct phone *phone) {
    const char *product = phone_state_property(&phone->state, "ro.product.name");
    const char *model = phone_state_property(&phone->state, "ro.product.model");
    const char *device = phone_state_property(&phone->state, "ro.product.device");
    struct adb_banner banner = {.peer = ADB_PEER_DEVICE,
                                .product = {(const uint8_t *)product, strlen(product)},
                                .model = {(const uint8_t *)model, strlen(model)},
                                .device = {(const uint8_t *)device, strlen(device)},
                                .features = features & ~phone->options->lacks};
    if (adb_connection_accept(&phone->connection, &banner) == STATUS_OK) {
        phone->accept_at_ms = UINT64_MAX;
    }
}

static void challenge(struct phone *phone) {
    for (size_t i = 0; i < sizeof phone->token; i++) {
        phone->token[i] = (uint8_t)phone_fault_random(&phone->random);
    }
    phone->is_leaving = adb_connection_challenge(&phone->connection, phone->token) != STATUS_OK;
}

static void on_connect(struct phone *phone) {
    end_sessions(phone);
    phone->accept_at_ms = UINT64_MAX;
    if (phone->options->auth == PHONE_AUTH_OFF) {
        accept_host(phone);
    } else {
        challenge(phone);
    }
}

static void on_signature(struct phone *phone, struct bytes signature) {
    for (uint32_t i = 0; i < phone->key_count; i++) {
        struct bytes key = {(const uint8_t *)phone->keys[i], strlen(phone->keys[i])};
        if (adb_key_verify(key, phone->token, signature) == STATUS_OK) {
            accept_host(phone);
            return;
        }
    }
    challenge(phone);
}

static void on_public_key(struct phone *phone, struct bytes text, uint64_t now_ms) {
    size_t most = sizeof phone->asking_key - 1;
    size_t size = text.size < most ? text.size : most;
    memcpy(phone->asking_key, text.data, size);
    phone->asking_key[size] = '\0';
    if (phone->options->auth == PHONE_AUTH_ACCEPT) {
        phone->accept_at_ms = now_ms + phone->options->accept_ms;
    }
}

/* The user touches "allow"; the oldest key makes room. */
static void accept_key(struct phone *phone) {
    uint32_t at = phone->key_count < PHONE_KEYS ? phone->key_count++ : 0;
    memcpy(phone->keys[at], phone->asking_key, sizeof phone->keys[at]);
    accept_host(phone);
}

/* --- streams --- */

static struct phone_session *find(struct phone *phone, uint32_t stream) {
    for (size_t i = 0; i < array_count(phone->sessions); i++) {
        if (phone->sessions[i].stream == stream) {
            return &phone->sessions[i];
        }
    }
    return NULL;
}

static void on_open(struct phone *phone, uint32_t stream, struct bytes name, uint64_t now_ms) {
    struct phone_session *session = find(phone, 0);
    struct bytes reboot = bytes_of("reboot:");
    if (name.size >= reboot.size && memcmp(name.data, reboot.data, reboot.size) == 0) {
        phone->state.wants_reboot = true;
        name.data += reboot.size;
        name.size -= reboot.size;
        phone->state.wants_bootloader = text_is(name, bytes_of("bootloader"));
        adb_connection_accept_stream(&phone->connection, stream);
        return;
    }
    if (session == NULL || phone_session_begin(session, stream, &phone->state, name) != STATUS_OK) {
        adb_connection_close(&phone->connection, stream);
        return;
    }
    struct bytes command = phone_session_command(name);
    char line[PHONE_LOG_LINE_SIZE];
    snprintf(line, sizeof line, "run %.*s", (int)command.size, (const char *)command.data);
    phone_state_log(&phone->state, line);
    enum phone_fault_kind fault =
        phone_fault_draw(&phone->options->faults, &phone->random, command);
    phone_session_set_fault(session, fault == PHONE_FAULT_STALL ? PHONE_FAULT_HANG : fault, now_ms);
    adb_connection_accept_stream(&phone->connection, stream);
}

/* --- streams towards the host: what it has reversed --- */

static struct phone_session *find_dialler(struct phone *phone, uint32_t stream) {
    for (size_t i = 0; i < array_count(phone->sessions); i++) {
        if (phone->sessions[i].stream != 0 && phone->sessions[i].dialled == stream) {
            return &phone->sessions[i];
        }
    }
    return NULL;
}

static void end_dial(struct phone_session *session, const char *why) {
    session->dialled = 0;
    session->shell.dial_port = 0;
    if (why != NULL) {
        phone_shell_print(&session->shell.complaint, "dial: %s\n", why);
        session->shell.status = 1;
    }
}

static void on_dialled(struct phone *phone, struct phone_session *session,
                       const struct adb_connection_event *event) {
    if (event->kind == ADB_EVENT_DATA) {
        phone_shell_print(&session->shell.output, "%.*s", (int)event->data.size,
                          (const char *)event->data.data);
    } else if (event->kind == ADB_EVENT_DATA_END) {
        adb_connection_acknowledge(&phone->connection, event->stream, 0);
    } else if (event->kind == ADB_EVENT_CLOSED) {
        end_dial(session, session->has_dialled ? NULL : "refused by the host");
    }
}

static void dial(struct phone *phone, struct phone_session *session) {
    size_t capacity = 0;
    size_t size = strlen(session->shell.dial_text);
    const char *address = phone_service_reverse(&phone->state, session->shell.dial_port);
    if (session->dialled == 0 && address == NULL) {
        end_dial(session, "Connection refused");
    } else if (session->dialled == 0) {
        struct bytes service = {(const uint8_t *)address, strlen(address)};
        if (adb_connection_open(&phone->connection, service, &session->dialled) != STATUS_OK) {
            session->dialled = 0;
        }
        session->has_dialled = false;
    } else if (!session->has_dialled && size > 0) {
        uint8_t *target =
            adb_connection_room(&phone->connection, session->dialled, size, &capacity);
        if (target != NULL) {
            memcpy(target, session->shell.dial_text, size);
            adb_connection_write_built(&phone->connection, session->dialled, size);
            session->has_dialled = true;
        }
    }
}

static void on_stream_event(struct phone *phone, const struct adb_connection_event *event) {
    struct phone_session *session = find(phone, event->stream);
    struct phone_session *dialler = find_dialler(phone, event->stream);
    if (dialler != NULL) {
        on_dialled(phone, dialler, event);
        return;
    }
    if (event->kind == ADB_EVENT_DATA_END) {
        adb_connection_acknowledge(&phone->connection, event->stream, 0);
        return;
    }
    if (session == NULL) {
        return;
    }
    if (event->kind == ADB_EVENT_CLOSED) {
        phone_session_end(session);
    } else if (event->kind == ADB_EVENT_DATA &&
               phone_session_read(session, event->data) != STATUS_OK) {
        adb_connection_close(&phone->connection, event->stream);
        phone_session_end(session);
    }
}

static void on_event(struct phone *phone, const struct adb_connection_event *event,
                     uint64_t now_ms) {
    if (event->kind == ADB_EVENT_CONNECT) {
        on_connect(phone);
    } else if (event->kind == ADB_EVENT_SIGNATURE) {
        on_signature(phone, event->data);
    } else if (event->kind == ADB_EVENT_PUBLIC_KEY) {
        on_public_key(phone, event->data, now_ms);
    } else if (event->kind == ADB_EVENT_OPEN) {
        on_open(phone, event->stream, event->data, now_ms);
    } else if (event->stream != 0) {
        on_stream_event(phone, event);
    }
}

/* --- for the carrier --- */

void phone_receive(struct phone *phone, struct bytes *input, uint64_t now_ms) {
    while (!phone->is_leaving) {
        struct adb_connection_event event;
        enum status status = adb_connection_receive(&phone->connection, input, &event);
        if (status == STATUS_MALFORMED) {
            phone->is_leaving = true;
        }
        if (status != STATUS_OK) {
            return;
        }
        on_event(phone, &event, now_ms);
    }
}

static void begin_boot(struct phone *phone, bool is_in_bootloader, uint64_t now_ms) {
    phone->is_leaving = true;
    phone->boots_bootloader = is_in_bootloader && phone->options->bootloader.folder[0] != '\0';
    phone->back_ms = now_ms + phone->options->reboot_ms;
    phone_state_boot(&phone->state, phone->back_ms);
}

static void step_bootloader(struct phone *phone, uint64_t now_ms) {
    const struct phone_bootloader *bootloader = &phone->bootloader;
    if (bootloader->is_leaving && bootloader->answer_bytes == 0) {
        begin_boot(phone, bootloader->boots == PHONE_BOOT_BOOTLOADER, now_ms);
    }
}

void phone_step(struct phone *phone, uint64_t now_ms) {
    if (!phone->is_connected || phone->is_leaving) {
        return;
    }
    if (phone->is_in_bootloader) {
        step_bootloader(phone, now_ms);
        return;
    }
    if (now_ms >= phone->accept_at_ms) {
        accept_key(phone);
    }
    for (size_t i = 0; i < array_count(phone->sessions); i++) {
        struct phone_session *session = &phone->sessions[i];
        if (session->stream != 0) {
            phone_session_write(session, &phone->connection, now_ms);
        }
        if (session->stream != 0 && session->shell.dial_port != 0) {
            dial(phone, session);
        }
        if (session->stream != 0 && session->is_dropping) {
            phone->is_leaving = true;
        }
    }
    if (phone->state.wants_reboot) {
        begin_boot(phone, phone->state.wants_bootloader, now_ms);
    }
}

struct bytes phone_output(const struct phone *phone) {
    return adb_connection_output(&phone->connection);
}

void phone_sent(struct phone *phone, size_t size) {
    adb_connection_sent(&phone->connection, size);
}

bool phone_is_leaving(const struct phone *phone) {
    return phone->is_leaving;
}

uint64_t phone_due_ms(const struct phone *phone) {
    uint64_t due_ms = phone->is_connected ? phone->accept_at_ms : UINT64_MAX;
    for (size_t i = 0; i < array_count(phone->sessions) && phone->is_connected; i++) {
        uint64_t session_ms = phone_session_due_ms(&phone->sessions[i]);
        due_ms = session_ms < due_ms ? session_ms : due_ms;
    }
    return due_ms;
}

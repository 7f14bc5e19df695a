/* hub_serial.h - talks to a hub controller over a serial line: bytes in, bytes out, no I/O.
 *
 * Dialects are rows of a table (boards/hub_dialects.h). Cambrionix' command line (manual of
 * 2025-06): a command ends with CR LF, the answer's lines with CR LF, and the whole with the prompt
 * `>> `; the next command must wait for it, or the hub may hang until its own power is cut. After
 * `*FATAL ERROR` nothing may be sent: left alone it restarts by itself. `line` is ours: `on N`,
 * `off N`, `get N`, each answered by one line: `ok`, `on`, `off`, or `error TEXT`.
 *
 * One command at a time, sent up to HUB_SERIAL_TRIES times. A line that carries garbage, parts of
 * lines, lines without end and answers to nothing are all survived: what was switched is believed
 * only when a state that was asked for afterwards says so. A hub that does not answer is UNKNOWN,
 * and is asked for nothing until hub_serial_begin(). */
#ifndef PROTOCOL_HUB_SERIAL_H
#define PROTOCOL_HUB_SERIAL_H

#include "hal/base.h"

enum {
    HUB_SERIAL_LINE_MAX = 128, /* longer lines are left out */
    HUB_SERIAL_COMMAND_MAX = 32,
    HUB_SERIAL_TRIES = 3,
    HUB_SERIAL_ANSWER_MS = 3000,
    HUB_SERIAL_FATAL_MS = 15000, /* a Cambrionix restarts after 9 s of silence */
    HUB_SERIAL_PORTS_MAX = 64
};

enum hub_serial_command {
    HUB_SERIAL_START, /* whatever the hub must be told once */
    HUB_SERIAL_OFF,
    HUB_SERIAL_ON,
    HUB_SERIAL_STATE,
    HUB_SERIAL_CLEAR, /* forget that it has restarted */
    HUB_SERIAL_COMMAND_COUNT
};

enum hub_serial_shape {                       /* how a port's state is told */
                        HUB_SERIAL_UNIVERSAL, /* `5, 1044, A C, 1, 5, x, 0.01` */
                        HUB_SERIAL_PDSYNC,    /* `2, 0499, 0059, A C -, 4638, x, 0.25` */
                        HUB_SERIAL_WORD       /* `on`, `off` */
};

struct hub_serial_dialect {
    const char *name;
    const char *commands[HUB_SERIAL_COMMAND_COUNT]; /* `#` is the port; NULL: there is no need */
    const char *prompt;                             /* ends an answer; NULL: its one line does */
    uint32_t baud;
    enum hub_serial_shape shape;
};

enum hub_serial_state { HUB_SERIAL_READY, HUB_SERIAL_ASKED, HUB_SERIAL_FATAL, HUB_SERIAL_UNKNOWN };

struct hub_serial {
    const struct hub_serial_dialect *dialect;
    enum hub_serial_state state;
    enum hub_serial_command command;
    uint8_t port;
    uint8_t tries;
    uint64_t due_ms; /* ASKED: send again; FATAL: it has restarted by then */
    uint32_t output_size;
    uint32_t output_sent;
    char output[HUB_SERIAL_COMMAND_MAX];
    uint32_t line_size;
    bool is_overlong; /* the line being read: left out up to its end */
    uint8_t line[HUB_SERIAL_LINE_MAX];
    /* Of the command that ended last. */
    enum status status; /* OK; DENIED: refused, see `detail`; TIMEOUT: UNKNOWN; CLOSED: FATAL */
    bool has_state;     /* of STATE: the port's row was there */
    bool is_on;
    bool was_restarted; /* the hub says it has forgotten what was switched; stays until CLEAR */
    char detail[HUB_SERIAL_LINE_MAX + 1]; /* printable */
};

/* As when the line was just opened. */
void hub_serial_begin(struct hub_serial *serial, const struct hub_serial_dialect *dialect);

/* Begins a command. ILLEGAL: not READY. NOT_FOUND: the dialect has no such command: there is no
 * need. */
must_check enum status hub_serial_ask(struct hub_serial *serial, enum hub_serial_command command,
                                      uint8_t port, uint64_t now_ms);

/* What is to be written now, and that so many bytes of it were. */
struct bytes hub_serial_output(const struct hub_serial *serial);
void hub_serial_sent(struct hub_serial *serial, size_t size);

/* Bytes that came. True: a command has ended. */
bool hub_serial_receive(struct hub_serial *serial, struct bytes input, uint64_t now_ms);

/* Judges time. True: a command has ended (it timed out). */
bool hub_serial_step(struct hub_serial *serial, uint64_t now_ms);

#endif

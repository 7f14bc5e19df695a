/* console.h - a person at the board's other serial port: one line a command, plain text answers.
 * `help` lists them. Everything it changes goes through the core, as an API call would. */
#ifndef IMAGE_CONSOLE_H
#define IMAGE_CONSOLE_H

#include "firmware/store.h"
#include "protocol/text.h"

struct image;

enum { CONSOLE_LINE = 120, CONSOLE_OUTPUT = 4096, CONSOLE_GROUP = 16384 };

struct console {
    uintptr_t port;
    char line[CONSOLE_LINE];
    uint32_t size;
    bool is_long;       /* the line so far does not fit: it is refused as a whole */
    uint64_t waits_for; /* the answer is said when this record is durable; 0: none */
    uint64_t accepted;  /* number of the process that it is about */
    bool is_again;      /* the core had no room for the line's order: once more in the next turn */
    bool is_dumping;
    struct store_cursor dump; /* behind the group that was printed last */
    uint32_t listed;          /* rows of `ps` that are printed, plus one; 0: none is asked for */
    size_t output_sent;
    struct text_writer output;
    uint8_t output_buffer[CONSOLE_OUTPUT];
    uint8_t group_buffer[CONSOLE_GROUP];
};

void console_init(struct console *console, uintptr_t port);
/* In every turn. True: bytes wait to be sent, so come back soon. */
bool console_step(struct console *console, struct image *image);
/* Prints at once, waiting for the port: for the way down, and the first lines. */
void console_print(const struct console *console, const char *text);

#endif

#include "protocol/hub_serial.h"

#include <string.h>

enum { PORT_DIGITS = 3 };

static size_t length_of(const char *text) {
    size_t size = 0;
    while (text[size] != '\0') {
        size += 1;
    }
    return size;
}

static bool starts_with(struct bytes text, const char *start) {
    size_t size = length_of(start);
    return text.size >= size && memcmp(text.data, start, size) == 0;
}

static bool is_text(struct bytes text, const char *whole) {
    return text.size == length_of(whole) && starts_with(text, whole);
}

void hub_serial_begin(struct hub_serial *serial, const struct hub_serial_dialect *dialect) {
    memset(serial, 0, sizeof *serial);
    serial->dialect = dialect;
}

/* ---- sending ---- */

static void put(struct hub_serial *serial, char c) {
    check(serial->output_size < HUB_SERIAL_COMMAND_MAX);
    serial->output[serial->output_size] = c;
    serial->output_size += 1;
}

static void put_port(struct hub_serial *serial, uint8_t port) {
    char digits[PORT_DIGITS];
    unsigned count = 0;
    do {
        digits[count] = (char)('0' + port % 10);
        count += 1;
        port = (uint8_t)(port / 10);
    } while (port > 0);
    while (count > 0) {
        count -= 1;
        put(serial, digits[count]);
    }
}

static void send(struct hub_serial *serial, uint64_t now_ms) {
    const char *text = serial->dialect->commands[serial->command];
    serial->output_size = 0;
    serial->output_sent = 0;
    for (; *text != '\0'; text++) {
        if (*text == '#') {
            put_port(serial, serial->port);
        } else {
            put(serial, *text);
        }
    }
    put(serial, '\r');
    put(serial, '\n');
    serial->tries = (uint8_t)(serial->tries + 1);
    serial->due_ms = now_ms + HUB_SERIAL_ANSWER_MS;
    serial->has_state = false;
    serial->status = STATUS_OK;
    serial->detail[0] = '\0';
}

enum status hub_serial_ask(struct hub_serial *serial, enum hub_serial_command command, uint8_t port,
                           uint64_t now_ms) {
    check(command < HUB_SERIAL_COMMAND_COUNT && port <= HUB_SERIAL_PORTS_MAX);
    if (serial->state != HUB_SERIAL_READY) {
        return STATUS_ILLEGAL;
    }
    if (serial->dialect->commands[command] == NULL) {
        return STATUS_NOT_FOUND;
    }
    serial->state = HUB_SERIAL_ASKED;
    serial->command = command;
    serial->port = port;
    serial->tries = 0;
    send(serial, now_ms);
    return STATUS_OK;
}

struct bytes hub_serial_output(const struct hub_serial *serial) {
    return (struct bytes){(const uint8_t *)serial->output + serial->output_sent,
                          serial->output_size - serial->output_sent};
}

void hub_serial_sent(struct hub_serial *serial, size_t size) {
    check(size <= serial->output_size - serial->output_sent);
    serial->output_sent += (uint32_t)size;
}

/* ---- answers ---- */

static void keep_detail(struct hub_serial *serial, struct bytes line) {
    for (size_t i = 0; i < line.size; i++) {
        bool is_plain = line.data[i] >= ' ' && line.data[i] < 0x7f;
        serial->detail[i] = is_plain ? (char)line.data[i] : '?';
    }
    serial->detail[line.size] = '\0';
}

/* The field at `index` of a row with commas, without the blanks around it. */
static struct bytes field_of(struct bytes line, unsigned index) {
    size_t from = 0;
    while (index > 0 && from < line.size) {
        index -= line.data[from] == ',' ? 1 : 0;
        from += 1;
    }
    size_t to = from;
    while (to < line.size && line.data[to] != ',') {
        to += 1;
    }
    while (from < to && line.data[from] == ' ') {
        from += 1;
    }
    while (to > from && line.data[to - 1] == ' ') {
        to -= 1;
    }
    return (struct bytes){line.data + from, index > 0 ? 0 : to - from};
}

static bool is_port(struct bytes field, uint8_t port) {
    unsigned number = 0;
    for (size_t i = 0; i < field.size; i++) {
        if (field.data[i] < '0' || field.data[i] > '9' || number > UINT8_MAX) {
            return false;
        }
        number = number * 10 + (unsigned)(field.data[i] - '0');
    }
    return field.size > 0 && number == port;
}

/* One-letter flags with blanks between, and none around them. False: something else. */
static bool read_flags(struct bytes field, bool *has_off, bool *has_restarted) {
    *has_off = false;
    *has_restarted = false;
    for (size_t i = 0; i < field.size; i++) {
        if (i % 2 == 1 && field.data[i] != ' ') {
            return false;
        }
        *has_off = *has_off || field.data[i] == 'O';
        *has_restarted = *has_restarted || field.data[i] == 'R';
    }
    return field.size > 0;
}

static void take_row(struct hub_serial *serial, struct bytes line) {
    bool has_off, has_restarted;
    unsigned flags = serial->dialect->shape == HUB_SERIAL_PDSYNC ? 3 : 2;
    if (is_port(field_of(line, 0), serial->port) &&
        read_flags(field_of(line, flags), &has_off, &has_restarted)) {
        serial->has_state = true;
        serial->is_on = !has_off;
        serial->was_restarted = serial->was_restarted || has_restarted;
    }
}

static bool end(struct hub_serial *serial, enum hub_serial_state state, enum status status) {
    serial->state = state;
    serial->status = status;
    serial->output_size = 0;
    serial->output_sent = 0;
    return true;
}

/* A line of the answer that has no prompt is the answer. */
static bool take_word(struct hub_serial *serial, struct bytes line) {
    bool is_state = serial->command == HUB_SERIAL_STATE;
    if (starts_with(line, "error")) {
        keep_detail(serial, line);
        return end(serial, HUB_SERIAL_READY, STATUS_DENIED);
    }
    if (is_state && (is_text(line, "on") || is_text(line, "off"))) {
        serial->has_state = true;
        serial->is_on = is_text(line, "on");
        return end(serial, HUB_SERIAL_READY, STATUS_OK);
    }
    if (!is_state && is_text(line, "ok")) {
        return end(serial, HUB_SERIAL_READY, STATUS_OK);
    }
    return false;
}

static bool take_line(struct hub_serial *serial, uint64_t now_ms) {
    struct bytes line = {serial->line, serial->line_size};
    if (starts_with(line, "*FATAL")) {
        bool was_asked = serial->state == HUB_SERIAL_ASKED;
        keep_detail(serial, line);
        (void)end(serial, HUB_SERIAL_FATAL, STATUS_CLOSED);
        serial->due_ms = now_ms + HUB_SERIAL_FATAL_MS;
        serial->was_restarted = true;
        return was_asked;
    }
    if (serial->state != HUB_SERIAL_ASKED) {
        return false;
    }
    if (serial->dialect->prompt == NULL) {
        return take_word(serial, line);
    }
    if (starts_with(line, "*E")) {
        keep_detail(serial, line);
        serial->status = STATUS_DENIED;
    } else if (serial->command == HUB_SERIAL_STATE) {
        take_row(serial, line);
    }
    return false;
}

/* The prompt stands at a line's begin and has no end. What is not of this command (another prompt
 * that was late) cannot be told apart; that is why states are asked for again. */
static bool is_prompt(const struct hub_serial *serial) {
    struct bytes line = {serial->line, serial->line_size};
    return serial->dialect->prompt != NULL && is_text(line, serial->dialect->prompt);
}

static bool take_prompt(struct hub_serial *serial) {
    serial->line_size = 0;
    if (serial->state != HUB_SERIAL_ASKED || hub_serial_output(serial).size > 0) {
        return false;
    }
    if (serial->command == HUB_SERIAL_STATE && serial->status == STATUS_OK && !serial->has_state) {
        return false; /* the prompt of an answer before: this one is still to come */
    }
    serial->was_restarted = serial->was_restarted &&
                            !(serial->command == HUB_SERIAL_CLEAR && serial->status == STATUS_OK);
    return end(serial, HUB_SERIAL_READY, serial->status);
}

static bool take_byte(struct hub_serial *serial, uint8_t byte, uint64_t now_ms) {
    if (byte == '\n' || byte == '\r') {
        bool has_ended = !serial->is_overlong && serial->line_size > 0 && take_line(serial, now_ms);
        serial->line_size = 0;
        serial->is_overlong = false;
        return has_ended;
    }
    if (serial->line_size == HUB_SERIAL_LINE_MAX) {
        serial->is_overlong = true;
    }
    if (serial->is_overlong || (byte == ' ' && serial->line_size == 0)) {
        return false;
    }
    serial->line[serial->line_size] = byte;
    serial->line_size += 1;
    return is_prompt(serial) && take_prompt(serial);
}

bool hub_serial_receive(struct hub_serial *serial, struct bytes input, uint64_t now_ms) {
    bool has_ended = false;
    for (size_t i = 0; i < input.size; i++) {
        has_ended = take_byte(serial, input.data[i], now_ms) || has_ended;
    }
    return has_ended;
}

bool hub_serial_step(struct hub_serial *serial, uint64_t now_ms) {
    if (serial->state == HUB_SERIAL_FATAL && now_ms >= serial->due_ms) {
        serial->state = HUB_SERIAL_READY; /* to be started as new */
        serial->line_size = 0;
    }
    if (serial->state != HUB_SERIAL_ASKED || now_ms < serial->due_ms) {
        return false;
    }
    if (serial->tries < HUB_SERIAL_TRIES) {
        send(serial, now_ms);
        return false;
    }
    return end(serial, HUB_SERIAL_UNKNOWN, STATUS_TIMEOUT);
}

#include "image/console.h"

#include "hal/baremetal/clock.h"
#include "hal/baremetal/uart.h"
#include "image/capabilities.h"
#include "image/image.h"
#include "protocol/sha256.h"

enum { BYTES_A_STEP = 256 };

static const char help_text[] =
    "status                 the hub, its store, its line, its stack\n"
    "phones                 one line a phone\n"
    "ps                     one line a process\n"
    "submit NAME [COUNT]    asks for a capability, on COUNT phones\n"
    "cancel NUMBER          of a process\n"
    "memory                 RAM of each table\n"
    "check                  what is wrong with the store\n"
    "dump                   every commit group: first number, records, bytes, chain\n"
    "format ID              makes this board the hub ID, once; then it restarts\n"
    "plug N, unplug N       a phone of the emulated bus, 1 to 8\n"
    "hang N                 makes it silent until it is plugged in anew\n"
    "restart                the board\n"
    "fail                   tries the way down of a failed check\n";

void console_init(struct console *console, uintptr_t port) {
    console->port = port;
    console->output =
        (struct text_writer){.data = console->output_buffer, .capacity = CONSOLE_OUTPUT};
}

void console_print(const struct console *console, const char *text) {
    uint64_t end_us = clock_us() + 1000000;
    for (size_t i = 0; text[i] != '\0'; i++) {
        while (!uart_write(console->port, (uint8_t)text[i]) && clock_us() < end_us) {
        }
    }
}

/* ---- what commands say ---- */

static void put_pair(struct text_writer *output, const char *name, uint64_t value) {
    text_put(output, name);
    text_put(output, "=");
    text_put_number(output, value);
    text_put(output, " ");
}

static const char *text_of(enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    return texts[status];
}

static void end_line(struct text_writer *output) {
    text_put(output, "\n");
}

static void say_store(const struct image *image, struct text_writer *output) {
    const struct store *store = &image->hub.store;
    put_pair(output, "head", store->head_seq);
    put_pair(output, "durable", store->durable_seq);
    put_pair(output, "acknowledged", store->acked_seq);
    put_pair(output, "epoch", store->epoch);
    put_pair(output, "free_blocks", store->free_count);
    end_line(output);
}

static void say_check(const struct image *image, struct text_writer *output) {
    const struct store_stats *stats = &image->hub.store.stats;
    put_pair(output, "torn_frames", stats->torn_frames);
    put_pair(output, "rotten_frames", stats->rotten_frames);
    put_pair(output, "lost_blocks", stats->lost_blocks);
    put_pair(output, "lost_records", stats->lost_sequences);
    put_pair(output, "bad_blocks", stats->bad_blocks);
    put_pair(output, "suspect_objects", image->hub.counters.suspect_objects);
    put_pair(output, "erases", stats->erases);
    end_line(output);
}

/* A table's rows and the bytes that they take. */
static void say_table(struct text_writer *output, const char *name, size_t rows, size_t size) {
    put_pair(output, name, rows);
    put_pair(output, "bytes", rows * size);
    end_line(output);
}

static void say_memory(const struct image *image, struct text_writer *output) {
    const struct board *board = image->hub.board;
    uint32_t slots = 0;
    for (uint32_t kind = 0; kind < STORE_KINDS; kind++) {
        slots += image->hub.store.memory.slot_counts[kind];
    }
    say_table(output, "processes", board->processes, sizeof(struct hub_process));
    say_table(output, "items", board->items, sizeof(struct hub_item));
    say_table(output, "attempts", board->attempts, sizeof(struct hub_attempt));
    say_table(output, "phones", board->phones, sizeof(struct hub_phone));
    say_table(output, "keys", board->keys, sizeof(struct hub_key));
    say_table(output, "capabilities", board->capabilities, sizeof(struct capability));
    say_table(output, "store_slots", slots, sizeof(struct store_slot));
    say_table(output, "store_blocks", board->block_count, sizeof(struct store_block));
    say_table(output, "store_buffers", 2, board->frame_bytes);
    put_pair(output, "tables", hub_bytes(board));
    put_pair(output, "hub", sizeof(struct hub));
    put_pair(output, "line", sizeof(struct line));
    put_pair(output, "console", sizeof(struct console));
    put_pair(output, "phones_lines", sizeof(struct phones));
    put_pair(output, "emulated_bus", sizeof(struct fake_usb));
    end_line(output);
}

static void say_line(const struct line *line, struct text_writer *output) {
    text_put(output, "line=");
    text_put(output, line_state_name(line->state));
    text_put(output, " ");
    put_pair(output, "pushes", line->counters.pushes);
    put_pair(output, "replies", line->counters.replies);
    put_pair(output, "timeouts", line->counters.timeouts);
    put_pair(output, "refusals", line->counters.refusals);
    put_pair(output, "forks", line->counters.forks);
    put_pair(output, "frames", line->reader.frames);
    put_pair(output, "damaged", line->reader.damaged);
    put_pair(output, "too_long", line->reader.too_long);
    put_pair(output, "unknown", line->counters.unknown);
    put_pair(output, "late", line->counters.late);
    end_line(output);
}

/* Work of upstream's. */
static void say_parts(const struct hub *hub, struct text_writer *output) {
    put_pair(output, "offered", hub->counters.offered);
    put_pair(output, "renewed", hub->counters.renewed);
    put_pair(output, "withdrawn", hub->counters.withdrawn);
    put_pair(output, "commands", hub->image.command);
    end_line(output);
}

static void say_status(const struct image *image, struct text_writer *output) {
    text_put(output, "hub=");
    text_put(output, image->notes.identity[0] == '\0' ? "none" : image->notes.identity);
    text_put(output, " board=");
    text_put(output, image->hub.board->name);
    text_put(output, image->is_loaded ? " state=running " : " state=stopped ");
    put_pair(output, "starts", image->notes.boots);
    put_pair(output, "up_ms", clock_us() / 1000);
    put_pair(output, "turns", image->turns);
    put_pair(output, "stack", image_stack_used());
    put_pair(output, "stack_size", image_stack_size());
    end_line(output);
    if (!image->is_loaded) {
        text_put(output, "store: ");
        text_put(output, text_of(image->load_status));
        end_line(output);
    } else {
        say_store(image, output);
        say_parts(&image->hub, output);
        say_line(&image->line, output);
    }
    if (image->notes.failure[0] != '\0') {
        text_put(output, "restarted itself: ");
        text_put(output, image->notes.failure);
        end_line(output);
    }
}

static void say_phones(const struct hub *hub, struct text_writer *output) {
    for (uint32_t i = 0; i < hub->phone_count; i++) {
        const struct hub_phone *phone = &hub->phones[i];
        text_put(output, phone->id);
        text_put(output, " ");
        text_put(output, phone->slot);
        text_put(output, " ");
        text_put(output, record_phone_state_name((enum record_phone_state)phone->state));
        text_put(output, " ");
        text_put(output, phone->reason);
        end_line(output);
    }
    put_pair(output, "phones", hub->phone_count);
    end_line(output);
}

/* ---- what goes on over several turns ---- */

static void list_some(struct console *console, const struct hub *hub) {
    struct text_writer *output = &console->output;
    while (output->capacity - output->size > 128) {
        if (console->listed > hub->board->processes) {
            put_pair(output, "processes", hub->process_pool.used);
            end_line(output);
            console->listed = 0;
            return;
        }
        const struct hub_process *process = &hub->processes[console->listed - 1];
        console->listed += 1;
        if (process->number != 0 && hub_process_find(hub, process->number) == console->listed - 2) {
            const struct process_names names =
                process_status_names((enum process_status)process->status, &process->counts);
            put_pair(output, "process", process->number);
            put_pair(output, "items", process->image.item_count);
            put_pair(output, "generation", process->image.generation);
            text_put(output, names.status);
            end_line(output);
        }
    }
}

static void put_hex(struct text_writer *output, const uint8_t *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text_put_byte(output, (uint8_t)digits[bytes[i] >> 4]);
        text_put_byte(output, (uint8_t)digits[bytes[i] & 15]);
    }
}

static void dump_some(struct console *console, struct hub *hub) {
    struct text_writer *output = &console->output;
    while (output->capacity - output->size > 128) {
        struct store_group group;
        enum status status = store_next_group(&hub->store, &console->dump, console->group_buffer,
                                              sizeof console->group_buffer, &group);
        if (status != STATUS_OK) {
            console->is_dumping = false;
            text_put(output, status == STATUS_AGAIN ? "end of the log\n" : text_of(status));
            if (status != STATUS_AGAIN) {
                end_line(output);
            }
            return;
        }
        put_pair(output, "first", group.first_seq);
        put_pair(output, "records", group.record_count);
        put_pair(output, "bytes", group.records.size);
        text_put(output, "chain=");
        put_hex(output, group.chain, sizeof group.chain);
        end_line(output);
    }
}

/* ---- commands ---- */

static void refuse(struct text_writer *output, const char *expected) {
    text_put(output, "refused: expected ");
    text_put(output, expected);
    end_line(output);
}

static void do_format(struct image *image, struct bytes id, struct text_writer *output) {
    enum status status = image_format(image, id);
    text_put(output, status == STATUS_OK ? "made; restart the board" : "refused: ");
    if (status != STATUS_OK) {
        text_put(output, text_of(status));
    }
    end_line(output);
}

/* What the core says to an order: done when it is durable, or the same again in the next turn. */
static void judge(struct console *console, const struct hub *hub, enum status status,
                  uint64_t number) {
    console->is_again = status == STATUS_AGAIN;
    if (status == STATUS_OK) {
        console->accepted = number;
        console->waits_for = hub_head_seq(hub);
    } else if (status != STATUS_AGAIN) {
        text_put(&console->output, "refused: ");
        text_put(&console->output, text_of(status));
        end_line(&console->output);
    }
}

static void do_submit(struct console *console, struct hub *hub, struct bytes rest) {
    uint8_t digest[SHA256_BYTES];
    uint64_t count = 1;
    struct sha256 hash;
    struct bytes name = {rest.data, text_up_to(rest, ' ')};
    struct bytes tail = {rest.data + name.size, rest.size - name.size};
    uint32_t capability = hub_capability_find(hub, name);
    bool has_count = text_take(&tail, " ");
    if (capability == HUB_NONE || (has_count && !text_take_number(&tail, &count)) ||
        tail.size != 0 || count == 0) {
        refuse(&console->output, "submit NAME [COUNT]: a capability, and how many phones");
        return;
    }
    if (count > hub->board->items_per_request) {
        text_put(&console->output, "refused: 1 to ");
        text_put_number(&console->output, hub->board->items_per_request);
        text_put(&console->output, " phones a request");
        end_line(&console->output);
        return;
    }
    sha256_init(&hash);
    sha256_add(&hash, rest);
    sha256_end(&hash, digest);
    const struct record_request request = {
        .process_type = name,
        .system = bytes_of("console"),
        .target = bytes_of("{}"),
        .inputs = bytes_of("{}"),
        .body_digest = {digest, RECORD_DIGEST_BYTES},
        .routing = RECORD_QUEUE,
        .mode = RECORD_MANUAL,
        .priority = 5,
    };
    const struct hub_order order = {
        .request = &request, .capability = capability, .item_count = (uint32_t)count};
    struct hub_accepted accepted;
    enum status status = hub_accept(hub, &order, &accepted);
    judge(console, hub, status, accepted.number);
}

static void do_cancel(struct console *console, struct hub *hub, struct bytes rest) {
    uint64_t number = 0;
    if (!text_take_number(&rest, &number) || rest.size != 0) {
        refuse(&console->output, "cancel NUMBER");
        return;
    }
    uint32_t process = hub_process_find(hub, number);
    judge(console, hub, process == HUB_NONE ? STATUS_NOT_FOUND : hub_cancel(hub, process), number);
}

static void do_plug(struct console *console, struct fake_usb *bus, struct bytes line) {
    uint64_t number;
    bool is_hang = text_take(&line, "hang ");
    bool is_out = !is_hang && text_take(&line, "unplug ");
    bool is_in = !is_hang && !is_out && text_take(&line, "plug ");
    if ((!is_hang && !is_out && !is_in) || !text_take_number(&line, &number) || line.size != 0 ||
        number == 0 || number > FAKE_USB_PHONES) {
        refuse(&console->output, "plug, unplug or hang and 1 to 8");
        return;
    }
    if (is_hang) {
        fake_usb_hang(bus, (uint32_t)number - 1);
    } else {
        fake_usb_plug(bus, (uint32_t)number - 1, is_in);
    }
    text_put(&console->output, "ok\n");
}

/* Those that need a hub. False: it is none of them. */
static bool obey_hub(struct console *console, struct image *image, struct bytes line) {
    struct bytes rest = line;
    if (text_is(line, bytes_of("phones"))) {
        say_phones(&image->hub, &console->output);
    } else if (text_is(line, bytes_of("ps"))) {
        console->listed = 1;
    } else if (text_is(line, bytes_of("check"))) {
        say_check(image, &console->output);
    } else if (text_is(line, bytes_of("dump"))) {
        console->dump = (struct store_cursor){.seq = image->hub.store.acked_seq};
        console->is_dumping = true;
    } else if (text_take(&rest, "submit ")) {
        do_submit(console, &image->hub, rest);
    } else if (text_take(&rest, "cancel ")) {
        do_cancel(console, &image->hub, rest);
    } else if (text_take(&rest, "plug ") || text_take(&rest, "unplug ") ||
               text_take(&rest, "hang ")) {
        do_plug(console, &image->bus, line);
    } else {
        return false;
    }
    return true;
}

static void obey(struct console *console, struct image *image) {
    struct bytes line = {(const uint8_t *)console->line, console->size};
    struct bytes rest = line;
    if (line.size == 0) {
        return;
    }
    if (text_is(line, bytes_of("help"))) {
        text_put(&console->output, help_text);
    } else if (text_is(line, bytes_of("status"))) {
        say_status(image, &console->output);
    } else if (text_is(line, bytes_of("memory"))) {
        say_memory(image, &console->output);
    } else if (text_take(&rest, "format ")) {
        do_format(image, rest, &console->output);
    } else if (text_is(line, bytes_of("restart"))) {
        clock_restart();
    } else if (text_is(line, bytes_of("fail"))) {
        check(image == NULL);
    } else if (!image->is_loaded || !obey_hub(console, image, line)) {
        text_put(&console->output, image->is_loaded ? "refused: no such command, see help\n"
                                                    : "refused: no hub runs here, see status\n");
    }
}

/* ---- turns ---- */

static bool flush(struct console *console) {
    while (console->output_sent < console->output.size) {
        if (!uart_write(console->port, console->output_buffer[console->output_sent])) {
            return false;
        }
        console->output_sent += 1;
    }
    console->output.size = 0;
    console->output.is_full = false;
    console->output_sent = 0;
    return true;
}

static bool is_busy(const struct console *console) {
    return console->waits_for != 0 || console->is_again || console->is_dumping ||
           console->listed != 0;
}

/* One byte of a line; its end has the line obeyed. */
static void take(struct console *console, struct image *image, uint8_t byte) {
    if (byte != '\n' && byte != '\r') {
        console->is_long |= console->size == sizeof console->line;
        if (!console->is_long) {
            console->line[console->size] = (char)byte;
            console->size += 1;
        }
        return;
    }
    if (console->is_long) {
        refuse(&console->output, "a line of 120 bytes or less");
    } else {
        obey(console, image);
    }
    if (!console->is_again) {
        console->size = 0;
        console->is_long = false;
    }
}

static void go_on(struct console *console, struct image *image) {
    if (console->is_again) {
        console->is_again = false;
        take(console, image, '\n');
    }
    if (console->waits_for != 0 && hub_durable_seq(&image->hub) >= console->waits_for) {
        put_pair(&console->output, "accepted", console->accepted);
        put_pair(&console->output, "record", console->waits_for);
        end_line(&console->output);
        console->waits_for = 0;
    }
    if (console->is_dumping) {
        dump_some(console, &image->hub);
    }
    if (console->listed != 0) {
        list_some(console, &image->hub);
    }
}

bool console_step(struct console *console, struct image *image) {
    uint8_t byte;
    if (!flush(console)) {
        return true;
    }
    go_on(console, image);
    for (uint32_t i = 0; i < BYTES_A_STEP && !is_busy(console) && console->output.size == 0 &&
                         uart_read(console->port, &byte);
         i++) {
        take(console, image, byte);
    }
    bool is_sent = flush(console);
    return !is_sent || console->is_again || console->is_dumping || console->listed != 0;
}

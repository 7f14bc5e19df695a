/* Hub controllers on serial lines: a scripted controller behind a pseudo-terminal, time injected.
 */
#include "host/hubd/phones/serial_power.h"

#include "tests/test.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

enum { PORTS = 3 };

/* The controller: its ports, and how it behaves. */
static struct {
    int line; /* the far end; -1: unplugged */
    char typed[256];
    size_t typed_size;
    bool is_off[PORTS + 1];
    bool has_restarted; /* says R in every state */
    bool is_silent;
    bool refuses;       /* to switch */
    bool is_fatal_next; /* answers the next command with a fatal error, then nothing */
    bool is_deaf;       /* takes a switch and does nothing */
    const char *noise;  /* before every answer */
    char log[4096];     /* commands, a space behind each */
} box;

static struct loop loop;
static struct serial_power power;
static struct serial_power_settings settings;
static uint64_t now_ms;
static unsigned ended_count;
static const char *failure;
static size_t to_box, from_box; /* bytes under way: a busy machine carries them late */

/* ---- a line over the near end ---- */

static struct hal_serial line;
static char near_path[128];

static enum status line_open(struct hal_serial *serial, const char *path, uint32_t baud) {
    assert_int_equal(baud, 115200);
    assert_string_equal(path, "/dev/box");
    if (box.line < 0) {
        return STATUS_NOT_FOUND;
    }
    serial->handle = open(near_path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct termios raw;
    assert_true(serial->handle >= 0 && tcgetattr(serial->handle, &raw) == 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(serial->handle, TCSANOW, &raw), 0);
    return STATUS_OK;
}

static enum status line_read(struct hal_serial *serial, uint8_t *target, size_t size,
                             size_t *size_read) {
    ssize_t got = read(serial->handle, target, size);
    *size_read = got > 0 ? (size_t)got : 0;
    from_box -= *size_read;
    return got > 0 ? STATUS_OK : box.line < 0 ? STATUS_UNPLUGGED : STATUS_AGAIN;
}

static enum status line_write(struct hal_serial *serial, struct bytes source, size_t *size) {
    ssize_t put = write(serial->handle, source.data, source.size);
    *size = put > 0 ? (size_t)put : 0;
    to_box += *size;
    return put > 0 ? STATUS_OK : STATUS_UNPLUGGED;
}

static void line_close(struct hal_serial *serial) {
    close(serial->handle);
    to_box = 0;
    from_box = 0;
}

static const struct hal_serial_ops line_ops = {line_open, line_read, line_write, line_close};

/* ---- the controller ---- */

static void plug_box(void) {
    box.line = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(box.line >= 0 && grantpt(box.line) == 0 && unlockpt(box.line) == 0);
    assert_int_equal(ptsname_r(box.line, near_path, sizeof near_path), 0);
}

static void unplug_box(void) {
    close(box.line);
    box.line = -1;
}

static void say(const char *text) {
    size_t size = strlen(text);
    assert_int_equal(write(box.line, text, size), size);
    from_box += size;
}

static void say_state(unsigned port) {
    char row[96];
    snprintf(row, sizeof row, "%u, 0000, %s%s %s, 0, 0, x, 0.00\r\n", port,
             box.has_restarted ? "R " : "", box.is_off[port] ? "D" : "A",
             box.is_off[port] ? "O" : "S");
    say(row);
}

static void answer(const char *command) {
    unsigned port;
    char mode;
    size_t used = strlen(box.log);
    snprintf(box.log + used, sizeof box.log - used, "%s;", command);
    if (box.is_silent) {
        return;
    }
    if (box.is_fatal_next) {
        say("*FATAL ERROR E123: out of luck\r\n");
        box.is_fatal_next = false;
        box.is_silent = true;
        return;
    }
    say(box.noise == NULL ? "" : box.noise);
    if (sscanf(command, "mode %c %u", &mode, &port) == 2) {
        if (box.refuses) {
            say("*E422: system error flag is set\r\n");
        } else if (!box.is_deaf) {
            box.is_off[port] = mode == 'o';
        }
    } else if (sscanf(command, "state %u", &port) == 1) {
        say_state(port);
    } else if (strcmp(command, "crf") == 0) {
        box.has_restarted = false;
    }
    say(">> ");
}

static void run_box(void) {
    char byte;
    while (box.line >= 0 && read(box.line, &byte, 1) == 1) {
        to_box -= to_box > 0; /* what came before the line was closed is not counted */
        if (byte == '\n') {
            box.typed[box.typed_size] = '\0';
            box.typed_size = 0;
            answer(box.typed);
        } else if (byte != '\r' && box.typed_size + 1 < sizeof box.typed) {
            box.typed[box.typed_size++] = byte;
        }
    }
}

/* ---- the tests' hands ---- */

static void ended(void *owner, const char *slot, const char *why) {
    assert_ptr_equal(owner, &settings);
    assert_string_equal(slot, "usb:x-1.2");
    ended_count += 1;
    failure = why;
}

/* Lets both sides talk until neither says anything, then moves time. */
static void pass(uint64_t duration_ms) {
    uint64_t end_ms = now_ms + duration_ms;
    while (true) {
        for (unsigned quiet = 0; quiet < (to_box + from_box > 0 ? 5000 : 4); quiet++) {
            struct pollfd far = {.fd = box.line, .events = POLLIN};
            loop_step(&loop, 0);
            serial_power_step(&power, now_ms);
            if (poll(&far, 1, 1) > 0 && (far.revents & POLLIN) != 0) {
                run_box();
                quiet = 0;
            }
        }
        if (now_ms >= end_ms) {
            return;
        }
        uint64_t due_ms = serial_power_deadline_ms(&power, now_ms);
        now_ms = due_ms <= now_ms ? now_ms + 1 : due_ms < end_ms ? due_ms : end_ms;
    }
}

static struct serial_power_hub *hub(void) {
    return &power.hubs[0];
}

static int set_up(void **state) {
    (void)state;
    memset(&box, 0, sizeof box);
    memset(&power, 0, sizeof power);
    memset(&settings, 0, sizeof settings);
    to_box = 0;
    from_box = 0;
    settings.dialect = hub_dialect_named(bytes_of("cambrionix-universal"));
    snprintf(settings.name, sizeof settings.name, "shelf");
    snprintf(settings.path, sizeof settings.path, "/dev/box");
    for (unsigned i = 0; i < PORTS; i++) {
        snprintf(settings.slots[i], sizeof settings.slots[i], "usb:x-1.%u", i + 1);
    }
    line = (struct hal_serial){.ops = &line_ops};
    assert_int_equal(loop_open(&loop), STATUS_OK);
    power.loop = &loop;
    power.ended = ended;
    assert_int_equal(serial_power_add(&power, &settings, &line), STATUS_OK);
    now_ms = 1000;
    ended_count = 0;
    failure = "not yet";
    plug_box();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    serial_power_close(&power);
    loop_close(&loop);
    return 0;
}

static void forget(void) {
    box.log[0] = '\0';
}

static void switch_it(enum port_power_goal goal) {
    ended_count = 0;
    assert_ptr_equal(serial_power_of(&power, "usb:x-1.2"), hub());
    assert_int_equal(serial_power_switch(hub(), "usb:x-1.2", goal, &settings), STATUS_OK);
}

/* ---- tests ---- */

static void a_controller_is_started_and_its_ports_are_looked_at(void **state) {
    (void)state;
    box.is_off[3] = true; /* a program died while it was off */
    assert_false(serial_power_is_offered(hub()));
    pass(0);
    assert_string_equal(box.log, "host manual;state 1;state 2;state 3;mode s 3;");
    assert_false(box.is_off[3]);
    assert_true(serial_power_is_offered(hub()));
    assert_null(serial_power_of(&power, "usb:x-1.4"));
}

static void a_port_goes_off_rests_and_comes_on(void **state) {
    (void)state;
    pass(0);
    forget();
    switch_it(PORT_POWER_CYCLE);
    assert_int_equal(serial_power_switch(hub(), "usb:x-1.1", PORT_POWER_CYCLE, &settings),
                     STATUS_BUSY);
    pass(SERIAL_POWER_REST_MS - 1);
    assert_string_equal(box.log, "mode o 2;state 2;");
    assert_true(box.is_off[2] && ended_count == 0);
    pass(10);
    assert_string_equal(box.log, "mode o 2;state 2;mode s 2;state 2;");
    assert_true(ended_count == 1 && failure == NULL && !box.is_off[2]);
}

static void a_port_that_was_left_off_stays_off_over_a_restart_of_the_controller(void **state) {
    (void)state;
    pass(0);
    switch_it(PORT_POWER_LEAVE_OFF);
    pass(100);
    assert_true(ended_count == 1 && failure == NULL && box.is_off[2]);
    box.has_restarted = true;
    memset(box.is_off, 0, sizeof box.is_off);
    forget();
    pass(SERIAL_POWER_POLL_MS);
    assert_string_equal(box.log, "state 1;host manual;state 1;mode s 1;state 2;mode o 2;"
                                 "state 3;mode s 3;crf;");
    assert_true(box.is_off[2] && !box.has_restarted);
    assert_int_equal(hub()->restarts, 1);
    switch_it(PORT_POWER_LEAVE_ON);
    pass(100);
    assert_true(ended_count == 1 && failure == NULL && !box.is_off[2]);
}

static void a_controller_that_falls_silent_fails_what_it_does_and_is_opened_again(void **state) {
    (void)state;
    pass(0);
    box.is_silent = true;
    switch_it(PORT_POWER_CYCLE);
    pass(HUB_SERIAL_TRIES * HUB_SERIAL_ANSWER_MS + 10);
    assert_int_equal(ended_count, 1);
    assert_string_equal(failure, "its hub does not answer");
    assert_string_equal(hub()->obstacle, "its hub does not answer");
    assert_int_equal(serial_power_switch(hub(), "usb:x-1.2", PORT_POWER_CYCLE, &settings),
                     STATUS_DENIED);
    box.is_silent = false;
    pass(SERIAL_POWER_RETRY_MAX_MS);
    assert_null(hub()->obstacle);
    assert_false(box.is_off[2]);
}

static void after_a_fatal_error_nothing_is_sent_until_it_has_restarted(void **state) {
    (void)state;
    pass(0);
    box.is_fatal_next = true;
    switch_it(PORT_POWER_CYCLE);
    pass(0);
    assert_string_equal(failure, "its hub has failed and restarts");
    forget();
    pass(HUB_SERIAL_FATAL_MS - 1);
    assert_string_equal(box.log, "");
    box.is_silent = false;
    memset(box.is_off, 1, sizeof box.is_off);
    pass(10);
    assert_false(box.is_off[1] || box.is_off[2] || box.is_off[3]);
    assert_true(serial_power_is_offered(hub()));
    say("*FATAL ERROR E9: by itself\r\n");
    pass(0);
    forget();
    box.is_silent = true;
    pass(HUB_SERIAL_FATAL_MS - 100);
    assert_string_equal(box.log, "");
}

static void an_unplugged_adapter_is_found_again(void **state) {
    (void)state;
    pass(0);
    switch_it(PORT_POWER_CYCLE);
    pass(100);
    unplug_box();
    pass(100);
    assert_string_equal(failure, "its serial adapter was unplugged");
    pass(100000);
    assert_string_equal(hub()->obstacle,
                        "there is no such serial port; is its adapter plugged in?");
    plug_box();
    pass(SERIAL_POWER_RETRY_MAX_MS);
    assert_true(serial_power_is_offered(hub()));
    assert_false(box.is_off[2]);
    assert_int_equal(hub()->opens, 2);
}

static void a_refusal_and_a_switch_without_effect_are_told(void **state) {
    (void)state;
    pass(0);
    box.refuses = true;
    switch_it(PORT_POWER_CYCLE);
    pass(SERIAL_POWER_REST_MS + 100);
    assert_int_equal(ended_count, 1);
    assert_string_equal(failure, "its hub refused a request");
    box.refuses = false;
    box.is_deaf = true;
    switch_it(PORT_POWER_CYCLE);
    pass(SERIAL_POWER_REST_MS + 100);
    assert_int_equal(ended_count, 1);
    assert_string_equal(failure, "its hub says that it switches ports, and does not");
    assert_true(serial_power_is_offered(hub()));
}

/* Some of it hides the prompt: then it does not answer. Never does a port stay off for it. */
static void garbage_before_every_answer_leaves_no_port_off(void **state) {
    (void)state;
    static const char *const noises[] = {
        "\x01\xff\x80\x7f", "\r\n\r\n", "2, 9999, A", "2, 0000, D O, 0\n, ,,,\r\n",
        "mode o 2\r\n",     "\x11\x13", "*Egarbage"};
    char endless[600];
    memset(endless, 'x', sizeof endless - 3);
    memcpy(endless + sizeof endless - 3, "\r\n", 3);
    pass(0);
    for (unsigned i = 0; i <= array_count(noises); i++) {
        box.noise = i < array_count(noises) ? noises[i] : endless;
        switch_it(PORT_POWER_CYCLE);
        pass(100000);
        assert_int_equal(ended_count, 1);
        box.noise = NULL;
        pass(2 * SERIAL_POWER_RETRY_MAX_MS);
        assert_true(serial_power_is_offered(hub()) && !box.is_off[2]);
    }
}

static void the_plain_dialect_needs_no_start(void **state) {
    (void)state;
    settings.dialect = hub_dialect_named(bytes_of("line"));
    box.is_silent = true;
    pass(0);
    assert_string_equal(box.log, "get 1;");
    say("off\r\n");
    pass(0);
    assert_string_equal(box.log, "get 1;on 1;");
}

int host_serial_power_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_controller_is_started_and_its_ports_are_looked_at, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_port_goes_off_rests_and_comes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_port_that_was_left_off_stays_off_over_a_restart_of_the_controller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_controller_that_falls_silent_fails_what_it_does_and_is_opened_again, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(after_a_fatal_error_nothing_is_sent_until_it_has_restarted,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unplugged_adapter_is_found_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_and_a_switch_without_effect_are_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(garbage_before_every_answer_leaves_no_port_off, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_plain_dialect_needs_no_start, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("host/serial_power", tests, NULL, NULL);
}

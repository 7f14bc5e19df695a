#include "host/hubd/run/executor_flash.h"
#include "host/hubd/run/executor_power.h"
#include "host/hubd/run/executor_internal.h"

#include "host/hubd/ids.h"

#include "host/shared/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void executor_init(struct executor *executor, struct hub *hub, struct phones *phones,
                   struct attempt *attempts, const struct action_list *lists) {
    *executor =
        (struct executor){.hub = hub, .phones = phones, .attempts = attempts, .lists = lists};
}

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static const struct action *action_of(const struct attempt *attempt) {
    return &attempt->list->actions[attempt->action];
}

const struct action *executor_action(const struct attempt *attempt) {
    return action_of(attempt);
}

void executor_set_containers(struct executor *executor, struct adb_host *adb,
                             struct run_containers *containers) {
    executor->adb = adb;
    executor->containers = containers;
}

/* ---- the end of an attempt ---- */

/* Bytes of a command's output as text: what is not UTF-8 becomes a question mark. */
static struct bytes as_text(uint8_t *data, size_t size) {
    size_t from = 0;
    while (from < size && (data[from] & 0xc0) == 0x80) {
        from += 1; /* the buffer holds the last part: it may begin inside a character */
    }
    struct bytes text = {data + from, size - from};
    for (size_t i = from; i < size; i++) {
        data[i] = data[i] == 0 ? '?' : data[i];
    }
    if (!cbor_is_utf8(text)) {
        for (size_t i = from; i < size; i++) {
            data[i] = data[i] >= 0x80 ? '?' : data[i];
        }
    }
    return text;
}

static void end_attempt(struct attempt *attempt, enum record_outcome outcome,
                        enum record_category category) {
    attempt->end.outcome = (uint8_t)outcome;
    attempt->end.category = (uint8_t)category;
    attempt->end.code = text_of(attempt->code);
    attempt->end.message = text_of(attempt->message);
    attempt->end.action =
        outcome == RECORD_SUCCESS ? bytes_of("") : text_of(action_of(attempt)->name);
    attempt->end.output = as_text(attempt->output, attempt->output_size);
    struct bytes result = {0};
    if (action_write_findings(attempt->list, &attempt->findings, attempt->result,
                              sizeof attempt->result, &result) == STATUS_OK) {
        attempt->end.result = result;
    }
    attempt->step = ATTEMPT_ENDING;
}

void executor_fail(struct attempt *attempt, enum record_category category, const char *code,
                   const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(attempt->message, sizeof attempt->message, format, arguments);
    va_end(arguments);
    snprintf(attempt->code, sizeof attempt->code, "%s", code);
    attempt->message[sizeof attempt->message - 1] = '\0';
    if (!cbor_is_utf8(text_of(attempt->message))) {
        struct bytes text = as_text((uint8_t *)attempt->message, strlen(attempt->message));
        check(text.size <= sizeof attempt->message);
    }
    end_attempt(attempt, RECORD_FAILURE, category);
}

static void stop_operation(struct attempt *attempt) {
    if (attempt->operation != 0 && attempt->line != NULL) {
        phone_link_cancel(&attempt->line->link, attempt->operation);
    }
    attempt->operation = 0;
    executor_exec_stop(attempt);
    executor_flash_stop(attempt);
    executor_power_stop(attempt);
}

/* ---- one action ---- */

void executor_take_output(struct attempt *attempt, bool is_stderr, struct bytes data) {
    artifact_append(&attempt->artifact, data);
    if (is_stderr) {
        size_t room = sizeof attempt->error - attempt->error_size;
        size_t size = data.size < room ? data.size : room;
        memcpy(attempt->error + attempt->error_size, data.data, size);
        attempt->error_size += (uint32_t)size;
    }
    if (data.size >= sizeof attempt->output) {
        data.data += data.size - sizeof attempt->output;
        data.size = sizeof attempt->output;
    }
    size_t overflow = attempt->output_size + data.size > sizeof attempt->output
                          ? attempt->output_size + data.size - sizeof attempt->output
                          : 0;
    memmove(attempt->output, attempt->output + overflow, attempt->output_size - overflow);
    attempt->output_size -= (uint32_t)overflow;
    memcpy(attempt->output + attempt->output_size, data.data, data.size);
    attempt->output_size += (uint32_t)data.size;
}

static void take_output(void *owner, uint32_t operation, bool is_stderr, struct bytes data) {
    (void)operation;
    executor_take_output(owner, is_stderr, data);
}

void executor_command_ended(struct attempt *attempt, int exit_status) {
    const struct action *action = action_of(attempt);
    if (exit_status < 0) {
        executor_fail(attempt, RECORD_CATEGORY_ADB, "no_exit_status",
                      "%s: the phone closed the stream without an exit status", action->name);
        return;
    }
    attempt->end.has_exit_code = true;
    attempt->end.exit_code = exit_status;
    if (exit_status != 0 && !action->ignores_status) {
        char code[RECORD_ID_MAX];
        struct bytes error = as_text(attempt->error, attempt->error_size);
        size_t size = 0;
        while (size < error.size && error.data[size] != '\n') {
            size += 1;
        }
        snprintf(code, sizeof code, "exit_%d", exit_status);
        executor_fail(attempt, RECORD_CATEGORY_EXIT_CODE, code, "%s: exit status %d%s%.*s",
                      action->name, exit_status, size > 0 ? ": " : "", (int)size,
                      (const char *)error.data);
        return;
    }
    struct bytes output = {attempt->output, attempt->output_size};
    const char *failure = action_failure_in(action, output);
    if (failure != NULL) {
        executor_fail(attempt, RECORD_CATEGORY_EXIT_CODE, "reported_failure",
                      "%s: its output says `%s`", action->name, failure);
        return;
    }
    action_find_values(attempt->list, attempt->action, output, &attempt->findings);
    attempt->step = ATTEMPT_DONE;
}

static void operation_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    struct attempt *attempt = owner;
    const struct action *action = action_of(attempt);
    (void)operation;
    attempt->operation = 0;
    if (result->status == STATUS_DENIED || result->status == STATUS_FOREIGN ||
        result->status == STATUS_TOO_LARGE) {
        executor_fail(attempt, RECORD_CATEGORY_ADB, "refused", "%s: %s", action->name,
                      result->detail);
    } else if (result->status != STATUS_OK) {
        attempt->step = ATTEMPT_LOST;
    } else if (action->kind == ACTION_SHELL) {
        executor_command_ended(attempt, result->exit_status);
    } else {
        attempt->step = ATTEMPT_DONE;
    }
}

struct bytes executor_inputs(struct attempt *attempt) {
    struct hub *hub = attempt->executor->hub;
    uint32_t process = hub->items[attempt->start.item].process;
    struct record_header header;
    struct cbor_reader reader = {.failed = true};
    struct record_request request = {0};
    if (hub_read(hub, (struct store_key){RECORD_REQUEST, process}, &header, &reader) == STATUS_OK) {
        record_get_request(&reader, &request);
    }
    if (reader.failed) {
        request.inputs = (struct bytes){0};
    }
    return request.inputs;
}

static enum status begin_shell(struct attempt *attempt, const struct phone_handler *handler) {
    char command[PHONE_COMMAND_MAX];
    char wrong[ACTION_TEXT_BYTES];
    enum status status = action_fill(action_of(attempt)->command, executor_inputs(attempt), command,
                                     sizeof command, wrong);
    if (status != STATUS_OK) {
        executor_fail(attempt, RECORD_CATEGORY_CAPABILITY, "input_missing",
                      "%s: the inputs lack a usable `%s`", action_of(attempt)->name, wrong);
        return STATUS_OK;
    }
    return phone_link_shell(&attempt->line->link, attempt->start.token, text_of(command), handler,
                            &attempt->operation);
}

static enum status begin_transfer(struct attempt *attempt, const struct phone_handler *handler) {
    const struct action *action = action_of(attempt);
    if (action->kind == ACTION_PUSH) {
        struct phone_push push = {.path = action->source, .target = action->target, .mode = 0644};
        return phone_link_push(&attempt->line->link, attempt->start.token, &push, handler,
                               &attempt->operation);
    }
    struct phone_pull pull = {
        .source = action->source, .path = action->target, .max_bytes = action->max_bytes};
    return phone_link_pull(&attempt->line->link, attempt->start.token, &pull, handler,
                           &attempt->operation);
}

static void judge_begin(struct attempt *attempt, enum status status) {
    if (status == STATUS_ILLEGAL) {
        attempt->step = ATTEMPT_LOST;
    } else if (status != STATUS_OK && status != STATUS_FULL) {
        executor_fail(attempt, RECORD_CATEGORY_ADB, "not_started",
                      "%s: the phone's link refused it", action_of(attempt)->name);
    }
}

static void begin_action(struct attempt *attempt) {
    struct executor *executor = attempt->executor;
    struct hub *hub = executor->hub;
    const struct action *action = action_of(attempt);
    struct phone_handler handler = {
        .output = take_output, .ended = operation_ended, .owner = attempt};
    attempt->output_size = 0;
    attempt->error_size = 0;
    if (attempt->list->count >
        1) { /* a single action's output is the artifact as it is: a picture */
        artifact_begin_part(&attempt->artifact, action->name);
    }
    attempt->deadline_ms = executor->now_ms + action->timeout_ms;
    attempt->step = ATTEMPT_ACTING;
    check(attempt->list->count > 0);
    (void)!hub_attempt_progress(hub, attempt->start.phone, attempt->start.token, attempt->action,
                                100 * attempt->action / attempt->list->count);
    if (action->kind == ACTION_REVIEW) {
        attempt->step = ATTEMPT_REVIEW;
        return;
    }
    if (action->kind == ACTION_VERDICT) {
        action_judge(attempt->list, attempt->action, &attempt->findings);
        attempt->step = ATTEMPT_DONE;
        return;
    }
    (void)!hub_attempt_touched(hub, attempt->start.phone, attempt->start.token);
    if (action->kind == ACTION_POWER_CYCLE) {
        executor_power_begin(attempt);
        return;
    }
    enum status status = action->kind == ACTION_SHELL   ? begin_shell(attempt, &handler)
                         : action->kind == ACTION_EXEC  ? executor_exec_begin(attempt)
                         : action->kind == ACTION_FLASH ? executor_flash_begin(attempt)
                                                        : begin_transfer(attempt, &handler);
    if (status == STATUS_FULL) {
        attempt->step = ATTEMPT_NEXT;
    }
    judge_begin(attempt, status);
}

/* What all actions up to this one found. */
static struct record_attempt so_far_of(struct attempt *attempt) {
    struct record_attempt so_far = {
        .actions_done = attempt->action + 1,
        .progress_percent = (uint8_t)(100 * (attempt->action + 1) / attempt->list->count),
        .action = text_of(action_of(attempt)->name),
        .has_exit_code = attempt->end.has_exit_code,
        .exit_code = attempt->end.exit_code,
        .output = as_text(attempt->output, attempt->output_size),
    };
    struct bytes result = {0};
    if (action_write_findings(attempt->list, &attempt->findings, attempt->result,
                              sizeof attempt->result, &result) == STATUS_OK) {
        so_far.result = result;
    }
    return so_far;
}

static enum status record_step(struct attempt *attempt, const struct record_attempt *so_far) {
    struct hub *hub = attempt->executor->hub;
    enum status status = hub_attempt_step(hub, attempt->start.phone, attempt->start.token, so_far);
    attempt->step_seq = status == STATUS_OK ? hub_head_seq(hub) : attempt->step_seq;
    return status;
}

/* What must not run twice unknowingly begins when flash says that it is next: whoever finds the
 * attempt broken off after a power loss would take it for one that is before it. */
static bool may_begin(struct attempt *attempt) {
    const struct hub *hub = attempt->executor->hub;
    const struct hub_lease *lease = &hub->phones[attempt->start.phone].lease;
    if ((lease->once_actions >> attempt->action & 1u) == 0) {
        return true;
    }
    if (hub->items[attempt->start.item].image.actions_done < attempt->action) { /* some skipped */
        struct record_attempt so_far = so_far_of(attempt);
        so_far.actions_done = attempt->action;
        if (record_step(attempt, &so_far) != STATUS_OK) {
            return false;
        }
    }
    return hub_durable_seq(hub) >= attempt->step_seq;
}

/* Skips what the request did not ask for, then begins an action or ends the attempt. */
static void go_on(struct attempt *attempt) {
    while (attempt->action < attempt->list->count &&
           (attempt->selected >> attempt->action & 1u) == 0) {
        attempt->action += 1;
    }
    if (attempt->action < attempt->list->count) {
        if (may_begin(attempt)) {
            begin_action(attempt);
        }
        return;
    }
    attempt->message[0] = '\0';
    attempt->code[0] = '\0';
    attempt->action = attempt->list->count - 1;
    end_attempt(attempt, RECORD_SUCCESS, RECORD_CATEGORY_NONE);
}

/* ---- reports to the core ---- */

static void report_step(struct attempt *attempt) {
    struct record_attempt so_far = so_far_of(attempt);
    if (record_step(attempt, &so_far) == STATUS_OK) {
        attempt->action += 1;
        attempt->step = ATTEMPT_NEXT;
    }
}

/* A person looks at it: the core asks this attempt to stop, and goes on behind the review later. */
static void report_review(struct attempt *attempt) {
    struct record_attempt so_far = so_far_of(attempt);
    enum status status = hub_attempt_review(attempt->executor->hub, attempt->start.phone,
                                            attempt->start.token, &so_far);
    if (status == STATUS_OK) {
        attempt->step = ATTEMPT_WAITING;
    }
}

static void report_end(struct attempt *attempt) {
    enum status status = hub_attempt_end(attempt->executor->hub, attempt->start.phone,
                                         attempt->start.token, &attempt->end);
    if (status != STATUS_AGAIN) {
        attempt->step = ATTEMPT_IDLE;
        artifact_end(&attempt->artifact);
    }
}

/* ---- attempts ---- */

/* Named like its item and attempt, so that readers can find it. */
static void begin_artifact(struct attempt *attempt) {
    const struct hub *hub = attempt->executor->hub;
    const struct hub_start *start = &attempt->start;
    const struct process_id id = ids_item(hub, start->item);
    char item[PROCESS_ID_SIZE];
    process_id_format(&id, item);
    artifact_begin(&attempt->artifact, attempt->executor->artifacts, item, start->attempt);
}

static void begin_attempt(struct executor *executor, const struct hub_start *start) {
    struct attempt *attempt = &executor->attempts[start->phone];
    char wrong[ACTION_TEXT_BYTES];
    stop_operation(attempt);
    artifact_end(&attempt->artifact);
    *attempt = (struct attempt){
        .executor = executor,
        .start = *start,
        .list = &executor->lists[start->capability],
        .action = start->actions_done,
        .step = ATTEMPT_NEXT,
        .line = phones_line_of(executor->phones, start->phone),
    };
    log_info("attempt_started process=%llu item=%u attempt=%u phone=%s token=%llu",
             (unsigned long long)start->process, start->item_number, start->attempt,
             executor->hub->phones[start->phone].id, (unsigned long long)start->token);
    if (attempt->line == NULL) {
        attempt->step = ATTEMPT_LOST;
        return;
    }
    phone_link_fence(&attempt->line->link, start->token);
    begin_artifact(attempt);
    if (action_select(attempt->list, executor_inputs(attempt), &attempt->selected, wrong) !=
        STATUS_OK) {
        attempt->selected = UINT32_MAX; /* refused at submission; the capability has changed */
    }
    if (start->actions_done > 0) {
        struct bytes found = {0};
        if (hub_attempt_findings(executor->hub, start->item, &found) == STATUS_OK) {
            action_read_findings(attempt->list, found, &attempt->findings);
        }
    }
}

static void stop_attempt(struct executor *executor, uint32_t phone) {
    struct attempt *attempt = &executor->attempts[phone];
    if (attempt->step == ATTEMPT_IDLE || attempt->step == ATTEMPT_ENDING) {
        return;
    }
    stop_operation(attempt);
    snprintf(attempt->code, sizeof attempt->code, "stopped");
    snprintf(attempt->message, sizeof attempt->message, "it was asked to stop");
    if (attempt->action >= attempt->list->count) {
        attempt->action = attempt->list->count - 1;
    }
    end_attempt(attempt, RECORD_STOPPED, RECORD_CATEGORY_NONE);
}

/* The core may have ended the item by itself: a lost phone, a stop that took too long. */
static bool is_current(const struct attempt *attempt) {
    const struct hub *hub = attempt->executor->hub;
    const struct hub_phone *phone = &hub->phones[attempt->start.phone];
    return phone->item == attempt->start.item &&
           hub->items[phone->item].image.token == attempt->start.token &&
           hub->items[phone->item].image.state == RECORD_RUNNING;
}

static void step_attempt(struct attempt *attempt, uint64_t now_ms) {
    if (!is_current(attempt)) {
        stop_operation(attempt);
        artifact_end(&attempt->artifact);
        attempt->step = ATTEMPT_IDLE;
        return;
    }
    if (attempt->step == ATTEMPT_ACTING && attempt->flash != NULL) {
        executor_flash_step(attempt);
    }
    if (attempt->step == ATTEMPT_ACTING && attempt->power != ATTEMPT_POWER_NONE) {
        executor_power_step(attempt);
    }
    if (attempt->step == ATTEMPT_DONE) {
        report_step(attempt);
    }
    if (attempt->step == ATTEMPT_NEXT) {
        go_on(attempt);
    }
    if (attempt->step == ATTEMPT_REVIEW) {
        report_review(attempt);
    }
    if (attempt->step == ATTEMPT_ACTING && now_ms >= attempt->deadline_ms) {
        stop_operation(attempt);
        executor_fail(attempt, RECORD_CATEGORY_TIMEOUT, "action_timeout", "%s: no end after %llu s",
                      action_of(attempt)->name,
                      (unsigned long long)(action_of(attempt)->timeout_ms / 1000));
    }
    if (attempt->step == ATTEMPT_ENDING) {
        report_end(attempt);
    }
}

void executor_step(struct executor *executor, uint64_t now_ms) {
    struct hub_start start;
    uint32_t phone;
    executor->now_ms = now_ms;
    while (hub_next_start(executor->hub, &start)) {
        begin_attempt(executor, &start);
    }
    while (hub_next_stop(executor->hub, &phone)) {
        stop_attempt(executor, phone);
    }
    for (uint32_t p = 0; p < executor->hub->phone_count; p++) {
        if (executor->attempts[p].step != ATTEMPT_IDLE) {
            step_attempt(&executor->attempts[p], now_ms);
        }
    }
}

static bool follows(const struct executor *executor, uint32_t phone,
                    const struct action_list *list) {
    const struct attempt *attempt = &executor->attempts[phone];
    return attempt->step != ATTEMPT_IDLE && attempt->list == list;
}

bool executor_uses(const struct executor *executor, const struct action_list *list) {
    bool is_used = false;
    for (uint32_t p = 0; executor->hub != NULL && p < executor->hub->phone_count; p++) {
        is_used = is_used || follows(executor, p, list);
    }
    return is_used;
}

void executor_move_list(struct executor *executor, const struct action_list *from,
                        const struct action_list *to) {
    for (uint32_t p = 0; p < executor->hub->phone_count; p++) {
        if (follows(executor, p, from)) {
            executor->attempts[p].list = to;
        }
    }
}

uint64_t executor_deadline_ms(const struct executor *executor) {
    uint64_t next = TIMER_NEVER;
    for (uint32_t p = 0; p < executor->hub->phone_count; p++) {
        const struct attempt *attempt = &executor->attempts[p];
        uint64_t due = TIMER_NEVER;
        if (attempt->step == ATTEMPT_ACTING) {
            due = attempt->deadline_ms;
            if (attempt->flash != NULL && executor_flash_deadline_ms(attempt) < due) {
                due = executor_flash_deadline_ms(attempt);
            }
        } else if (attempt->step == ATTEMPT_NEXT &&
                   attempt->step_seq <= hub_durable_seq(executor->hub)) {
            due = executor->now_ms; /* an action can begin at once, or has been done in RAM */
        }
        next = due < next ? due : next;
    }
    return next;
}

const char *executor_step_name(const struct executor *executor, uint32_t phone) {
    const struct attempt *attempt = &executor->attempts[phone];
    if (attempt->step == ATTEMPT_ACTING && attempt->flash != NULL) {
        return executor_flash_text(attempt);
    }
    bool is_in_action = attempt->step == ATTEMPT_ACTING || attempt->step == ATTEMPT_DONE;
    return is_in_action && attempt->action < attempt->list->count ? action_of(attempt)->name : "";
}

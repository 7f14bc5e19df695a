/* The phones of one hub as its daemon sees them, after host/hubd/phones/phones.c: what the core
 * believes is compared with what is seen, and the events that are missing are sent. */
#include "tests/sim/sim.h"

#include <string.h>

enum {
    WINDOW_MS = 90000,    /* a phone that went away for its attempt may take */
    RECOVERY_MS = 400000, /* until recovery gives up */
    NO_EVENT = PHONE_EVENT_COUNT,
};

void sim_lines_forget(struct sim_host *host) {
    for (uint32_t p = 0; p < SIM_PHONES; p++) {
        host->lines[p] = (struct sim_line){.row = HUB_NONE};
    }
    memset(host->row_state, 0, sizeof host->row_state);
}

void sim_lines_begin(struct sim_host *host) {
    for (uint32_t row = 0; row < host->hub.phone_count; row++) {
        host->row_state[row] = host->hub.phones[row].state;
    }
}

/* An operator lets phones out of quarantine. */
void sim_lines_release(struct sim_host *host) {
    sim_host_clock(host);
    for (uint32_t p = 0; p < host->world->plan.phones; p++) {
        uint32_t row = host->lines[p].row;
        bool is_in = row != HUB_NONE && host->hub.phones[row].state == RECORD_PHONE_QUARANTINED;
        if (is_in && !host->phones[p].is_broken) {
            bool is_here = host->phones[p].is_plugged;
            host->lines[p].is_told_here = is_here;
            (void)sim_line_tell(host, p,
                                is_here ? PHONE_ON_RELEASE_ATTACHED : PHONE_ON_RELEASE_GONE);
        }
    }
}

uint32_t sim_line_of(const struct sim_host *host, uint32_t row) {
    for (uint32_t p = 0; p < SIM_PHONES; p++) {
        if (host->lines[p].row == row && host->phones[p].is_plugged) {
            return p;
        }
    }
    return SIM_NONE;
}

static void plan_change(struct sim_host *host, uint32_t phone, uint32_t after_ms) {
    const struct sim_event event = {
        .kind = SIM_EV_PHONE, .hub = (uint16_t)host->index, .index = phone};
    sim_plan_event(host->world, &event, after_ms);
}

void sim_phone_unplug(struct sim_host *host, uint32_t phone, uint32_t back_ms) {
    struct sim_phone *of = &host->phones[phone];
    if (!of->is_plugged) {
        return;
    }
    sim_trace(host->world, host, "phone %u leaves for %u ms", phone, back_ms);
    of->is_plugged = false;
    host->lines[phone].was_lost = true;
    if (back_ms > 0) {
        plan_change(host, phone, back_ms);
    }
}

void sim_phone_changes(struct sim_host *host, uint32_t phone) {
    struct sim_phone *of = &host->phones[phone];
    if (!of->is_plugged && !of->is_broken) {
        sim_trace(host->world, host, "phone %u comes back", phone);
        of->is_plugged = true;
    }
    sim_host_turn(host);
}

/* ---- events for the core ---- */

/* Whose fault a lost phone is will be judged by this, not by the core's own notes. */
static void note_going(struct sim_host *host, uint32_t row, uint32_t event, uint8_t from) {
    uint8_t to = host->row_state[row];
    bool is_going = from != to && (event == PHONE_ON_DETACHED || event == PHONE_ON_SILENT);
    bool had = from == RECORD_PHONE_LEASED || from == RECORD_PHONE_AWAY;
    bool is_loss = had && to != RECORD_PHONE_LEASED && to != RECORD_PHONE_AWAY;
    if (!is_going && !is_loss) {
        return;
    }
    host->goings[host->going_next % SIM_GOINGS] = (struct sim_going){
        .life = host->life,
        .row = row,
        .group = host->hub.phones[row].hub_group,
        .mono_ms = host->hub.clock.mono_ms,
        .is_going = is_going,
        .is_loss = is_loss,
    };
    host->going_next = (host->going_next + 1) % SIM_GOINGS;
}

/* Sends one event and judges what came of it by the rules as written down here. */
bool sim_row_tell(struct sim_host *host, uint32_t row, enum phone_event event) {
    struct sim_world *world = host->world;
    uint8_t from = host->hub.phones[row].state;
    bool has_lease = host->hub.phones[row].item != HUB_NONE;
    int leads = shadow_phone_leads(from, event);
    enum status status =
        sim_seen(host, SIM_ANSWER_PHONE, hub_phone_event(&host->hub, row, event, "simulated"));
    uint8_t to = host->hub.phones[row].state;
    bool waits = has_lease && (event == PHONE_ON_HANDSHAKE || event == PHONE_ON_HEALTHY);
    if (status != STATUS_OK) {
        sim_require(world, to == from, "I21 a phone's refused event changed it");
        sim_require(world, status == STATUS_AGAIN || leads < 0 || waits,
                    "I21 phone event %s in %s is refused", phone_event_name(event),
                    record_phone_state_name(from));
        return false;
    }
    sim_require(world, to == leads && !waits, "I21 phone event %s leads from %s to %s",
                phone_event_name(event), record_phone_state_name(from),
                record_phone_state_name(to));
    world->counts.phone_edges[from][event] += 1;
    world->counts.transitions += from != to;
    host->row_state[row] = to;
    note_going(host, row, event, from);
    if (from != to) {
        sim_trace(world, host, "row %u: %s to %s by %s", row, record_phone_state_name(from),
                  record_phone_state_name(to), phone_event_name(event));
    }
    return true;
}

bool sim_line_tell(struct sim_host *host, uint32_t phone, enum phone_event event) {
    struct sim_line *line = &host->lines[phone];
    uint8_t from = host->hub.phones[line->row].state;
    if (!sim_row_tell(host, line->row, event)) {
        return false;
    }
    uint8_t to = host->hub.phones[line->row].state;
    if (from != to && (to == RECORD_PHONE_AWAY || to == RECORD_PHONE_RECOVERING)) {
        line->since_ms = host->world->now_ms;
        uint32_t limit_ms = to == RECORD_PHONE_AWAY ? WINDOW_MS : RECOVERY_MS;
        plan_change(host, phone, limit_ms);
    }
    return true;
}

/* The core's own events: a lease begins, or ends. */
void sim_lines_watch(struct sim_host *host) {
    struct sim_world *world = host->world;
    for (uint32_t row = 0; row < host->hub.phone_count; row++) {
        uint8_t from = host->row_state[row];
        uint8_t to = host->hub.phones[row].state;
        if (from == to) {
            continue;
        }
        uint32_t event = from == RECORD_PHONE_READY ? PHONE_ON_LEASE : PHONE_ON_LEASE_ENDED;
        sim_require(world, shadow_phone_leads(from, event) == to,
                    "I21 phone row %u went from %s to %s by itself", row,
                    record_phone_state_name(from), record_phone_state_name(to));
        world->counts.phone_edges[from][event] += 1;
        world->counts.transitions += 1;
        host->row_state[row] = to;
        note_going(host, row, event, from);
        if (to == RECORD_PHONE_RECOVERING) {
            uint32_t phone = sim_line_of(host, row);
            if (phone != SIM_NONE) {
                host->lines[phone].since_ms = world->now_ms;
                plan_change(host, phone, RECOVERY_MS);
            }
        }
    }
}

/* ---- what is missing ---- */

static uint32_t attach_event(const struct sim_host *host, const struct sim_phone *phone) {
    return phone->is_bootloader                   ? PHONE_ON_ATTACHED_BOOTLOADER
           : host->is_crowded || phone->is_misfit ? PHONE_ON_ATTACHED_NO_ROOM
                                                  : PHONE_ON_ATTACHED;
}

/* In a state that knows detached and attached as events of their own: which one it lacks. */
static uint32_t plug_event(const struct sim_host *host, uint32_t p) {
    const struct sim_line *line = &host->lines[p];
    const struct sim_phone *phone = &host->phones[p];
    if (line->is_told_here && (line->was_lost || !phone->is_plugged)) {
        return PHONE_ON_DETACHED;
    }
    return !line->is_told_here && phone->is_plugged ? attach_event(host, phone) : NO_EVENT;
}

static uint32_t event_when_connected(const struct sim_host *host, uint32_t p, uint8_t state) {
    const struct sim_phone *phone = &host->phones[p];
    if (host->lines[p].was_lost || !phone->is_plugged) {
        return PHONE_ON_DETACHED;
    }
    bool is_authorized = state != RECORD_PHONE_UNAUTHORIZED;
    if (is_authorized && !sim_phone_answers(phone)) {
        return PHONE_ON_SILENT;
    }
    if (is_authorized && !phone->takes_key) {
        return PHONE_ON_KEY_REFUSED;
    }
    bool wants_handshake = state == RECORD_PHONE_CONNECTING || !is_authorized;
    bool answers = phone->takes_key && sim_phone_answers(phone);
    return wants_handshake && answers ? PHONE_ON_HANDSHAKE : NO_EVENT;
}

static uint32_t event_when_away(const struct sim_host *host, uint32_t p) {
    const struct sim_line *line = &host->lines[p];
    uint32_t event = plug_event(host, p);
    if (event != NO_EVENT) {
        return event;
    }
    if (host->world->now_ms >= line->since_ms + WINDOW_MS) {
        return PHONE_ON_WINDOW_OVER;
    }
    return line->is_told_here && sim_phone_answers(&host->phones[p]) ? PHONE_ON_BACK : NO_EVENT;
}

static uint32_t event_when_recovering(const struct sim_host *host, uint32_t p) {
    const struct sim_line *line = &host->lines[p];
    const struct sim_phone *phone = &host->phones[p];
    uint32_t event = plug_event(host, p);
    if (event != NO_EVENT) {
        return event;
    }
    if (line->is_told_here && sim_phone_answers(phone)) {
        return phone->takes_key ? PHONE_ON_HEALTHY : PHONE_ON_KEY_REFUSED;
    }
    if (host->world->now_ms >= line->since_ms + RECOVERY_MS) {
        return phone->is_plugged ? PHONE_ON_SPENT_ATTACHED : PHONE_ON_SPENT_GONE;
    }
    return NO_EVENT;
}

static uint32_t missing_event(const struct sim_host *host, uint32_t p) {
    const struct sim_phone *phone = &host->phones[p];
    uint8_t state = host->hub.phones[host->lines[p].row].state;
    switch ((int)state) {
    case RECORD_PHONE_ABSENT:
        return phone->is_plugged ? attach_event(host, phone) : NO_EVENT;
    case RECORD_PHONE_REFUSED:
        if (host->lines[p].was_lost || !phone->is_plugged) {
            return PHONE_ON_DETACHED;
        }
        return host->is_crowded || phone->is_misfit ? NO_EVENT : PHONE_ON_ROOM;
    case RECORD_PHONE_AWAY:
        return event_when_away(host, p);
    case RECORD_PHONE_RECOVERING:
        return event_when_recovering(host, p);
    case RECORD_PHONE_QUARANTINED:
        return plug_event(host, p);
    default:
        return event_when_connected(host, p, state);
    }
}

/* ---- who it is ---- */

static bool is_taken(const struct sim_host *host, uint32_t p, const char *name) {
    for (uint32_t other = 0; other < SIM_PHONES; other++) {
        uint32_t row = host->lines[other].row;
        if (other != p && row != HUB_NONE && strcmp(host->hub.phones[row].id, name) == 0) {
            return true;
        }
    }
    return false;
}

static struct bytes bytes_in(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void identify(struct sim_host *host, uint32_t p) {
    const struct sim_phone *phone = &host->phones[p];
    char name[SIM_PHONE_SERIAL + 4];
    char slot[4] = {'s', (char)('0' + phone->slot / 10), (char)('0' + phone->slot % 10), '\0'};
    memcpy(name, phone->serial, strlen(phone->serial) + 1);
    if (is_taken(host, p, name)) {
        size_t size = strlen(name);
        name[size] = '~';
        memcpy(name + size + 1, slot + 1, 3);
    }
    if (is_taken(host, p, name)) {
        return; /* a third one with that name waits */
    }
    uint32_t row;
    enum status status = sim_seen(
        host, SIM_ANSWER_IDENTIFY,
        hub_phone_identify(&host->hub, bytes_in(name), bytes_in(slot), bytes_in("m"), &row));
    if (status == STATUS_OK) {
        host->lines[p].row = row;
        host->lines[p].is_told_here = false;
        host->lines[p].was_lost = false;
        host->row_state[row] = host->hub.phones[row].state;
        host->lines[p].since_ms = host->world->now_ms; /* it may be away for a worker */
        host->hub.phones[row].hub_group = 1 + p / 3;
    }
}

static bool can_be_asked(const struct sim_phone *phone) {
    return phone->is_plugged && (sim_phone_answers(phone) || phone->is_bootloader);
}

static void told(struct sim_host *host, uint32_t p, uint32_t event) {
    struct sim_line *line = &host->lines[p];
    if (event == PHONE_ON_DETACHED) {
        line->was_lost = false;
        line->is_told_here = false;
    } else if (event <= PHONE_ON_ATTACHED_BOOTLOADER) {
        line->was_lost = false;
        line->is_told_here = true;
    }
}

void sim_lines_step(struct sim_host *host) {
    for (uint32_t p = 0; p < host->world->plan.phones; p++) {
        struct sim_line *line = &host->lines[p];
        if (line->row == HUB_NONE && can_be_asked(&host->phones[p])) {
            identify(host, p);
        }
        for (uint32_t i = 0; i < 6 && line->row != HUB_NONE; i++) {
            uint32_t event = missing_event(host, p);
            if (event == NO_EVENT || !sim_line_tell(host, p, (enum phone_event)event)) {
                break;
            }
            told(host, p, event);
        }
        bool is_gone = line->row != HUB_NONE && !host->phones[p].is_plugged &&
                       host->hub.phones[line->row].state == RECORD_PHONE_ABSENT;
        if (is_gone) {
            line->row = HUB_NONE; /* who comes next says its name again */
        }
    }
}

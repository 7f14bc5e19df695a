#include "host/phonesim/phone_state.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct property {
    const char *name;
    const char *value;
};

static const struct property common[] = {
    {"ro.build.version.release", "13"},
    {"ro.build.version.sdk", "33"},
    {"ro.build.version.security_patch", "2023-08-05"},
    {"ro.build.type", "user"},
    {"ro.build.tags", "release-keys"},
    {"ro.product.cpu.abi", "arm64-v8a"},
    {"ro.hardware", "phonesim"},
    {"sys.boot_completed", "1"},
    {"dev.bootcomplete", "1"},
    {"init.svc.adbd", "running"},
    {"persist.sys.timezone", "UTC"},
};

static const struct property models[][6] = {
    {{"ro.product.name", "oriole"},
     {"ro.product.model", "Pixel 6"},
     {"ro.product.device", "oriole"},
     {"ro.product.manufacturer", "Google"},
     {"ro.product.brand", "google"},
     {"ro.build.id", "TQ3A.230805.001"}},
    {{"ro.product.name", "a52sxqxx"},
     {"ro.product.model", "SM-A528B"},
     {"ro.product.device", "a52sxq"},
     {"ro.product.manufacturer", "samsung"},
     {"ro.product.brand", "samsung"},
     {"ro.build.id", "TP1A.220624.014"}},
    {{"ro.product.name", "spes_global"},
     {"ro.product.model", "2201117TG"},
     {"ro.product.device", "spes"},
     {"ro.product.manufacturer", "Xiaomi"},
     {"ro.product.brand", "Redmi"},
     {"ro.build.id", "TKQ1.221114.001"}},
};

static const struct property *model_of(const struct phone_state *state) {
    return models[state->number % array_count(models)];
}

void phone_state_init(struct phone_state *state, const char *serial, uint32_t number,
                      uint64_t now_ms) {
    memset(state, 0, sizeof *state);
    snprintf(state->serial, sizeof state->serial, "%s", serial);
    state->number = number;
    phone_state_boot(state, now_ms);
}

void phone_state_boot(struct phone_state *state, uint64_t now_ms) {
    state->booted_ms = now_ms;
    state->forced_level = -1;
    state->wants_reboot = false;
    state->wants_bootloader = false;
    state->log_count = 0;
    for (size_t i = 0; i < PHONE_SETTINGS_MAX; i++) {
        if (strncmp(state->settings[i].name, "persist.", 8) != 0) {
            state->settings[i].name[0] = '\0';
        }
    }
    phone_state_log(state, "boot completed");
}

bool phone_state_property_at(const struct phone_state *state, size_t index, const char **name,
                             const char **value) {
    size_t fixed = 1 + array_count(models[0]) + array_count(common);
    if (index == 0) {
        *name = "ro.serialno";
        *value = state->serial;
    } else if (index < 1 + array_count(models[0])) {
        *name = model_of(state)[index - 1].name;
        *value = model_of(state)[index - 1].value;
    } else if (index < fixed) {
        *name = common[index - 1 - array_count(models[0])].name;
        *value = common[index - 1 - array_count(models[0])].value;
    } else if (index < fixed + PHONE_SETTINGS_MAX) {
        *name = state->settings[index - fixed].name;
        *value = state->settings[index - fixed].value;
    } else {
        return false;
    }
    return true;
}

/* What setprop made comes last, and covers what was built in. */
const char *phone_state_property(const struct phone_state *state, const char *wanted) {
    const char *found = "";
    const char *name = NULL;
    const char *value = NULL;
    for (size_t i = 0; phone_state_property_at(state, i, &name, &value); i++) {
        if (wanted[0] != '\0' && strcmp(name, wanted) == 0) {
            found = value;
        }
    }
    return found;
}

enum status phone_state_set_property(struct phone_state *state, const char *name,
                                     const char *value) {
    if (strncmp(name, "ro.", 3) == 0) {
        return STATUS_ILLEGAL;
    }
    if (name[0] == '\0' || strlen(name) >= PHONE_NAME_SIZE || strlen(value) >= PHONE_VALUE_SIZE) {
        return STATUS_TOO_LARGE;
    }
    struct phone_setting *target = NULL;
    for (size_t i = 0; i < PHONE_SETTINGS_MAX; i++) {
        struct phone_setting *setting = &state->settings[i];
        if (strcmp(setting->name, name) == 0) {
            target = setting;
            break;
        }
        target = target == NULL && setting->name[0] == '\0' ? setting : target;
    }
    if (target == NULL) {
        return STATUS_FULL;
    }
    snprintf(target->name, sizeof target->name, "%s", name);
    snprintf(target->value, sizeof target->value, "%s", value);
    return STATUS_OK;
}

uint64_t phone_state_uptime_ms(const struct phone_state *state, uint64_t now_ms) {
    return now_ms - state->booted_ms + 60000; /* it was up before anybody looked */
}

static int battery_milli(const struct phone_state *state, uint64_t now_ms) {
    int64_t moved = (int64_t)(now_ms - state->battery_ms) * state->battery_milli_s / 1000;
    int64_t milli = state->battery_milli + (state->has_power ? moved : -moved);
    return milli < 1000 ? 1000 : milli > 100000 ? 100000 : (int)milli;
}

void phone_state_set_battery(struct phone_state *state, int level, int milli_s, uint64_t now_ms) {
    state->has_battery = true;
    state->battery_milli = level * 1000;
    state->battery_milli_s = milli_s;
    state->battery_ms = now_ms;
}

void phone_state_set_power(struct phone_state *state, bool has_power, uint64_t now_ms) {
    state->battery_milli = battery_milli(state, now_ms);
    state->battery_ms = now_ms;
    state->has_power = has_power;
}

int phone_state_battery_level(const struct phone_state *state, uint64_t now_ms) {
    if (state->forced_level >= 0) {
        return state->forced_level;
    }
    if (state->has_battery) {
        return battery_milli(state, now_ms) / 1000;
    }
    /* A saw between 55 and 95, a percent a minute; each phone starts elsewhere on it. */
    uint64_t step =
        (phone_state_uptime_ms(state, now_ms) / 60000 + (uint64_t)state->number * 7 + 30) % 80;
    return step < 40 ? 95 - (int)step : 15 + (int)step;
}

int64_t phone_state_wall_s(void) {
    return (int64_t)time(NULL);
}

void phone_state_log(struct phone_state *state, const char *text) {
    uint32_t at = (state->log_begin + state->log_count) % PHONE_LOG_LINES;
    if (state->log_count == PHONE_LOG_LINES) {
        state->log_begin = (state->log_begin + 1) % PHONE_LOG_LINES;
    } else {
        state->log_count += 1;
    }
    state->log[at].at_s = phone_state_wall_s();
    snprintf(state->log[at].text, sizeof state->log[at].text, "%s", text);
}

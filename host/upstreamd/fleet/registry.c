#include "host/upstreamd/fleet/registry.h"

#include "host/shared/capability_dir.h"
#include "host/shared/capability_file.h"

#include <stdio.h>
#include <string.h>

/* One pass over the files: the first only judges. */
struct pass {
    struct registry *registry;
    struct config_error *error;
    bool is_taking;
    struct capability capability;
    struct action_list list;
    char names[REGISTRY_MAX][RECORD_ID_MAX + 1];
    uint32_t count;
};

static uint32_t index_of(const struct registry *registry, const char *name) {
    uint32_t i = 0;
    while (i < registry->count && strcmp(registry->capabilities[i].name, name) != 0) {
        i += 1;
    }
    return i;
}

static bool is_named(const struct pass *pass, const char *name) {
    for (uint32_t i = 0; i < pass->count; i++) {
        if (strcmp(pass->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool visit(void *owner, const char *path) {
    struct pass *pass = owner;
    struct registry *registry = pass->registry;
    const char *wrong = NULL;
    if (capability_file_read(path, &pass->capability, &pass->list, pass->error) != STATUS_OK) {
        return false;
    }
    uint32_t index = index_of(registry, pass->capability.name);
    if (is_named(pass, pass->capability.name)) {
        wrong = "expected a name that no other file has";
    } else if (pass->count == REGISTRY_MAX || index == REGISTRY_MAX) {
        wrong = "expected no more than 128 capabilities";
    }
    if (wrong != NULL) {
        snprintf(pass->error->text, sizeof pass->error->text,
                 "%.300s: [capability] name: %s, got \"%s\"", path, wrong, pass->capability.name);
        return false;
    }
    snprintf(pass->names[pass->count], sizeof pass->names[0], "%s", pass->capability.name);
    pass->count += 1;
    if (pass->is_taking) {
        registry->count += index == registry->count;
        registry->capabilities[index] = pass->capability;
        registry->lists[index] = pass->list;
    }
    return true;
}

bool registry_load(struct registry *registry, const char *directory, struct config_error *error) {
    static struct pass pass;
    for (int i = 0; i < 2 && directory[0] != '\0'; i++) {
        pass.registry = registry;
        pass.error = error;
        pass.is_taking = i == 1;
        pass.count = 0;
        if (!capability_dir_walk(directory, visit, &pass, error)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < registry->count; i++) {
        struct capability *capability = &registry->capabilities[i];
        capability->is_retired = !is_named(&pass, capability->name);
    }
    return true;
}

const struct capability *registry_find(const struct registry *registry, const char *name) {
    uint32_t index = index_of(registry, name);
    return index == registry->count ? NULL : &registry->capabilities[index];
}

uint32_t registry_grant_ms(const struct capability *capability) {
    return capability == NULL || capability->grant_ms == 0 ? REGISTRY_GRANT_MS
                                                           : capability->grant_ms;
}

uint32_t registry_longest_grant_ms(const struct registry *registry) {
    uint32_t longest_ms = REGISTRY_GRANT_MS;
    for (uint32_t i = 0; i < registry->count; i++) {
        uint32_t ms = registry_grant_ms(&registry->capabilities[i]);
        longest_ms = ms > longest_ms || i == 0 ? ms : longest_ms;
    }
    return longest_ms;
}

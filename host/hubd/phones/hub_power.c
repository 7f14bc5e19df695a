#include "host/hubd/phones/hub_power.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_TIMEOUT_MS = 5000, STEP_MS = 50 };

/* ---- hubs ---- */

/* Root hubs are left out: their ports' switches are often a lie, or feed half the machine. */
void hub_power_attach(struct hub_power *power, const struct hal_usb_device *device) {
    if (device->depth == 0) {
        return;
    }
    for (size_t i = 0; i < HUB_POWER_HUBS; i++) {
        struct hub_power_hub *hub = &power->hubs[i];
        if (hub->device == 0) {
            hub->device = device->id;
            hub->is_super = device->speed == HAL_USB_SPEED_SUPER;
            memcpy(hub->slot, device->slot, sizeof hub->slot);
            return;
        }
    }
}

void hub_power_detach(struct hub_power *power, uint32_t device) {
    for (size_t i = 0; i < HUB_POWER_HUBS; i++) {
        if (power->hubs[i].device == device) {
            power->hubs[i].device = 0;
        }
    }
}

/* The slot of the hub that a slot is a port of, and the port. False: it hangs on a root hub. */
static bool split(const char *slot, char hub[HAL_USB_SLOT_SIZE], uint8_t *port) {
    const char *dot = strrchr(slot, '.');
    const char *dash = strrchr(slot, '-');
    if (dot == NULL || dash == NULL || dot < dash || strlen(slot) >= HAL_USB_SLOT_SIZE) {
        return false;
    }
    snprintf(hub, HAL_USB_SLOT_SIZE, "%.*s", (int)(dot - slot), slot);
    unsigned long number = strtoul(dot + 1, NULL, 10);
    *port = (uint8_t)number;
    return number > 0 && number <= UINT8_MAX;
}

static const struct hub_power_hub *find_hub(const struct hub_power *power, const char *slot,
                                            const struct hub_power_hub *behind) {
    const struct hub_power_hub *from = behind == NULL ? power->hubs : behind + 1;
    for (; from < power->hubs + HUB_POWER_HUBS; from++) {
        if (from->device != 0 && strcmp(from->slot, slot) == 0) {
            return from;
        }
    }
    return NULL;
}

bool hub_power_has_hub(const struct hub_power *power, const char *slot) {
    char hub[HAL_USB_SLOT_SIZE];
    uint8_t port;
    return split(slot, hub, &port) && find_hub(power, hub, NULL) != NULL;
}

bool hub_power_is_offered(const struct hub_power *power, const char *slot) {
    char hub[HAL_USB_SLOT_SIZE];
    uint8_t port;
    return split(slot, hub, &port) && find_hub(power, hub, NULL) != NULL &&
           find_hub(power, slot, NULL) == NULL;
}

uint32_t hub_power_count(const struct hub_power *power, const char *controller, size_t size) {
    uint32_t count = 0;
    for (size_t i = 0; i < HUB_POWER_HUBS; i++) {
        const struct hub_power_hub *hub = &power->hubs[i];
        count += hub->device != 0 && strncmp(hub->slot, controller, size) == 0 ? 1 : 0;
    }
    return count;
}

/* ---- operations ---- */

static bool is_busy(const struct hub_power *power, uint32_t device) {
    for (size_t i = 0; i < HUB_POWER_OPERATIONS; i++) {
        const struct hub_power_operation *operation = &power->operations[i];
        if (operation->is_used &&
            (operation->devices[0] == device || operation->devices[1] == device)) {
            return true;
        }
    }
    return false;
}

static void close_hubs(const struct hub_power *power, struct hub_power_operation *operation) {
    for (size_t i = 0; i < PORT_POWER_HALVES; i++) {
        if (operation->devices[i] != 0) {
            hal_usb_close(power->usb, operation->devices[i]);
            operation->devices[i] = 0;
        }
    }
}

static struct hub_power_operation *take_operation(struct hub_power *power) {
    for (size_t i = 0; i < HUB_POWER_OPERATIONS; i++) {
        struct hub_power_operation *operation = &power->operations[i];
        if (!operation->is_used && !operation->transfer.is_in_flight) {
            memset(operation, 0, sizeof *operation);
            return operation;
        }
    }
    return NULL;
}

/* Opens each half. */
static enum status open_hubs(struct hub_power *power, struct hub_power_operation *operation,
                             const char *hub_slot, bool supers[PORT_POWER_HALVES], uint8_t *count) {
    const struct hub_power_hub *hub = NULL;
    *count = 0;
    while (*count < PORT_POWER_HALVES && (hub = find_hub(power, hub_slot, hub)) != NULL) {
        if (is_busy(power, hub->device)) {
            return STATUS_BUSY;
        }
        enum status status = hal_usb_open(power->usb, hub->device, HAL_USB_NO_INTERFACE);
        if (status != STATUS_OK) {
            return status == STATUS_AGAIN ? STATUS_BUSY : STATUS_DENIED;
        }
        operation->devices[*count] = hub->device;
        supers[*count] = hub->is_super;
        *count = (uint8_t)(*count + 1);
    }
    return *count == 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

enum status hub_power_switch(struct hub_power *power, const char *slot, enum port_power_goal goal,
                             bool is_alone, void *owner) {
    char hub[HAL_USB_SLOT_SIZE];
    uint8_t port, count;
    bool supers[PORT_POWER_HALVES];
    if (!split(slot, hub, &port)) {
        return STATUS_NOT_FOUND;
    }
    if (find_hub(power, slot, NULL) != NULL) {
        return STATUS_DENIED;
    }
    struct hub_power_operation *operation = take_operation(power);
    if (operation == NULL) {
        return STATUS_FULL;
    }
    enum status status = open_hubs(power, operation, hub, supers, &count);
    if (status != STATUS_OK) {
        close_hubs(power, operation);
        return status;
    }
    operation->is_used = true;
    operation->owner = owner;
    snprintf(operation->slot, sizeof operation->slot, "%s", slot);
    operation->power.may_gang = is_alone;
    operation->power.goal = (uint8_t)goal;
    port_power_start(&operation->power, port, count, supers, HUB_POWER_REST_MS);
    return STATUS_OK;
}

enum status hub_power_restart(struct hub_power *power, const char *slot) {
    char hub_slot[HAL_USB_SLOT_SIZE];
    uint8_t port;
    const struct hub_power_hub *hub = NULL;
    enum status status = STATUS_NOT_FOUND;
    if (!split(slot, hub_slot, &port)) {
        return STATUS_NOT_FOUND;
    }
    while ((hub = find_hub(power, hub_slot, hub)) != NULL) {
        if (is_busy(power, hub->device)) {
            return STATUS_BUSY;
        }
        status = hal_usb_reset(power->usb, hub->device);
        if (status != STATUS_OK && status != STATUS_AGAIN) {
            return status;
        }
        status = STATUS_OK;
    }
    return status;
}

static void end(struct hub_power *power, struct hub_power_operation *operation) {
    const char *failure = operation->power.failure;
    close_hubs(power, operation);
    operation->is_used = false;
    power->ended(operation->owner, operation->slot, failure);
}

/* The kernel keeps off what it has switched itself; what it cannot switch, the hub is asked to.
 * True: it has begun, or is to be tried again by the next step. */
static bool let_system(const struct hub_power *power, struct hub_power_operation *operation,
                       const struct port_power_request *request) {
    bool is_on = request->request == USB_HUB_POWER_ON;
    if (!is_on && request->request != USB_HUB_POWER_OFF) {
        return false;
    }
    operation->asked = *request;
    operation->switched = operation->devices[request->half];
    enum status status = hal_usb_switch_port(power->usb, operation->switched, request->port, is_on);
    operation->is_waiting = status == STATUS_AGAIN;
    operation->switched = operation->is_waiting ? operation->switched : 0;
    return status == STATUS_AGAIN || status == STATUS_FULL;
}

static void ask_hub(struct hub_power *power, struct hub_power_operation *operation,
                    const struct port_power_request *request, uint64_t now_ms) {
    uint16_t size =
        usb_hub_put_setup(operation->data, request->request, request->port, request->is_super);
    operation->transfer = (struct hal_usb_transfer){
        .device = operation->devices[request->half],
        .data = operation->data,
        .size = HAL_USB_SETUP_BYTES + (uint32_t)size,
        .timeout_ms = REQUEST_TIMEOUT_MS,
        .owner = operation,
    };
    enum status status = hal_usb_submit(power->usb, &operation->transfer);
    operation->is_waiting = status == STATUS_OK;
    if (status != STATUS_OK && status != STATUS_FULL) { /* full: asked again by the next step */
        port_power_answer(&operation->power, status, (struct bytes){0}, now_ms);
    }
}

static void step(struct hub_power *power, struct hub_power_operation *operation, uint64_t now_ms) {
    struct port_power_request request;
    if (!operation->is_used || operation->is_waiting) {
        return;
    }
    enum status status = port_power_next(&operation->power, now_ms, &request);
    if (status == STATUS_OK && !let_system(power, operation, &request)) {
        ask_hub(power, operation, &request, now_ms);
    } else if (status == STATUS_CLOSED) {
        end(power, operation);
    }
}

bool hub_power_done(struct hub_power *power, struct hal_usb_transfer *transfer, uint64_t now_ms) {
    struct hub_power_operation *operation = transfer->owner;
    if (operation < power->operations || operation >= power->operations + HUB_POWER_OPERATIONS) {
        return false;
    }
    if (operation->is_used && operation->is_waiting) {
        operation->is_waiting = false;
        struct bytes data = {operation->data + HAL_USB_SETUP_BYTES, transfer->moved};
        port_power_answer(&operation->power, transfer->status, data, now_ms);
        step(power, operation, now_ms);
    }
    return true;
}

void hub_power_switched(struct hub_power *power, uint32_t hub, enum status status,
                        uint64_t now_ms) {
    for (size_t i = 0; i < HUB_POWER_OPERATIONS; i++) {
        struct hub_power_operation *operation = &power->operations[i];
        if (!operation->is_used || operation->switched != hub) {
            continue;
        }
        operation->switched = 0;
        operation->is_waiting = false;
        if (status == STATUS_OK) {
            port_power_answer(&operation->power, STATUS_OK, (struct bytes){0}, now_ms);
        } else {
            ask_hub(power, operation, &operation->asked, now_ms);
        }
    }
}

void hub_power_step(struct hub_power *power, uint64_t now_ms) {
    for (size_t i = 0; i < HUB_POWER_OPERATIONS; i++) {
        step(power, &power->operations[i], now_ms);
    }
}

uint64_t hub_power_deadline_ms(const struct hub_power *power, uint64_t now_ms) {
    for (size_t i = 0; i < HUB_POWER_OPERATIONS; i++) {
        if (power->operations[i].is_used) {
            return now_ms + STEP_MS;
        }
    }
    return UINT64_MAX;
}

// place.js - where a slot is: controller, hub, port. Slots are named as GET /slots does:
// usb:0000:00:14.0-1.4 is port 4 of the hub at port 1 of a controller; tcp:HOST:PORT a network phone.

export function placeOf(slot) {
  const usb = /^usb:(.+)-([\d.]+)$/.exec(slot);
  if (usb) {
    const chain = usb[2].split('.');
    const port = Number(chain.pop());
    return {
      controller: 'USB controller ' + usb[1],
      hub: chain.length ? 'Hub ' + chain.join('.') : 'Root ports',
      port,
      isUsb: true,
    };
  }
  const tcp = /^tcp:(.+):(\d+)$/.exec(slot);
  if (tcp) {
    return { controller: 'Network', hub: tcp[1], port: Number(tcp[2]), isUsb: false };
  }
  return { controller: 'Elsewhere', hub: slot || 'no slot', port: 0, isUsb: false };
}

const BY_NUMBER = new Intl.Collator('en', { numeric: true });
const PORTS_MAX = 16;

// A phone that is there hides one that was there before.
function stands(phone, other) {
  return !other || !other.phone || other.phone.state === 'absent' ||
    (phone.state !== 'absent' && phone.phone_id < other.phone.phone_id);
}

// [{name, hubs: [{name, ports: [{port, slot, labels, phone, connection, reason}]}]}], and phones that
// were in a slot which another one has now. Ports of a USB hub between used ones are shown empty.
export function layOut(phones, slots) {
  const ports = new Map();
  const displaced = [];
  for (const slot of slots) {
    ports.set(slot.slot, {
      slot: slot.slot, labels: slot.labels, connection: slot.connection, reason: slot.reason, phone: null,
    });
  }
  for (const phone of phones) {
    const port = ports.get(phone.slot);
    if (port && !stands(phone, port)) {
      displaced.push(phone);
      continue;
    }
    if (port?.phone) {
      displaced.push(port.phone);
    }
    ports.set(phone.slot, {
      slot: phone.slot, labels: phone.slot_labels || port?.labels || [], phone,
      connection: port?.connection, reason: port?.reason,
    });
  }
  const controllers = new Map();
  for (const entry of ports.values()) {
    const place = placeOf(entry.slot);
    const hubs = controllers.get(place.controller) || new Map();
    controllers.set(place.controller, hubs);
    const list = hubs.get(place.hub) || [];
    hubs.set(place.hub, list);
    list.push({ ...entry, port: place.port, isUsb: place.isUsb });
  }
  const sorted = [...controllers].sort((a, b) => BY_NUMBER.compare(a[0], b[0]));
  return {
    controllers: sorted.map(([name, hubs]) => ({
      name,
      hubs: [...hubs].sort((a, b) => BY_NUMBER.compare(a[0], b[0]))
        .map(([hub, list]) => ({ name: hub, ports: fill(list) })),
    })),
    displaced,
  };
}

function fill(list) {
  list.sort((a, b) => a.port - b.port || BY_NUMBER.compare(a.slot, b.slot));
  const last = list[list.length - 1].port;
  if (!list[0].isUsb || last > PORTS_MAX) {
    return list;
  }
  const byPort = new Map(list.map((entry) => [entry.port, entry]));
  const all = [];
  for (let port = 1; port <= last; port += 1) {
    all.push(byPort.get(port) || { port, slot: null, labels: [], phone: null, isUsb: true });
  }
  return all;
}

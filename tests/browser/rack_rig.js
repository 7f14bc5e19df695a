// rack_rig.js - one full rack that several tests look at: 128 phones, 1,000 processes. Tests that
// change a phone use one of their own; this one is started by whoever needs it first.

import { Hub, World, until } from './rig.js';

export const PHONES = 128;
export const PROCESSES = 1000;
export const FAILED = 100;

let rack = null;

async function start() {
  const world = new World();
  const { ports } = await world.phones(PHONES);
  const labels = ports.slice(0, 8).map((port, i) => `labels = tcp:127.0.0.1:${port} shelf-${Math.floor(i / 4) + 1}`);
  const hub = await Hub.start(world, { ports, vitals: 2, more: '[slots]\n' + labels.join('\n') });
  await hub.ready(PHONES, 90);
  const ids = [];
  for (let first = 0; first < PROCESSES; first += 20) {
    const batch = Array.from({ length: 20 }, (_, i) => {
      const isFailed = (first + i) % (PROCESSES / FAILED) === 0;
      return hub.api.submit(isFailed ? 'broken' : 'maintenance');
    });
    ids.push(...await Promise.all(batch));
  }
  await until('all have ended', 120, async () => {
    const open = await hub.api.get('/processes?status=queued&limit=1');
    const running = await hub.api.get('/processes?status=executing&limit=1');
    return open.processes.length + running.processes.length === 0;
  });
  return { world, hub, ids };
}

export function fullRack() {
  rack = rack || start();
  return rack;
}

export async function closeRack() {
  if (rack) {
    await (await rack.catch(() => null))?.world.close();
  }
}

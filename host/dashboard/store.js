// store.js - what this page knows, kept up to date by GET /stream; views are told what changed.

import { follow, get, session } from './api.js';

const STALE_MS = 12000; // the server speaks every 5 s

export const store = {
  phones: new Map(), // phone_id -> row of GET /phones; of a hub only
  hub: null, // newest `hub` event of a hub
  slots: [], // GET /slots
  heardAt: 0,
  isLive: false,
  trouble: '',
};

const listeners = new Set();

// `listener(kind, data)`: phone, process, hub, anew, change, slots, link. Gives how to stop.
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(kind, data) {
  for (const listener of listeners) {
    listener(kind, data);
  }
}

function setLive(isLive, trouble) {
  if (store.isLive !== isLive || store.trouble !== trouble) {
    store.isLive = isLive;
    store.trouble = trouble;
    tell('link');
  }
}

export async function readSlots() {
  if (session.who === null || session.isFleet) {
    return;
  }
  try {
    store.slots = (await get('/slots')).slots;
    tell('slots');
  } catch {
    // the stream says what is wrong with the link
  }
}

function take(name, data) {
  if (name === 'phone') {
    store.phones.set(data.phone_id, data);
  } else if (name === 'anew') {
    store.phones.clear();
    readSlots();
  } else if (name === 'hub' && !session.isFleet) {
    store.hub = data;
  }
  tell(name, data);
}

let stop = null;

export function start() {
  stop?.();
  store.heardAt = Date.now();
  const leave = follow('/stream', {
    event: take,
    heard: () => {
      store.heardAt = Date.now();
      setLive(true, '');
    },
    lost: (error) => setLive(false, error.message),
  });
  const timer = setInterval(() => {
    if (Date.now() - store.heardAt > STALE_MS) {
      setLive(false, store.trouble || 'nothing was heard');
    }
    tell('second');
  }, 1000);
  stop = () => {
    leave();
    clearInterval(timer);
    store.phones.clear();
    store.isLive = false;
    stop = null;
  };
}

export function end() {
  stop?.();
}

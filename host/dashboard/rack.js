// rack.js - the rack as people see it: controllers, hubs, ports in their places, each with its phone.

import { attribute, framed, h, text } from './dom.js';
import { layOut } from './place.js';
import { getAll, session } from './api.js';
import { listen, readSlots, store } from './store.js';
import { NONE, PHONE_STATES, PHONE_TONES, ago, word } from './words.js';

const SLOTS_MS = 5000;
const CELLS_A_FRAME = 24; // 128 phones within 100 ms at 60 frames a second

// What a port shows for a phone that has not said who it is.
const CONNECTION_STATES = {
  connecting: 'connecting', unauthorized: 'unauthorized', lost: 'recovering', closed: 'empty', online: 'connecting',
};

// What a phone does, or why it does nothing.
function activity(phone) {
  if (phone.process_id) {
    const step = phone.current_step ? ' · ' + phone.current_step : '';
    return (phone.process_type || 'leased') + step;
  }
  return phone.reason || (phone.state === 'ready' ? 'idle' : '');
}

function vitals(phone) {
  const parts = [];
  if (phone.battery_percent !== null && phone.battery_percent !== undefined) {
    parts.push(phone.battery_percent + ' %');
  }
  if (phone.temperature_c !== null && phone.temperature_c !== undefined) {
    parts.push(phone.temperature_c.toFixed(1) + ' °C');
  }
  return parts.join(' · ');
}

// One port. Its elements are made once; `update` changes what is another.
class Cell {
  constructor(entry) {
    this.port = h('span', { class: 'port' });
    this.state = h('span', { class: 'badge off' });
    this.name = h('span', { class: 'id' });
    this.vitals = h('span', { class: 'vitals' });
    this.does = h('span', { class: 'does' });
    this.percent = h('span', { class: 'percent' });
    this.meter = h('span', { class: 'meter', 'aria-hidden': 'true' });
    this.error = h('span', { class: 'error' });
    this.link = h('a', { class: 'cell', tabindex: '-1' },
      h('span', { class: 'line' }, this.port, this.state),
      h('span', { class: 'line' }, this.name, this.vitals),
      h('span', { class: 'line' }, this.does, this.percent),
      this.meter, this.error);
    this.element = h('li', null, this.link);
    this.update(entry);
  }

  update(entry) {
    this.entry = entry;
    const { phone, labels } = entry;
    const state = phone ? phone.state : CONNECTION_STATES[entry.connection] || 'empty';
    const tone = PHONE_TONES[state] || 'wait';
    const place = entry.port ? String(entry.port) : '';
    text(this.port, [place, ...(labels || [])].filter(Boolean).join(' '));
    text(this.state, state);
    attribute(this.state, 'class', 'badge ' + tone);
    attribute(this.link, 'class', 'cell tone-' + tone);
    text(this.name, phone ? phone.phone_id : NONE);
    text(this.vitals, phone ? vitals(phone) : '');
    text(this.does, phone ? activity(phone) : (state === 'empty' ? '' : entry.reason || ''));
    const isWorking = Boolean(phone && phone.process_id);
    const percent = isWorking ? phone.progress_percent ?? 0 : 0;
    text(this.percent, isWorking && phone.progress_percent !== undefined ? percent + ' %' : '');
    this.meter.hidden = !isWorking;
    if (this.shown !== percent) {
      this.shown = percent;
      this.meter.style.backgroundSize = percent + '% 100%';
    }
    const error = phone && phone.last_error;
    text(this.error, error ? `${word(error.category)}: ${error.message || error.code || ''}` : '');
    if (error) {
      attribute(this.error, 'title', `${this.error.textContent} (${ago(error.at)})`);
    }
    if (phone) {
      attribute(this.link, 'href', '#/phone/' + encodeURIComponent(phone.phone_id));
    } else {
      this.link.removeAttribute('href');
    }
  }
}

// Arrow keys go from port to port as they lie on the screen; Tab leaves the rack.
function moveFocus(event, root) {
  const from = event.target.closest('a.cell');
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const all = [...root.querySelectorAll('a.cell[href]')];
  const at = all.indexOf(from);
  if (at < 0 || !(event.key in steps || event.key === 'Home' || event.key === 'End')) {
    return;
  }
  event.preventDefault();
  let to = all[at];
  if (event.key === 'Home' || event.key === 'End') {
    to = event.key === 'Home' ? all[0] : all[all.length - 1];
  } else if (steps[event.key][0] !== 0) {
    to = all[at + steps[event.key][0]] || to;
  } else {
    to = nearest(from, all, steps[event.key][1]) || to;
  }
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

// The closest cell in the next row up or down.
function nearest(from, all, direction) {
  const own = from.getBoundingClientRect();
  let best = null;
  let bestFar = Infinity;
  for (const other of all) {
    const box = other.getBoundingClientRect();
    const down = (box.top - own.top) * direction;
    if (down > own.height / 2) {
      const far = down * 4 + Math.abs(box.left - own.left);
      if (far < bestFar) {
        best = other;
        bestFar = far;
      }
    }
  }
  return best;
}

function countStates(phones) {
  const counts = new Map();
  for (const phone of phones) {
    counts.set(phone.state, (counts.get(phone.state) || 0) + 1);
  }
  return PHONE_STATES.filter((state) => counts.has(state)).map((state) => [state, counts.get(state)]);
}

// On a hub: its own phones, live. On upstream: those of the hub `hubId`, read when something changed.
export function rackView(root, { hubId }) {
  const isFleet = session.isFleet;
  const cells = new Map(); // key of a port -> Cell
  let phones = store.phones;
  let shape = '';
  let counted = '';
  const counts = h('ul', { class: 'counts', 'aria-label': 'Phones by state' });
  const facts = h('p', { class: 'facts' });
  const body = h('div', { class: 'rack', onkeydown: (event) => moveFocus(event, body) });
  const title = isFleet ? 'Rack of ' + hubId : 'Rack';
  root.append(h('div', { class: 'head' }, h('h1', null, title), counts, h('span', { class: 'grow' }), facts), body);

  const build = () => {
    const layout = layOut(phones.values(), isFleet ? [] : store.slots);
    const groups = layout.controllers.map((controller) => ({
      ...controller,
      hubs: controller.hubs.map((hub) => ({ ...hub, keys: hub.ports.map((port) => `${controller.name} ${hub.name} ${port.slot || port.port}`) })),
    }));
    const displaced = layout.displaced.map((phone) => ({ port: 0, labels: [], phone, slot: null }));
    const now = JSON.stringify(groups.map((group) => group.hubs.map((hub) => hub.keys))) + displaced.map((entry) => entry.phone.phone_id);
    const cellOf = (key, entry) => {
      const cell = cells.get(key) || new Cell(entry);
      cells.set(key, cell);
      cell.update(entry);
      return cell.element;
    };
    if (now === shape) {
      groups.forEach((group) => group.hubs.forEach((hub) => hub.ports.forEach((port, i) => cellOf(hub.keys[i], port))));
      displaced.forEach((entry) => cellOf('gone ' + entry.phone.phone_id, entry));
      return;
    }
    shape = now;
    cells.clear();
    const hubSection = (name, ports) => h('section', { class: 'hub' }, h('h3', null, name), h('ul', { class: 'ports', 'aria-label': 'Ports of ' + name }, ports));
    const parts = groups.map((group) => h('section', { class: 'controller' },
      h('h2', null, group.name),
      group.hubs.map((hub) => hubSection(hub.name, hub.ports.map((port, i) => cellOf(hub.keys[i], port))))));
    if (displaced.length > 0) {
      parts.push(h('section', { class: 'controller' }, h('h2', null, 'Not in a place of their own'),
        hubSection('Seen before', displaced.map((entry) => cellOf('gone ' + entry.phone.phone_id, entry)))));
    }
    if (parts.length === 0) {
      parts.push(h('p', { class: 'note' }, 'No phone has been seen yet.'));
    }
    body.replaceChildren(...parts);
    const first = body.querySelector('a.cell[href]');
    if (first) {
      first.tabIndex = 0;
    }
  };

  // Most changes are of a phone that stays where it is: only its cell is changed.
  const byPhone = () => new Map([...cells.values()].filter((cell) => cell.entry.phone).map((cell) => [cell.entry.phone.phone_id, cell]));
  let known = new Map();
  const dirty = new Set();
  let mustBuild = true;
  const draw = framed(() => {
    if (mustBuild) {
      mustBuild = false;
      dirty.clear();
      build();
      known = byPhone();
    } else {
      // A few in each frame: when all change at once, no frame waits for all of them.
      let left = CELLS_A_FRAME;
      for (const id of dirty) {
        const cell = known.get(id);
        cell.update({ ...cell.entry, phone: phones.get(id) });
        dirty.delete(id);
        left -= 1;
        if (left === 0) {
          draw();
          break;
        }
      }
    }
    const states = countStates(phones.values());
    if (String(states) !== counted) {
      counted = String(states);
      counts.replaceChildren(...states.map(([state, number]) =>
        h('li', null, h('span', { class: 'badge ' + PHONE_TONES[state] }, state), ' ', h('b', null, String(number)))));
    }
    drawFacts();
    if (!performance.getEntriesByName('rack').length && phones.size > 0) {
      performance.mark('rack');
    }
  });
  const drawFacts = () => {
    const hub = store.hub;
    const parts = hub && !isFleet ? [
      `${hub.items.running} running`, `${hub.items.ready + hub.items.scheduled} waiting`,
      hub.sync === 'off' ? 'works alone' : `upstream ${hub.sync}, ${hub.lag_records} records behind`,
      hub.stopping ? 'stopping' : '', ...hub.warnings.map(word)].filter(Boolean) : [];
    text(facts, parts.join(' · '));
  };
  const take = (phone) => {
    const cell = known.get(phone.phone_id);
    const moved = !cell || cell.entry.slot !== phone.slot || (cell.entry.phone.state === 'absent') !== (phone.state === 'absent');
    mustBuild = mustBuild || moved;
    dirty.add(phone.phone_id);
    draw();
  };
  const readFleet = async () => {
    const rows = await getAll('/phones?hub=' + encodeURIComponent(hubId), 'phones');
    phones = new Map(rows.map((row) => [row.phone_id, row]));
    mustBuild = true;
    draw();
  };
  const stop = listen((kind, data) => {
    if (isFleet) {
      if (kind === 'change') {
        readFleet().catch(() => {});
      }
    } else if (kind === 'phone') {
      take(data);
    } else if (kind === 'anew' || kind === 'slots') {
      mustBuild = true;
      draw();
    } else if (kind === 'hub') {
      draw();
    }
  });
  const timer = isFleet ? null : setInterval(readSlots, SLOTS_MS);
  if (isFleet) {
    readFleet().catch((error) => body.replaceChildren(h('p', { class: 'note bad' }, error.message)));
  } else {
    draw();
  }
  return () => {
    stop();
    clearInterval(timer);
  };
}

// fleet.js - upstream's hubs: liveness, sync lag, gaps, forks. A hub leads to its rack.

import { badge, h, paced, text } from './dom.js';
import { getAll } from './api.js';
import { listen } from './store.js';
import { NONE, ago, count, exact, span } from './words.js';

const LAG_MS = 60000; // a hub whose records come later than this is behind

function gapsOf(hub) {
  if (hub.gap_count === 0) {
    return NONE;
  }
  const newest = hub.gaps?.[0];
  const title = newest ? `records ${newest.first_seq} to ${newest.last_seq}, told ${exact(newest.told_at)}` : null;
  return h('span', { title }, badge('wait', `${count(hub.gap_count)} gaps`), ` ${count(hub.given_up_records)} records`);
}

function liveness(hub) {
  if (hub.forks > 0 && hub.stale) {
    return badge('bad', 'forked, silent');
  }
  if (hub.forks > 0) {
    return badge('bad', 'forked');
  }
  if (hub.stale) {
    return badge('bad', 'silent');
  }
  return hub.sync_lag_ms > LAG_MS ? badge('wait', 'behind') : badge('good', 'live');
}

function rowOf(hub) {
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { class: 'id', href: '#/hub/' + encodeURIComponent(hub.hub_id) }, hub.hub_id)),
    h('td', null, liveness(hub)),
    h('td', null, h('time', { datetime: hub.hub_last_seen || '', title: exact(hub.hub_last_seen), class: 'seen' }, ago(hub.hub_last_seen))),
    h('td', null, span(hub.sync_lag_ms)),
    h('td', { class: 'number' }, count(hub.phones)),
    h('td', { class: 'number wide' }, count(hub.free_items)),
    h('td', { class: 'wide' }, gapsOf(hub)),
    h('td', { class: 'number wide' }, hub.forks ? badge('bad', String(hub.forks)) : '0'),
    h('td', { class: 'wide id', title: `store ${hub.store_id}, boot ${hub.boot}` }, `${hub.store_epoch} : ${count(hub.cursor)}`),
    h('td', { class: 'wide' }, h('a', { href: '#/processes?hub=' + encodeURIComponent(hub.hub_id), 'aria-label': 'Processes of ' + hub.hub_id }, 'Processes')));
}

export function fleetView(root) {
  const body = h('tbody');
  const facts = h('p', { class: 'facts', role: 'status' });
  const search = h('input', { type: 'search', 'aria-label': 'Find a hub', placeholder: 'Find a hub', oninput: () => draw() });
  const only = h('input', { type: 'checkbox', onchange: () => draw() });
  const headers = [['Hub'], ['Liveness'], ['Heard'], ['Sync lag'], ['Phones'], ['Free items', 'wide'], ['Gaps', 'wide'], ['Forks', 'wide'], ['Epoch : cursor', 'wide'], ['Work', 'wide']];
  root.append(h('div', { class: 'head' }, h('h1', null, 'Fleet'), h('span', { class: 'grow' }), facts),
    h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter hubs', onsubmit: (event) => event.preventDefault() }, search, h('label', { class: 'check' }, only, ' Only what needs a look')),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Hubs' },
      h('table', null, h('thead', null, h('tr', null, headers.map(([name, kind]) => h('th', { scope: 'col', class: kind || null }, name)))), body)));
  let hubs = [];
  const needsLook = (hub) => hub.stale || hub.forks > 0 || hub.gap_count > 0 || hub.sync_lag_ms > LAG_MS;
  function draw() {
    if (body.contains(document.activeElement)) {
      const id = document.activeElement.getAttribute('href');
      fill();
      body.querySelector(`a[href="${CSS.escape(id)}"]`)?.focus();
      return;
    }
    fill();
  }
  function fill() {
    const wanted = hubs.filter((hub) => hub.hub_id.includes(search.value.trim()) && (!only.checked || needsLook(hub)));
    body.replaceChildren(...wanted.map(rowOf));
    const silent = hubs.filter((hub) => hub.stale).length;
    text(facts, `${count(hubs.length)} hubs, ${count(silent)} silent, ${count(hubs.reduce((sum, hub) => sum + hub.phones, 0))} phones`);
  }
  const read = paced(async () => {
    try {
      hubs = await getAll('/hubs', 'hubs');
      draw();
    } catch (error) {
      text(facts, error.message);
    }
  }, 2000);
  read();
  const stop = listen((kind) => {
    if (kind === 'change') {
      read();
    }
  });
  return () => {
    stop();
    read.stop();
  };
}

// phone.js - one phone: how it is, what it does, what was done on it, and what an operator may do.

import { attempt, ask, notice } from './dialog.js';
import { badge, framed, h, paced } from './dom.js';
import { get, phonePath, post, session } from './api.js';
import { placeOf } from './place.js';
import { processTable } from './table.js';
import { listen, store } from './store.js';
import { NONE, PHONE_TONES, ago, exact, word } from './words.js';

const ROWS = 20;

function fact(name, ...value) {
  return [h('dt', null, name), h('dd', null, ...value)];
}

function labels(list) {
  return list && list.length ? list.map((label) => h('span', { class: 'chip' }, label)) : NONE;
}

function facts(phone) {
  const place = placeOf(phone.slot || '');
  const error = phone.last_error;
  const processLink = (id) => h('a', { class: 'id', href: '#/process/' + encodeURIComponent(id) }, id);
  const hasVitals = phone.battery_percent !== null && phone.battery_percent !== undefined;
  const list = [
    fact('Place', phone.slot ? `${place.controller}, ${place.hub}, port ${place.port}` : NONE),
    fact('Slot', h('span', { class: 'id' }, phone.slot || NONE)),
    fact('Model', phone.model || NONE),
    fact('Labels', labels(phone.labels)),
    fact('Labels of the place', labels(phone.slot_labels)),
    phone.key_unused_since ? fact('Hub key unused since', exact(phone.key_unused_since)) : [],
  ];
  if (!session.isFleet) {
    list.push(
      fact('Battery', hasVitals ? `${phone.battery_percent} %` : NONE),
      fact('Temperature', phone.temperature_c !== null && phone.temperature_c !== undefined ? `${phone.temperature_c.toFixed(1)} °C` : NONE),
      fact('Both read', phone.vitals_at ? h('span', { title: exact(phone.vitals_at) }, ago(phone.vitals_at)) : 'not yet: only an idle phone is asked'));
  }
  list.push(fact('Works on', phone.process_id ? [processLink(phone.process_id), ` ${phone.process_type || ''}`,
    phone.current_step ? `, step ${phone.current_step}` : '', phone.progress_percent !== undefined ? `, ${phone.progress_percent} %` : '',
    phone.worker ? `, by worker ${phone.worker}` : ''] : 'nothing'));
  if (!session.isFleet) {
    list.push(fact('Last error', error ? [badge('bad', word(error.category)), ` ${error.message || error.code || ''} in `, processLink(error.process_id),
      h('span', { title: exact(error.at) }, ' ' + ago(error.at))] : 'none known'));
  }
  return h('dl', { class: 'facts-list' }, list);
}

async function cutPower(phone) {
  const agreed = await ask({
    title: `Cut the power of ${phone.phone_id}?`,
    text: `The port at ${phone.slot} goes off and on again. The phone is unplugged and comes back; it is not rebooted. A leased phone is never cut.`,
    action: 'Cut power…',
  }, {
    title: 'Really cut it?',
    text: `${phone.phone_id} is ${phone.state}. If the hub switches its ports together, others on it are hit as well.`,
    action: `Cut power of ${phone.phone_id}`,
    isDangerous: true,
  });
  if (agreed) {
    await attempt('Power of ' + phone.phone_id, () => post(phonePath(phone.phone_id) + '/power'));
  }
}

async function quarantine(phone) {
  const values = await ask({
    title: `Quarantine ${phone.phone_id}?`,
    text: 'It gets no new work until it is released.' + (phone.process_id ? ` What runs on it, ${phone.process_id}, counts as lost there.` : ''),
    fields: [{ name: 'reason', label: 'Reason' }],
    action: 'Quarantine',
    isDangerous: true,
  });
  if (values) {
    await attempt('Quarantine of ' + phone.phone_id, () => post(phonePath(phone.phone_id) + '/quarantine', values.reason ? { reason: values.reason } : {}));
  }
}

async function release(phone) {
  await attempt('Release of ' + phone.phone_id, () => post(phonePath(phone.phone_id) + '/release'));
}

async function label(phone) {
  const values = await ask({
    title: `Labels of ${phone.phone_id}`,
    text: 'Words with blanks between them: letters, digits and _ . : -',
    fields: [{ name: 'labels', label: 'Labels', value: (phone.labels || []).join(' ') }],
    action: 'Save',
  });
  if (values) {
    await attempt('Labels of ' + phone.phone_id, () => post(phonePath(phone.phone_id) + '/label', { labels: values.labels.split(/[\s,]+/).filter(Boolean) }));
  }
}

function actions(phone) {
  if (session.isFleet || !session.may('operate')) {
    return [];
  }
  const button = (name, act, isDangerous) => h('button', { type: 'button', class: isDangerous ? 'danger' : null, onclick: () => act(phone) }, name);
  return [
    phone.state === 'quarantined' ? button('Release', release) : button('Quarantine…', quarantine),
    button('Labels…', label),
    button('Power cycle…', cutPower, true),
  ];
}

export function phoneView(root, { id }) {
  const head = h('div', { class: 'head' });
  const body = h('div');
  const table = processTable({ label: 'Newest processes of ' + id });
  root.append(head, body, h('h2', null, 'Newest processes here'), table.element,
    h('p', null, h('a', { href: '#/processes?phone=' + encodeURIComponent(id) }, 'All processes of this phone')));
  let phone = store.phones.get(id) || null;
  let shown = '';
  const draw = framed(() => {
    const now = JSON.stringify(phone);
    if (phone === null || (now === shown)) {
      return;
    }
    shown = now;
    const buttons = actions(phone);
    const focused = document.activeElement && head.contains(document.activeElement) ? document.activeElement.textContent : null;
    head.replaceChildren(h('h1', { class: 'id' }, id), badge(PHONE_TONES[phone.state] || 'wait', phone.state),
      phone.reason ? h('span', { class: 'reason' }, phone.reason) : '', h('span', { class: 'grow' }),
      session.isFleet ? h('a', { href: '#/hub/' + encodeURIComponent(phone.hub_id) }, 'Rack of ' + phone.hub_id) : '', ...buttons);
    buttons.find((button) => button.textContent === focused)?.focus();
    body.replaceChildren(facts(phone));
  });
  const read = async () => {
    try {
      phone = await get(phonePath(id));
      draw();
    } catch (error) {
      head.replaceChildren(h('h1', { class: 'id' }, id));
      body.replaceChildren(h('p', { class: 'note bad' }, error.message));
    }
  };
  const readTable = paced(async () => {
    try {
      const rows = (await get(`/processes?limit=${ROWS}&phone=` + encodeURIComponent(id))).processes;
      table.show(rows);
      if (session.isFleet) {
        await table.addErrors(rows);
        rows.forEach((row) => table.change(row));
      }
    } catch (error) {
      notice(error.message, true);
    }
  }, 1000);
  read();
  readTable();
  const stop = listen((kind, data) => {
    if (kind === 'phone' && data.phone_id === id) {
      phone = data;
      draw();
    } else if (kind === 'process' && (data.phone_id === id || table.change(data))) {
      readTable();
    } else if (kind === 'change') {
      read();
      readTable();
    } else if (kind === 'anew') {
      readTable();
    }
  });
  return () => {
    stop();
    readTable.stop();
  };
}

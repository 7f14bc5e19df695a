// process.js - one process: status, times, items, attempts with errors and output, its history live.

import { attempt, ask } from './dialog.js';
import { badge, h, paced, text } from './dom.js';
import { follow, get, getText, post, processPath, session } from './api.js';
import { listen } from './store.js';
import { ENDED, NONE, STATUS_TONES, clock, exact, span, statusWord, word } from './words.js';

const EVENTS_SHOWN = 500; // newest; the API has all
const LOG_SHOWN = 256 * 1024; // characters of an output; the file has all
const TIMES = ['created_at', 'accepted_at', 'queued_at', 'executing_at', 'started_at', 'first_device_at', 'retrying_at',
  'cancel_requested_at', 'updated_at', 'finished_at'];
const PART_STATES = ['completed', 'running', 'leased', 'ready', 'scheduled', 'retry_wait', 'suspended', 'failed', 'canceled'];

function phoneLink(id) {
  return id ? h('a', { class: 'id', href: '#/phone/' + encodeURIComponent(id) }, id) : NONE;
}

function json(value) {
  return JSON.stringify(value, null, 1);
}

function isEmpty(value) {
  return value === null || value === undefined || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
}

// ---- what a person may do ----

function actionsOf(process) {
  const path = processPath(process.process_id);
  const call = (name, verb, body) => () => attempt(`${name} ${process.process_id}`, () => post(path + '/' + verb, body));
  const asked = (step, act) => async () => { if (await ask(step)) { await act(); } };
  const waits = process.items?.some((item) => item.state === 'suspended' && !item.superseded);
  const isHeld = process.status_detail === 'held' || String(process.status_detail).startsWith('suspended');
  const canSettle = /suspended_(for_review|as_uncertain)|review/.test(process.status_detail + ' ' + process.state);
  const list = [];
  if (session.may('submit')) {
    if (!ENDED.has(process.status)) {
      list.push(['Suspend', call('Suspend', 'suspend')]);
      list.push(['Cancel…', asked({ title: `Cancel ${process.process_id}?`, text: 'What runs is stopped. A cancelled process cannot be resumed.', action: 'Cancel the process', isDangerous: true }, call('Cancel', 'cancel')), true]);
      if (isHeld || waits) {
        list.unshift(['Resume', call('Resume', 'resume')]);
      }
    } else if (process.status === 'failed_terminal') {
      list.push(['Retry', call('Retry', 'retry')]);
    }
  }
  if (session.may('operate') && waits && canSettle) {
    list.push(['Settle as done…', asked({ title: 'Settle as done?', text: 'You say that the work was done: every item that waits for a person becomes completed.', action: 'Settle as done' }, call('Settle', 'settle', { outcome: 'done' }))]);
    list.push(['Settle as failed…', asked({ title: 'Settle as failed?', text: 'Every item that waits for a person becomes failed.', action: 'Settle as failed', isDangerous: true }, call('Settle', 'settle', { outcome: 'failed' })), true]);
  }
  return list.map(([name, act, isDangerous]) => h('button', { type: 'button', class: isDangerous ? 'danger' : null, onclick: act }, name));
}

// ---- parts of the page ----

function progress(process) {
  const counts = process.partial_progress || {};
  const all = PART_STATES.filter((state) => counts[state] > 0);
  const sum = all.reduce((total, state) => total + counts[state], 0);
  const percent = process.progress_percent ?? 0;
  const meter = h('progress', { max: '100', value: String(percent), 'aria-label': 'Progress' });
  return h('div', { class: 'progress' }, meter, h('span', null, `${percent} %`),
    process.current_step ? h('span', { class: 'muted' }, 'step ' + process.current_step) : '',
    sum > 1 ? h('ul', { class: 'counts', 'aria-label': 'Items by state' }, all.map((state) =>
      h('li', null, badge(STATUS_TONES[state], word(state)), ' ', h('b', null, String(counts[state]))))) : '');
}

function factsOf(process) {
  const rows = [
    ['Type', process.process_type], ['Request', process.request_id], ['Mode', process.mode],
    ['Target', process.target && [process.target.routing, process.target.phone_id, process.target.account_id, ...(process.target.phone_ids || [])].filter(Boolean).join(' ')],
    ['Requested by', process.requested_by && [process.requested_by.system, process.requested_by.user].filter(Boolean).join(' / ')],
    ['Hub', process.hub_id], ['Priority', process.priority], ['Generation', process.generation], ['Attempts', process.attempts],
    ['Labels needed', (process.labels || []).join(' ')], ['Concurrency key', process.concurrency_key],
    ['Not before', process.not_before], ['Deadline', process.deadline],
    ['Related', process.related && `${process.related.type} ${process.related.id}`], ['Workspace', process.workspace_id], ['Queue', process.queue],
    ['State, job status', [process.state, process.job_status, process.internal_status].join(', ')],
  ];
  return h('dl', { class: 'facts-list' }, rows.filter(([, value]) => !isEmpty(value)).map(([name, value]) => [h('dt', null, name), h('dd', null, String(value))]));
}

function timesOf(times) {
  const start = times.created_at && new Date(times.created_at);
  const rows = TIMES.filter((name) => times[name]).sort((a, b) => new Date(times[a]) - new Date(times[b]) || TIMES.indexOf(a) - TIMES.indexOf(b));
  return h('table', { class: 'tight' }, h('caption', null, 'Timestamps'),
    h('thead', { class: 'off-screen' }, h('tr', null, h('th', { scope: 'col' }, 'What'), h('th', { scope: 'col' }, 'When'), h('th', { scope: 'col' }, 'After'))),
    h('tbody', null, rows.map((name) => h('tr', null, h('th', { scope: 'row' }, word(name.replace(/_at$/, ''))),
      h('td', null, h('time', { datetime: times[name] }, exact(times[name]))),
      h('td', { class: 'muted' }, start && times[name] !== times.created_at ? '+ ' + span(new Date(times[name]) - start) : '')))));
}

function logButton(item, number) {
  if (session.isFleet) {
    return NONE;
  }
  const name = `attempt ${number} of ${item}`;
  const show = async () => {
    await attempt('Full log of ' + name, async () => {
      const whole = await getText(`/artifacts/${encodeURIComponent(item)}/${number}`);
      const url = URL.createObjectURL(new Blob([whole], { type: 'text/plain' }));
      const close = h('button', { type: 'button', onclick: () => dialog.close() }, 'Close');
      const cut = whole.length > LOG_SHOWN;
      const dialog = h('dialog', { class: 'log', 'aria-labelledby': 'log-title', onclose: () => { URL.revokeObjectURL(url); dialog.remove(); } },
        h('div', { class: 'head' }, h('h2', { id: 'log-title' }, 'Output of ' + name), h('span', { class: 'grow' }),
          h('a', { href: url, download: `${item}.${number}.log` }, 'Save as a file'), close),
        cut ? h('p', { class: 'muted' }, `The last ${LOG_SHOWN / 1024} KiB; the file has all.`) : '',
        h('pre', { tabindex: '0' }, cut ? whole.slice(-LOG_SHOWN) : whole || '(no output)'));
      document.body.append(dialog);
      dialog.showModal();
      close.focus();
    });
  };
  return h('button', { type: 'button', class: 'link', 'aria-label': 'Full log of ' + name, onclick: show }, 'Full log');
}

function errorFacts(error) {
  const hasExit = error.exit_code !== null && error.exit_code !== undefined;
  return [error.action && 'action ' + error.action, hasExit && 'exit status ' + error.exit_code, error.attempt && 'attempt ' + error.attempt,
    error.code, error.phone, error.at && exact(error.at)].filter(Boolean).join(' · ');
}

// Every attempt of every item: those that failed say why; the API keeps the first and last few.
function attemptsOf(process) {
  const errors = new Map((process.errors || []).map((error) => [error.item_id + ' ' + error.attempt, error]));
  const rows = [];
  for (const item of process.items || []) {
    const head = [h('td', { class: 'id' }, item.id.replace(process.process_id, '')), h('td', null, badge(STATUS_TONES[item.state], word(item.state))),
      h('td', null, phoneLink(item.phone_id))];
    const detail = [item.superseded ? 'superseded by a retry' : '', item.worker ? 'worker ' + item.worker : '', `generation ${item.generation}`,
      `${item.attempts_counted} of ${item.attempt} attempts counted`].filter(Boolean).join(' · ');
    rows.push(h('tr', { class: item.superseded ? 'muted' : null }, head, h('td', { colspan: '3', class: 'muted' }, detail)));
    for (let number = 1; number <= item.attempt; number += 1) {
      const error = errors.get(item.id + ' ' + number);
      const isLast = number === item.attempt;
      const outcome = error ? badge('bad', word(error.category)) : badge(isLast ? STATUS_TONES[item.state] : 'off', isLast ? word(item.state) : 'not kept');
      rows.push(h('tr', { class: 'attempt' }, h('th', { scope: 'row' }, 'attempt ' + number), h('td', null, outcome),
        h('td', null, phoneLink(error?.phone)), h('td', null, error ? h('time', { title: exact(error.at) }, clock(error.at)) : ''),
        h('td', { class: 'message' }, error ? [error.message || error.code || '', h('div', { class: 'muted' },
          [error.action && 'action ' + error.action, error.exit_code !== null && 'exit status ' + error.exit_code, error.code].filter(Boolean).join(' · ')),
        error.output_tail ? h('details', { open: (process.errors || []).length <= 3 }, h('summary', null, 'Last output'), h('pre', { tabindex: '0' }, error.output_tail)) : ''] : ''),
        h('td', null, logButton(item.id, number))));
    }
  }
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Items and attempts' },
    h('table', null, h('thead', null, h('tr', null, ['Item', 'State', 'Phone', 'Ended', 'Error and output', 'Log'].map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', null, rows)));
}

function eventRow(event, before) {
  const payload = event.payload && Object.keys(event.payload).length ? h('details', null, h('summary', { 'aria-label': 'Details of event ' + event.id }, 'details'), h('pre', { tabindex: '0' }, json(event.payload))) : '';
  const wait = before?.created_at && event.created_at ? new Date(event.created_at) - new Date(before.created_at) : 0;
  return h('li', null, h('span', { class: 'seq' }, String(event.id)), h('time', { datetime: event.created_at || '', title: exact(event.created_at) }, exact(event.created_at).slice(11)),
    h('span', { class: 'muted wait' }, wait > 0 ? '+ ' + span(wait) : ''), badge(STATUS_TONES[event.status] || 'off', word(event.status || '')),
    h('span', { class: 'what' }, event.message || word(event.type), event.step ? h('span', { class: 'muted' }, ` step ${event.step}`) : '',
      event.progress_percent !== null ? h('span', { class: 'muted' }, ` ${event.progress_percent} %`) : ''), payload);
}

export function processView(root, { id }) {
  const head = h('div', { class: 'head' });
  const body = h('div', { class: 'columns' });
  const list = h('ol', { class: 'events' });
  const eventNote = h('p', { class: 'facts', role: 'status' });
  const outcome = h('div');
  root.append(head, outcome, body, h('h2', null, 'Event time line'), eventNote, list);
  let last = null;
  let shown = '';

  const draw = (process) => {
    const now = json(process);
    if (now === shown) {
      return;
    }
    shown = now;
    const buttons = actionsOf(process);
    const focused = head.contains(document.activeElement) ? document.activeElement.textContent : null;
    head.replaceChildren(h('h1', { class: 'id' }, id), badge(STATUS_TONES[process.status], statusWord(process), process.internal_status),
      h('span', { class: 'reason' }, process.status_detail ? word(process.status_detail) : ''), h('span', { class: 'grow' }), ...buttons);
    (buttons.find((button) => button.textContent === focused) || (focused && head.querySelector('button')))?.focus?.();
    const isStale = process.stale ? h('p', { class: 'note wait' }, `As of ${exact(process.status_as_of)}: its hub has not been heard since.`) : '';
    const error = process.error ? h('div', { class: 'note bad' }, h('b', null, word(process.error.category) + ': '), process.error.message || process.error.code || '',
      h('div', { class: 'muted' }, errorFacts(process.error))) : '';
    const result = !isEmpty(process.result) ? h('details', { open: process.status === 'completed' }, h('summary', null, 'Result'), h('pre', { tabindex: '0' }, json(process.result))) : '';
    const inputs = !isEmpty(process.inputs) ? h('details', null, h('summary', null, 'Inputs'), h('pre', { tabindex: '0' }, json(process.inputs))) : '';
    const left = process.truncated ? h('p', { class: 'muted' }, 'Some outputs are left out here: too many for one answer.') : '';
    outcome.replaceChildren(progress(process), isStale, error);
    body.replaceChildren(h('section', null, h('h2', null, 'Request'), factsOf(process), inputs), h('section', null, h('h2', null, 'Times'), timesOf(process.timestamps)),
      h('section', { class: 'whole' }, h('h2', null, 'Items and attempts'), left,
        process.errors_dropped ? h('p', { class: 'muted' }, `${process.errors_dropped} errors in between are not kept.`) : '', attemptsOf(process), result));
  };
  const read = paced(async () => {
    try {
      draw(await get(processPath(id)));
    } catch (error) {
      head.replaceChildren(h('h1', { class: 'id' }, id));
      outcome.replaceChildren(h('p', { class: 'note bad' }, error.message));
    }
  }, 250);

  const add = (event) => {
    list.append(eventRow(event, last));
    last = event;
    if (list.children.length > EVENTS_SHOWN) {
      list.firstElementChild.remove();
    }
  };
  let leave = () => {};
  const watch = () => {
    leave();
    leave = follow(processPath(id) + '/stream', {
      event: (name, data) => {
        if (name === 'gap') {
          list.append(h('li', { class: 'muted' }, `Events ${data.first} to ${data.last} are gone.`));
        } else {
          add(data);
          read();
        }
      },
      heard: () => text(eventNote, 'Live'),
      lost: () => text(eventNote, 'Not live: trying again'),
      ended: () => text(eventNote, 'It has ended: nothing more will come, unless it is retried'),
    });
  };
  read();
  watch();
  const stop = listen((kind, data) => {
    if (kind === 'process' && data.process_id === id) {
      read();
      if (!ENDED.has(data.status) && eventNote.textContent.startsWith('It has ended')) {
        text(eventNote, '');
        list.replaceChildren(); // retried: the whole history comes again
        last = null;
        watch();
      }
    } else if (kind === 'change' || kind === 'anew') {
      read();
    }
  });
  return () => {
    stop();
    leave();
    read.stop();
  };
}

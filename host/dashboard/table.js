// table.js - processes as a table: filtered, sorted, page by page, live.

import { badge, h, paced, text } from './dom.js';
import { get, processPath, session } from './api.js';
import { listen, store } from './store.js';
import { ENDED, NONE, STATUSES, STATUS_TONES, clock, count, exact, span, statusWord, word } from './words.js';

const PAGE = 50;
const FILTERS = ['status', 'failed', 'phone', 'type', 'since', 'until', 'sort', 'hub'];

// The columns; `sort`: the list's order that its header asks for.
const COLUMNS = [
  { name: 'Status', sort: 'status', direction: 'descending' },
  { name: 'Process' },
  { name: 'Type', isWide: true },
  { name: 'Phone', isWide: true },
  { name: 'Tries', isWide: true },
  { name: 'Error' },
  { name: 'Created', sort: 'newest', other: 'oldest', direction: 'descending' },
  { name: 'Took', isWide: true },
  { name: 'Changed', sort: 'changed', direction: 'descending', isWide: true },
];

function took(row) {
  return row.created_at && row.finished_at ? span(new Date(row.finished_at) - new Date(row.created_at)) : NONE;
}

function errorText(error) {
  return error ? `${word(error.category)}: ${error.message || error.code || ''}` : '';
}

function cellsOf(row) {
  const error = errorText(row.error);
  const phone = row.phone_id
    ? h('a', { href: '#/phone/' + encodeURIComponent(row.phone_id) }, row.phone_id) : NONE;
  return [
    badge(STATUS_TONES[row.status], statusWord(row), row.internal_status),
    [h('a', { class: 'id', href: '#/process/' + encodeURIComponent(row.process_id) }, row.process_id),
      h('span', { class: 'narrow' }, [row.process_type, row.phone_id].filter(Boolean).join(' · '))],
    row.process_type || NONE,
    phone,
    String(row.attempts),
    h('span', { class: 'preview', title: error || null }, error),
    h('time', { datetime: row.created_at || '', title: exact(row.created_at) }, clock(row.created_at)),
    took(row),
    h('time', { datetime: row.updated_at || '', title: exact(row.updated_at) }, clock(row.updated_at)),
  ];
}

function rowOf(row) {
  return h('tr', { 'data-id': row.process_id },
    cellsOf(row).map((cell, i) => h('td', { class: COLUMNS[i].isWide ? 'wide' : null }, cell)));
}

// Upstream's rows do not say why: the few that failed on a page are asked one by one.
async function addErrors(rows) {
  const failed = rows.filter((row) => row.error === undefined || (row.error === null && row.status === 'failed_terminal'));
  for (const row of failed.filter((one) => one.status === 'failed_terminal' || one.status === 'retrying')) {
    try {
      row.error = (await get(processPath(row.process_id))).error;
    } catch {
      return;
    }
  }
}

// A table of rows, with headers that sort when `onSort` is given.
export function processTable({ label, sort, onSort }) {
  const body = h('tbody');
  const heads = COLUMNS.map((column) => {
    const isSorted = sort !== undefined && column.sort !== undefined && (sort === column.sort || sort === column.other);
    const direction = sort === column.other ? 'ascending' : 'descending';
    const next = isSorted && column.other && sort === column.sort ? column.other : column.sort;
    const canSort = onSort && column.sort && !(session.isFleet && column.sort !== 'newest');
    return h('th', { scope: 'col', class: column.isWide ? 'wide' : null, 'aria-sort': isSorted ? direction : null },
      canSort ? h('button', { type: 'button', class: 'sort', onclick: () => onSort(next) }, column.name,
        h('span', { 'aria-hidden': 'true' }, isSorted ? (direction === 'ascending' ? ' ↑' : ' ↓') : '')) : column.name);
  });
  const element = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label },
    h('table', null, h('thead', null, h('tr', null, heads)), body));
  const show = (rows) => body.replaceChildren(...rows.map(rowOf));
  const change = (row) => {
    const old = body.querySelector(`tr[data-id="${CSS.escape(row.process_id)}"]`);
    if (old && !old.contains(document.activeElement)) {
      old.replaceWith(rowOf(row));
    } else if (old) {
      // The focus stays on the link in the second cell; the rest is changed around it.
      rowOf(row).querySelectorAll('td').forEach((cell, i) => {
        if (!old.children[i].contains(document.activeElement)) {
          old.children[i].replaceWith(cell);
        }
      });
    }
    return old !== null;
  };
  return { element, show, change, addErrors };
}

function localTime(time) {
  const at = new Date(time);
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function filterForm(query, types, onChange) {
  const option = (value, name) => h('option', { value, selected: (query.get('status') || '') === value }, name);
  const status = h('select', { name: 'status' }, option('', 'any'), STATUSES.map((one) => option(one, word(one))));
  const failed = h('input', { type: 'checkbox', name: 'failed', checked: query.has('failed') });
  const phone = h('input', { name: 'phone', list: 'phones', value: query.get('phone') || '', size: '14', autocomplete: 'off', spellcheck: 'false' });
  const type = h('input', { name: 'type', list: 'types', value: query.get('type') || '', size: '14', autocomplete: 'off', spellcheck: 'false' });
  const time = (name) => h('input', { type: 'datetime-local', name, value: query.get(name) ? localTime(query.get(name)) : '' });
  const since = time('since');
  const until = time('until');
  const form = h('form', {
    class: 'filters',
    role: 'search',
    'aria-label': 'Filter processes',
    onsubmit: (event) => event.preventDefault(),
    onchange: () => onChange({
      status: status.value, failed: failed.checked ? '1' : '', phone: phone.value.trim(), type: type.value.trim(),
      since: since.value && new Date(since.value).toISOString(), until: until.value && new Date(until.value).toISOString(),
    }),
  },
  h('label', null, 'Status ', status),
  h('label', { class: 'check' }, failed, ' Failed only'),
  h('label', null, 'Phone ', phone),
  h('label', null, 'Type ', type),
  !session.isFleet && [h('label', null, 'From ', since), h('label', null, 'To ', until)],
  h('button', { type: 'button', class: 'quiet', onclick: () => onChange({ status: '', failed: '', phone: '', type: '', since: '', until: '' }) }, 'Clear'),
  h('datalist', { id: 'phones' }, [...store.phones.keys()].sort().map((id) => h('option', { value: id }))),
  h('datalist', { id: 'types' }, types.map((name) => h('option', { value: name }))));
  return form;
}

export function processesView(root, { query, go }) {
  const sort = query.get('sort') || 'newest';
  const cursors = (query.get('pages') || '').split(',').filter(Boolean);
  const goTo = (changes, pages) => {
    const next = new URLSearchParams();
    for (const name of FILTERS) {
      const value = name in changes ? changes[name] : query.get(name);
      if (value) {
        next.set(name, value);
      }
    }
    if (pages?.length) {
      next.set('pages', pages.join(','));
    }
    go('#/processes' + (next.size ? '?' + next : ''));
  };
  const table = processTable({ label: 'Processes', sort, onSort: (order) => goTo({ sort: order === 'newest' ? '' : order }) });
  const status = h('p', { class: 'facts', role: 'status' });
  const back = h('button', { type: 'button', disabled: cursors.length === 0, onclick: () => goTo({}, cursors.slice(0, -1)) }, 'Previous page');
  const next = h('button', { type: 'button', disabled: true }, 'Next page');
  const form = h('div');
  root.append(h('div', { class: 'head' }, h('h1', null, 'Processes'), h('span', { class: 'grow' }), status), form, table.element,
    h('div', { class: 'row pager' }, back, h('span', null, 'Page ' + (cursors.length + 1)), next));
  const setForm = (types) => form.replaceChildren(filterForm(query, types, (changes) => goTo(changes)));
  setForm([]);
  if (!session.isFleet) {
    get('/capabilities').then((body) => setForm(body.capabilities.map((one) => one.name))).catch(() => {});
  }

  const control = new AbortController();
  const params = new URLSearchParams({ limit: String(PAGE) });
  for (const name of FILTERS) {
    if (query.get(name)) {
      params.set(name, query.get(name));
    }
  }
  if (cursors.length) {
    params.set('cursor', cursors[cursors.length - 1]);
  }
  const read = async () => {
    let page;
    try {
      page = await get('/processes?' + params, control.signal);
    } catch (error) {
      if (!control.signal.aborted) {
        text(status, error.message);
      }
      return;
    }
    const rows = page.processes;
    if (!root.querySelector('td :focus')) {
      table.show(rows);
    } else {
      rows.forEach((row) => table.change(row) || refresh());
    }
    const from = cursors.length * PAGE;
    text(status, rows.length ? `${count(from + 1)} to ${count(from + rows.length)}${page.next_cursor ? '' : ', the last'}` : 'No process is like that.');
    next.disabled = !page.next_cursor;
    next.onclick = () => goTo({}, [...cursors, page.next_cursor]);
    if (session.isFleet && rows.some((row) => row.status === 'failed_terminal')) {
      await addErrors(rows);
      rows.forEach((row) => table.change(row));
    }
  };
  const refresh = paced(read, 1000);
  refresh();
  const stop = listen((kind, data) => {
    if (kind === 'process') {
      const isPlain = table.change(data);
      // A row that is new here, or may not belong here any more: the page is read again, by and by.
      if (!isPlain || ENDED.has(data.status) || query.size > 0) {
        refresh();
      }
    } else if (kind === 'anew' || kind === 'change') {
      refresh();
    }
  });
  return () => {
    stop();
    refresh.stop();
    control.abort();
  };
}

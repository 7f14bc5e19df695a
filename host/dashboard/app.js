// app.js - the frame: asks for a token, knows which view is shown, and whether what is shown is live.

import { session, whoami } from './api.js';
import { h, text } from './dom.js';
import { end, listen, readSlots, start, store } from './store.js';
import { clock, span } from './words.js';

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const link = document.getElementById('link');
const stale = document.getElementById('stale');

// ---- theme ----

const THEMES = { '': 'auto', light: 'light', dark: 'dark' };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  text(document.getElementById('theme').lastElementChild, THEMES[theme]);
  localStorage.setItem('hubd-theme', theme);
}

document.getElementById('theme').addEventListener('click', () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
setTheme(localStorage.getItem('hubd-theme') in THEMES ? localStorage.getItem('hubd-theme') : '');

// ---- views ----

let leaveView = () => {};
let turn = 0; // views that were asked for: one whose file comes late may not be the newest

// Each view's file comes when it is first shown, or once the first one stands.
const FILES = {
  rack: () => import('./rack.js'),
  phone: () => import('./phone.js'),
  table: () => import('./table.js'),
  process: () => import('./process.js'),
  plots: () => import('./plots.js'),
  fleet: () => import('./fleet.js'),
};
const VIEWS = {
  rack: ['rack', (file, root) => file.rackView(root, {})],
  hub: ['rack', (file, root, id) => file.rackView(root, { hubId: id })],
  phone: ['phone', (file, root, id) => file.phoneView(root, { id })],
  processes: ['table', (file, root, id, query) => file.processesView(root, { query, go })],
  process: ['process', (file, root, id) => file.processView(root, { id })],
  plots: ['plots', (file, root) => file.plotsView(root)],
  fleet: ['fleet', (file, root) => file.fleetView(root)],
};
const PARENTS = { phone: 'rack', hub: 'fleet', process: 'processes' };

function go(hash) {
  location.hash = hash;
}

function clear() {
  turn += 1;
  leaveView();
  leaveView = () => {};
  main.replaceChildren();
}

function wanted() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, id] = path.split('/').map(decodeURIComponent);
  return { name, id, search };
}

async function show() {
  const { name, id, search } = wanted();
  const home = session.isFleet ? 'fleet' : 'rack';
  const view = VIEWS[name] && !(session.isFleet && name === 'rack') ? name : home;
  clear();
  const parent = session.isFleet && view === 'phone' ? 'fleet' : PARENTS[view] || view;
  for (const one of nav.children) {
    one.toggleAttribute('aria-current', one.dataset.view === parent);
    if (one.dataset.view === parent) {
      one.setAttribute('aria-current', 'page');
    }
  }
  const title = [id, view[0].toUpperCase() + view.slice(1), session.who.hub_id || 'upstream'].filter(Boolean).join(' · ');
  document.title = title;
  const mine = turn;
  const [file, draw] = VIEWS[view];
  const loaded = await FILES[file]().catch(() => null);
  if (mine !== turn) {
    return;
  }
  if (loaded === null) {
    main.append(h('p', { class: 'note bad', role: 'alert' }, 'A file of this page could not be loaded. Load the page again.'));
  } else {
    leaveView = draw(loaded, main, id, new URLSearchParams(search || ''));
  }
}

// The others, so that they are there even when the server is not.
function loadRest() {
  Object.values(FILES).forEach((load) => load().catch(() => {}));
}

function onHash() {
  if (session.who !== null) {
    show();
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

// ---- the link ----

function showLink() {
  const isLive = store.isLive;
  link.hidden = false;
  link.className = isLive ? 'live' : 'lost';
  text(link, isLive ? 'Live' : 'Not live');
  stale.hidden = isLive;
  document.body.classList.toggle('is-stale', !isLive);
  if (!isLive) {
    const silence = Date.now() - store.heardAt;
    text(stale, `Stale: ${store.trouble || 'connecting'}. What is shown was heard at ${clock(store.heardAt)}. Trying again.`);
    stale.dataset.for = span(silence);
  }
}

// ---- the token ----

function forget(message) {
  session.token = '';
  session.who = null;
  end();
  clear();
  nav.hidden = true;
  link.hidden = true;
  stale.hidden = true;
  document.body.classList.remove('is-stale');
  document.getElementById('leave').hidden = true;
  askToken(message);
}

function askToken(message) {
  const input = h('input', { type: 'password', name: 'token', autocomplete: 'off', required: true, 'aria-describedby': 'token-note' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Enter');
  const error = h('p', { id: 'token-error', class: 'note bad', role: 'alert', hidden: !message }, message || '');
  const form = h('form', {
    class: 'enter',
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      session.token = input.value.trim();
      const problem = await enter();
      button.disabled = false;
      if (problem) {
        session.token = '';
        error.hidden = false;
        text(error, problem);
        input.focus();
        input.select();
      }
    },
  },
  h('h1', null, 'Token'),
  h('p', { id: 'token-note', class: 'muted' }, 'A token of this server\'s token_file with the scope read. It is kept in this tab only.'),
  h('label', { class: 'field' }, 'Token', input), error, h('div', { class: 'row' }, button));
  main.replaceChildren(form);
  document.title = 'Token · hubd';
  input.focus();
}

// Gives what is wrong with the token, or null: then the views are shown.
async function enter() {
  let who;
  start(); // the first events come while the server says whose the token is
  try {
    who = await whoami();
  } catch (error) {
    end();
    return error.status === 401 ? 'This server does not know that token.'
      : error.status === 0 ? 'The server cannot be reached.' : error.message;
  }
  if (!who.scopes.includes('read')) {
    end();
    return `The token ${who.name} may not read: its scopes are ${who.scopes.join(', ')}.`;
  }
  session.who = who;
  session.onRefused = () => forget('The token is not taken any more. Enter another one.');
  text(document.getElementById('brand'), who.hub_id || 'upstream');
  document.querySelector('[data-view=fleet]').hidden = !session.isFleet;
  document.querySelector('[data-view=rack]').hidden = session.isFleet;
  nav.hidden = false;
  const leave = document.getElementById('leave');
  leave.hidden = false;
  leave.title = `${who.name}: ${who.scopes.join(', ')}`;
  readSlots();
  if (store.isLive) {
    showLink();
  }
  show().then(() => (window.requestIdleCallback || setTimeout)(loadRest));
  return null;
}

document.getElementById('leave').addEventListener('click', () => forget(''));
window.addEventListener('hashchange', onHash);
listen((kind) => {
  if (session.who !== null && (kind === 'link' || (kind === 'second' && !store.isLive))) {
    showLink();
  }
});

if (session.token) {
  FILES[(VIEWS[wanted().name] || VIEWS.rack)[0]]().catch(() => {}); // comes meanwhile
  const problem = await enter();
  if (problem) {
    forget(problem);
  }
} else {
  askToken('');
}

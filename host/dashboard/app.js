// app.js - the frame: asks for a token, knows which view is shown, and whether what is shown is live.

import { fleetView } from './fleet.js';
import { get, session } from './api.js';
import { h, text } from './dom.js';
import { phoneView } from './phone.js';
import { plotsView } from './plots.js';
import { processView } from './process.js';
import { processesView } from './table.js';
import { rackView } from './rack.js';
import { end, listen, start, store } from './store.js';
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

const VIEWS = {
  rack: (root) => rackView(root, {}),
  hub: (root, id) => rackView(root, { hubId: id }),
  phone: (root, id) => phoneView(root, { id }),
  processes: (root, id, query) => processesView(root, { query, go }),
  process: (root, id) => processView(root, { id }),
  plots: (root) => plotsView(root),
  fleet: (root) => fleetView(root),
};
const PARENTS = { phone: 'rack', hub: 'fleet', process: 'processes' };

function go(hash) {
  location.hash = hash;
}

function show() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, id] = path.split('/').map(decodeURIComponent);
  const home = session.isFleet ? 'fleet' : 'rack';
  const view = VIEWS[name] && !(session.isFleet && name === 'rack') ? name : home;
  leaveView();
  main.replaceChildren();
  const parent = session.isFleet && view === 'phone' ? 'fleet' : PARENTS[view] || view;
  for (const one of nav.children) {
    one.toggleAttribute('aria-current', one.dataset.view === parent);
    if (one.dataset.view === parent) {
      one.setAttribute('aria-current', 'page');
    }
  }
  const title = [id, view[0].toUpperCase() + view.slice(1), session.who.hub_id || 'upstream'].filter(Boolean).join(' · ');
  document.title = title;
  leaveView = VIEWS[view](main, id, new URLSearchParams(search || ''));
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
  leaveView();
  leaveView = () => {};
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
  try {
    who = await get('/whoami');
  } catch (error) {
    return error.status === 401 ? 'This server does not know that token.'
      : error.status === 0 ? 'The server cannot be reached.' : error.message;
  }
  if (!who.scopes.includes('read')) {
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
  start();
  show();
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
  const problem = await enter();
  if (problem) {
    forget(problem);
  }
} else {
  askToken('');
}

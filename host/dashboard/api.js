// api.js - calls of this page's own API, and its stream of changes. The token lives in this tab
// only (sessionStorage): another tab asks for it again, and it goes with this one.

const KEY = 'hubd-token';

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const session = {
  who: null, // GET /whoami
  onRefused: () => {}, // the token is not taken any more
  get token() {
    return sessionStorage.getItem(KEY) || '';
  },
  set token(value) {
    if (value) {
      sessionStorage.setItem(KEY, value);
    } else {
      sessionStorage.removeItem(KEY);
    }
  },
  may(scope) {
    return this.who !== null && this.who.scopes.includes(scope);
  },
  get isFleet() {
    return this.who !== null && this.who.program === 'upstreamd';
  },
};

function headers(more) {
  return { Authorization: 'Bearer ' + session.token, ...more };
}

async function refusal(answer) {
  let error = {};
  try {
    error = (await answer.json()).error || {};
  } catch {
    // not one of ours: the status must do
  }
  return new Refused(answer.status, error.code || 'http_' + answer.status,
    error.message || 'HTTP status ' + answer.status);
}

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path.slice(1), { cache: 'no-store', ...options });
  } catch {
    throw new Refused(0, 'unreachable', 'the server cannot be reached');
  }
  if (!answer.ok) {
    const error = await refusal(answer);
    if (error.status === 401 && session.who !== null) {
      session.onRefused(error);
    }
    throw error;
  }
  return answer;
}

export async function get(path, signal) {
  return (await call(path, { headers: headers(), signal })).json();
}

// Who the tab's token is. For one that it has already that is asked while the page's other files come.
let early = session.token ? get('/whoami') : null;
early?.catch(() => {});

export function whoami() {
  const asked = early || get('/whoami');
  early = null;
  return asked;
}

// All of a list that comes in pages, up to `max` pages.
export async function getAll(path, name, max = 40) {
  const rows = [];
  let cursor = '';
  for (let page = 0; page < max; page += 1) {
    const body = await get(path + (cursor ? (path.includes('?') ? '&' : '?') + 'cursor=' + encodeURIComponent(cursor) : ''));
    rows.push(...body[name]);
    cursor = body.next_cursor;
    if (!cursor) {
      break;
    }
  }
  return rows;
}

export async function getText(path) {
  return (await call(path, { headers: headers() })).text();
}

export async function post(path, body) {
  const answer = await call(path, {
    method: 'POST',
    headers: headers({ 'Content-Type': 'application/json' }),
    body: JSON.stringify(body || {}),
  });
  return answer.json();
}

export function processPath(id) {
  return '/processes/' + encodeURIComponent(id);
}

export function phonePath(id) {
  return '/phones/' + encodeURIComponent(id);
}

// Takes lines of server-sent events (the HTML standard, 9.2.6) and gives whole events.
function eventParser(give) {
  let rest = '';
  let event = { name: 'message', data: [], id: null };
  return (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const at = line.indexOf(':');
      const field = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
      if (line === '') {
        if (event.data.length > 0) {
          give(event.name, JSON.parse(event.data.join('\n')), event.id);
        }
        event = { name: 'message', data: [], id: null };
      } else if (field === 'event') {
        event.name = value;
      } else if (field === 'data') {
        event.data.push(value);
      } else if (field === 'id') {
        event.id = value;
      }
    }
  };
}

const RETRY_MS = 500;
const RETRY_MAX_MS = 5000;

// Follows a stream of events for ever, over its ends and the server's: goes on behind the last
// event it has seen. `handler`: event(name, data), heard(), lost(error), ended() for 204.
export function follow(path, handler) {
  const control = new AbortController();
  let lastId = null;
  let failures = 0;
  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    control.signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
  const once = async () => {
    const more = lastId === null ? {} : { 'Last-Event-ID': lastId };
    const answer = await call(path, { headers: headers(more), signal: control.signal });
    if (answer.status === 204) {
      control.abort();
      handler.ended?.();
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const feed = eventParser((name, data, id) => {
      lastId = id === null ? lastId : id;
      handler.event(name, data);
    });
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      failures = 0;
      handler.heard?.();
      feed(value);
    }
  };
  (async () => {
    while (!control.signal.aborted) {
      try {
        await once();
      } catch (error) {
        if (control.signal.aborted || error.status === 401 || error.status === 404) {
          return;
        }
        failures += 1;
        handler.lost?.(error);
        await pause(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(failures - 1, 6)));
      }
    }
  })();
  return () => control.abort();
}

// words.js - what states are called, which tone they have, and how times are told.

// A tone is never alone: the word stands beside it.
export const PHONE_TONES = {
  ready: 'good', leased: 'busy', connecting: 'wait', away: 'wait', recovering: 'wait',
  unauthorized: 'bad', refused: 'bad', quarantined: 'hold', absent: 'off', empty: 'off',
};
export const PHONE_STATES = ['ready', 'leased', 'connecting', 'away', 'recovering', 'unauthorized',
  'refused', 'quarantined', 'absent'];

export const STATUS_TONES = {
  queued: 'off', executing: 'busy', retrying: 'wait', completed: 'good', failed_terminal: 'bad',
  cancelled: 'hold', scheduled: 'off', ready: 'off', leased: 'busy', running: 'busy',
  retry_wait: 'wait', suspended: 'wait', failed: 'bad', canceled: 'hold',
};
export const STATUSES = ['queued', 'executing', 'retrying', 'completed', 'failed_terminal',
  'cancelled'];
export const ENDED = new Set(['completed', 'failed_terminal', 'cancelled']);

const NAMES = { failed_terminal: 'failed', retry_wait: 'waits to retry', canceled: 'cancelled' };

export function word(name) {
  return NAMES[name] || String(name).replaceAll('_', ' ');
}

// The word of a process: partly done, and waiting for a review, are told as such.
export function statusWord(process) {
  if (process.internal_status === 'PARTIAL') {
    return 'failed in part';
  }
  return process.state === 'waiting_review' ? 'waits for review' : word(process.status);
}

export const NONE = '–';

export function clock(time) {
  if (!time) {
    return NONE;
  }
  const at = new Date(time);
  const day = at.toDateString() === new Date().toDateString() ? '' : date(at) + ' ';
  return day + at.toTimeString().slice(0, 8);
}

function date(at) {
  const two = (number) => String(number).padStart(2, '0');
  return at.getFullYear() + '-' + two(at.getMonth() + 1) + '-' + two(at.getDate());
}

export function exact(time) {
  if (!time) {
    return NONE;
  }
  const at = new Date(time);
  return date(at) + ' ' + at.toTimeString().slice(0, 8) + '.' + String(at.getMilliseconds()).padStart(3, '0');
}

export function span(ms) {
  if (!(ms >= 0)) {
    return NONE;
  }
  const units = [[86400000, 'd'], [3600000, 'h'], [60000, 'min'], [1000, 's']];
  for (const [size, name] of units) {
    if (ms >= 2 * size || (name === 's' && ms >= 1000)) {
      return (name === 's' && ms < 10000 ? (ms / size).toFixed(1) : Math.floor(ms / size)) + ' ' + name;
    }
  }
  return Math.round(ms) + ' ms';
}

export function ago(time) {
  return time ? span(Math.max(0, Date.now() - new Date(time))) + ' ago' : NONE;
}

export function count(number) {
  return Number(number).toLocaleString('en');
}

// plots.js - how the numbers of GET /history went, drawn as SVG.

import { get, session } from './api.js';
import { h, svg } from './dom.js';
import { clock, count, span, word } from './words.js';

const READ_MS = 5000;
const WIDTH = 560;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 18;
const TOP = 8;

function niceMax(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return Math.max(2, [1, 2, 5, 10].map((factor) => factor * step).find((limit) => limit >= value) || 1);
}

// Lines over time: series [{name, values, tone}], or areas one upon the other.
function plot({ title, at, series, isStacked, format = count, note }) {
  const shown = series.filter((one) => one.values);
  const sums = at.map(() => 0);
  const layers = shown.map((one) => ({
    ...one,
    points: one.values.map((value, i) => {
      const from = isStacked ? sums[i] : 0;
      sums[i] = isStacked ? sums[i] + value : Math.max(sums[i], value);
      return [from, from + value];
    }),
  }));
  const max = niceMax(Math.max(0, ...sums));
  const x = (i) => LEFT + (at.length < 2 ? 0 : i / (at.length - 1)) * (WIDTH - LEFT - 6);
  const y = (value) => TOP + (1 - value / max) * (HEIGHT - TOP - BOTTOM);
  const path = (list, from) => list.map((value, i) => `${i + from ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join('');
  const grid = [0, max / 2, max].map((value) => svg('g', { class: 'grid' },
    svg('line', { x1: LEFT, x2: WIDTH - 6, y1: y(value), y2: y(value) }),
    svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, format(value))));
  const ends = at.length > 1 ? [0, at.length - 1].map((i) => svg('text', { class: 'time', x: x(i), y: HEIGHT - 4, 'text-anchor': i ? 'end' : 'start' },
    at[i] ? clock(at[i] * 1000) : '')) : [];
  const drawn = layers.map((layer) => {
    const upper = path(layer.points.map((point) => point[1]), 0);
    if (!isStacked) {
      return svg('path', { d: upper, class: 'line ' + layer.tone });
    }
    const lower = layer.points.map((point, i) => `L${x(i).toFixed(1)} ${y(point[0]).toFixed(1)}`).reverse().join('');
    return svg('path', { d: upper + lower + 'Z', class: 'area ' + layer.tone });
  });
  const newest = (one) => (one.values && one.values.length ? one.values[one.values.length - 1] : 0);
  const summary = series.map((one) => `${one.name} ${format(newest(one))}`).join(', ');
  return h('section', { class: 'plot' }, h('h2', null, title), note ? h('p', { class: 'muted' }, note) : '',
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${title}; now ${summary}` }, grid, drawn, ends),
    h('ul', { class: 'legend' }, series.map((one) => h('li', null, h('span', { class: 'key ' + one.tone, 'aria-hidden': 'true' }), one.name, ' ', h('b', null, format(newest(one)))))));
}

// What was added in each sample of a number that only grows.
function growth(values) {
  return values && values.map((value, i) => (i === 0 ? 0 : Math.max(0, value - values[i - 1])));
}

// Shares of how long items stayed, as one bar a state.
function stays({ limits_ms: limits, states }) {
  const names = Object.keys(states).filter((name) => states[name].counts.some((value) => value > 0));
  const classes = [...limits.map((limit) => '≤ ' + span(limit)), '> ' + span(limits[limits.length - 1])];
  const row = (name, i) => {
    const { counts, sum_ms: sum } = states[name];
    const total = counts.reduce((a, b) => a + b, 0);
    let from = 120;
    const bars = counts.map((value, k) => {
      const width = (value / total) * (WIDTH - 220);
      const bar = svg('rect', { x: from, y: i * 24 + 4, width: Math.max(0, width), height: 16, class: 'step-' + k });
      from += width;
      return bar;
    });
    return [svg('text', { x: 114, y: i * 24 + 16, 'text-anchor': 'end' }, word(name)), bars, svg('text', { x: WIDTH - 92, y: i * 24 + 16 }, `${span(sum / total)} mean`)];
  };
  const label = names.map((name) => `${word(name)}: mean ${span(states[name].sum_ms / states[name].counts.reduce((a, b) => a + b, 0))}`).join(', ');
  return h('section', { class: 'plot' }, h('h2', null, 'Time in state'), h('p', { class: 'muted' }, 'How long items stayed in states that they have left, since the start.'),
    names.length ? svg('svg', { viewBox: `0 0 ${WIDTH} ${names.length * 24 + 4}`, role: 'img', 'aria-label': 'Time in state; ' + label }, names.map(row)) : h('p', { class: 'note' }, 'No item has left a state yet.'),
    h('ul', { class: 'legend' }, classes.map((name, k) => h('li', null, h('span', { class: 'key step-' + k, 'aria-hidden': 'true' }), name))));
}

function pick(series, list) {
  return list.map(([key, name, tone]) => ({ name, tone, values: series[key] }));
}

function plotsOf(history) {
  const { at, series } = history;
  const open = pick(series, [['executing', 'executing', 'busy'], ['retrying', 'retrying', 'wait'], ['queued', 'queued', 'off']]);
  const ended = pick(series, [['completed', 'completed', 'good'], ['failed_terminal', 'failed', 'bad'], ['cancelled', 'cancelled', 'hold']]);
  const plots = [
    plot({ title: 'Processes that go on', at, series: open, isStacked: true }),
    plot({ title: 'Processes that have ended', at, series: ended, note: 'As far as they are kept.' }),
  ];
  if (session.isFleet) {
    plots.push(plot({ title: 'Sync lag', at, series: pick(series, [['lag_ms_max', 'longest of any hub', 'busy']]), format: span }));
    plots.push(plot({ title: 'Hubs', at, series: pick(series, [['hubs', 'known', 'good'], ['hubs_stale', 'silent', 'bad']]) }));
    plots.push(plot({ title: 'Gaps and forks', at, series: pick(series, [['gaps_total', 'gaps', 'wait'], ['forks_total', 'forks', 'bad']]) }));
    return plots;
  }
  const errors = history.error_categories.filter((name) => series[name]).map((name, i) => ({ name: word(name), tone: 'cat-' + (i % 8), values: growth(series[name]) }));
  plots.push(plot({ title: 'Errors by category', at, series: errors, isStacked: true, note: `Failed attempts in each ${span(history.interval_ms)}.` }));
  plots.push(stays(history.time_in_state));
  plots.push(plot({ title: 'Phones', at, isStacked: true, series: pick(series, [['phones_leased', 'leased', 'busy'], ['phones_ready', 'ready', 'good'], ['phones_other', 'not usable', 'bad']]) }));
  plots.push(plot({ title: 'Sync lag', at, series: pick(series, [['lag_seconds', 'since upstream acknowledged, while behind', 'busy']]), format: (value) => span(value * 1000) }));
  plots.push(plot({ title: 'Records upstream lacks', at, series: pick(series, [['lag_records', 'records', 'wait']]) }));
  plots.push(plot({ title: 'Flash wear', at, series: pick(series, [['wear_max', 'erases of the most worn block', 'hold']]) }));
  return plots;
}

export function plotsView(root) {
  const body = h('div', { class: 'plots' });
  const facts = h('p', { class: 'facts', role: 'status' });
  root.append(h('div', { class: 'head' }, h('h1', null, 'Plots'), h('span', { class: 'grow' }), facts), body);
  let isGone = false;
  const read = async () => {
    try {
      const history = await get('/history');
      if (!isGone) {
        body.replaceChildren(...plotsOf(history));
        facts.textContent = `${history.at.length} samples, one each ${span(history.interval_ms)}`;
      }
    } catch (error) {
      facts.textContent = error.message;
    }
  };
  read();
  const timer = setInterval(read, READ_MS);
  return () => {
    isGone = true;
    clearInterval(timer);
  };
}

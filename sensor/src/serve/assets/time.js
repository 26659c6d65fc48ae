// When things happen.

import { h } from './dom.js';
import { count, bytes, moment } from './format.js';
import { link } from './api.js';
import { timeline, legend } from './charts.js';
import { heat } from './heat.js';
import { card, grid, filled } from './parts.js';

export const path = 'time';
export const title = 'Time patterns';
export const parameters = () => ({ offset: -new Date().getTimezoneOffset() });

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

function week(rows, at, words, window) {
  const values = DAYS.map(() => Array(24).fill(null));
  for (const row of rows) values[Math.floor(row[0] / 24)][row[0] % 24] = row;
  return heat({
    rows: DAYS, columns: Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0')), every: 3,
    values: values.map((day) => day.map((row) => (row ? row[at] / Math.max(1, row[4]) : null))),
    tone: at === 2 ? 'hot' : 'cool',
    words: (day, hour, value) => [h('b', null, `${DAYS[day]} ${String(hour).padStart(2, '0')}:00 `), value === null ? 'no traffic seen' : words(value)],
    label: 'Hours of the week',
    href: (day, hour) => (values[day][hour] ? link('flows', { window, order: 'start' }) : null),
  });
}

export function draw(answer, { window }) {
  const slots = filled(answer);
  const threshold = answer.model?.threshold;
  const at = (index) => { location.hash = link('flows', { from: slots.times[index], to: slots.times[index] + slots.step }); };
  const chart = (series, more) => timeline({ times: slots.times, step: slots.step, series, open: at, ...more });
  const each = (name) => slots.column(name, 0).map((value) => value / slots.step);
  const severities = ['low', 'medium', 'high', 'critical'];
  return [grid(
    card('Traffic', h('div', null, chart([
      { name: 'from originators', values: each('sent'), tone: 'accent', kind: 'area' },
      { name: 'from responders', values: each('received'), tone: 'calm', kind: 'line' }],
    { label: 'Bytes per second', format: (value) => `${bytes(value)}/s`, height: 200 }), legend([['from originators', 'accent'], ['from responders', 'calm']])),
    { wide: 'full', note: 'IP bytes a second; select a moment to see its flows' }),
    card('Anomalous flows', h('div', null, chart(severities.map((name) => ({ name, values: slots.column(name, 0), tone: name, kind: 'stack' })), { label: 'Anomalous flows by severity' }),
      legend(severities.map((name) => [name, name]))), { wide: 'wide', note: 'by severity' }),
    card('Scores', h('div', null, chart([
      { name: 'highest', values: slots.column('score_max', null).map((value) => value || null), tone: 'high', kind: 'line' },
      { name: 'mean', values: slots.column('score_mean', null), tone: 'accent', kind: 'area' }],
    { label: 'Scores', most: 1, format: (value) => (value ?? 0).toFixed(2), lines: threshold ? [{ value: threshold, name: `threshold ${threshold.toFixed(3)}`, tone: 'critical' }] : [] }),
    legend([['highest', 'high'], ['mean', 'accent'], ['threshold', 'critical']])), { wide: 'wide', note: 'of the flows that ended' }),
    card('Flows by hour of the week', week(answer.week, 1, (value) => `${count(value)} flows an hour`, window), { wide: 'wide', note: 'mean of each hour seen, your time zone' }),
    card('Anomalous flows by hour of the week', week(answer.week, 2, (value) => `${count(value)} anomalous flows an hour`, window), { wide: 'wide', note: 'mean of each hour seen' }),
    card('Confidence', h('div', null, chart([{ name: 'surprise', values: slots.column('surprise', null), tone: 'medium', kind: 'line' }],
      { label: 'How sure the model is of the flows it calls anomalous', format: (value) => (value ?? 0).toFixed(1), height: 150 })),
    { wide: 'full', note: 'mean −log10 of the p-value of anomalous flows: 2 is one in a hundred, 4 one in ten thousand' }),
  ),
  h('p', { class: 'foot' }, `${moment(answer.window.from_s)} to ${moment(answer.window.to_s)} in steps of ${slots.step} s`)];
}

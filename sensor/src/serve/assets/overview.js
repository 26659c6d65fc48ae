// What is going on, at a glance.

import { h, replace, said } from './dom.js';
import { count, bytes, rate, percent, seconds, exact, ns } from './format.js';
import { link } from './api.js';
import { timeline, bars, legend, spark, stack } from './charts.js';
import { card, grid, pile, figure, incident, filled, mixed, nothing, service, GRAVEST } from './parts.js';

export const path = 'overview';
export const title = 'Overview';

const beats = [];
const grid2 = (...cards) => h('div', { class: 'two' }, cards);

/** Takes in the counters of a live sensor; rates are differences of them. */
export function beat(pulse) {
  beats.push(pulse);
  if (beats.length > 121) beats.shift();
  const strip = document.getElementById('pulse');
  if (strip) replace(strip, pulseFigures());
  const packets = document.getElementById('packets');
  if (packets) replace(packets, ledger(null));
}

const LEDGER = [
  ['counted', 'in flows', 'calm'], ['not_ip', 'neither IP nor ARP', 'usual'], ['probe', 'own probes', 'usual'],
  ['counted_before', 'counted where they arrived', 'usual'], ['sampled_out', 'sampled out', 'low'],
  ['malformed', 'malformed', 'medium'], ['lost_at_socket', 'lost at socket', 'critical'],
  ['overflow_full', 'no room: table full', 'high'], ['overflow_other', 'no room: other', 'high'],
  ['overflow', 'no room', 'high'],
];

function pulseFigures() {
  const last = beats.at(-1), before = beats.at(-2);
  if (!last || !before) return [h('p', { class: 'empty' }, 'Listening…')];
  const per = (name) => beats.slice(1).map((beat, at) => Math.max(0, (beat[name] - beats[at][name]) / Math.max(0.2, beat.time_s - beats[at].time_s)));
  const now = (name) => per(name).slice(-3).reduce((sum, value, _, all) => sum + value / all.length, 0);
  const made = [
    figure(rate(now('packets')), 'packets', { extra: spark(per('packets')) }),
    figure(rate(now('flows')), 'new flows', { extra: spark(per('flows')) }),
    figure(count(last.live_flows), `flows live, room for ${count(last.capacity)}`, { extra: spark(beats.map((beat) => beat.live_flows)) }),
    figure(seconds(last.latency_s), 'until a verdict, 99 %'),
    figure(percent(now('cpu_s')), 'of a processor', { extra: spark(per('cpu_s'), 'usual') }),
    figure(bytes(last.memory_bytes), 'memory'),
  ];
  if (last.learning < 1 && last.threshold === 0) made.unshift(figure(percent(last.learning, 0), 'of the baseline learned', { tone: 'medium' }));
  return made;
}

function ledger(fact) {
  const last = beats.at(-1);
  const from = last ? { seen: last.packets, unaccounted: last.unaccounted, ...last.ledger } : fact;
  if (!from || from.seen === undefined) return nothing('Told while a sensor runs, and kept with what it stored.');
  const parts = LEDGER.filter(([name]) => from[name] !== undefined).map(([name, words, tone]) => [words, from[name], tone]);
  const rows = parts.filter(([, value]) => value > 0);
  const unaccounted = from.unaccounted ?? 0;
  return h('div', null, stack(rows, exact),
    h('dl', { class: 'pairs' }, h('dt', null, 'packets seen'), h('dd', null, exact(from.seen)),
      rows.map(([words, value, tone]) => [h('dt', null, h('i', { class: `dot tone-${tone}` }), words), h('dd', null, exact(value))]),
      h('dt', null, 'unaccounted'), h('dd', { class: unaccounted ? 'ink-critical' : null }, exact(unaccounted))));
}

export function model(fact) {
  if (!fact) return nothing('No model yet: the sensor is learning what is usual, or nothing was stored.');
  const row = (name, value) => (value === undefined || value === null ? null : [h('dt', null, name), h('dd', null, value)]);
  return h('dl', { class: 'pairs' },
    row('digest', fact.digest ? h('code', null, said(String(fact.digest).slice(0, 16))) : null),
    row('learned from', fact.rows === undefined ? null : `${exact(fact.rows)} flow records`),
    row('threshold', fact.threshold === null ? 'none: too little was learned' : Number(fact.threshold ?? 0).toFixed(4)),
    row('trees', fact.trees), row('features used', fact.columns_used), row('trained by', fact.created_by ? said(fact.created_by, 80) : null),
    row('autoencoder', fact.autoencoder ? 'beside the forest' : null));
}

export function draw(answer, { window, again, live }) {
  const { totals, tally } = answer;
  const slots = filled(answer);
  const open = tally.filter((one) => one.state === 'open');
  const untold = tally.filter((one) => one.state === 'untold').reduce((sum, one) => sum + one.incidents, 0);
  const bySeverity = GRAVEST.map((severity) => [severity, open.filter((one) => one.severity === severity).reduce((sum, one) => sum + one.incidents, 0)]);
  const gravest = bySeverity.find(([, number]) => number > 0);
  const opened = bySeverity.reduce((sum, [, number]) => sum + number, 0);
  const volume = totals.sent + totals.received;
  const flows = slots.column('flows', 0), anomalous = slots.column('anomalous', 0);
  const at = (index) => { location.hash = link('flows', { from: slots.times[index], to: slots.times[index] + slots.step }); };
  return [
    h('div', { class: 'figures' },
      figure(count(opened), `open incident${opened === 1 ? '' : 's'}${gravest ? `, ${gravest[1]} ${gravest[0]}` : ''}`, { href: link('incidents', { state: 'open', window }), tone: gravest?.[0] }),
      figure(count(totals.flows), 'flows', { href: link('flows', { window }) }),
      figure(count(totals.anomalous), `anomalous flows${totals.scored ? `, ${percent(totals.anomalous / totals.scored, 2)}` : ''}`, { href: link('flows', { anomalous: 1, window }) }),
      figure(bytes(volume), `in ${count(totals.packets)} packets`),
      figure(percent(totals.flows ? totals.failed / totals.flows : NaN), 'of flows unanswered or rejected')),
    live ? h('div', { class: 'figures pulse', id: 'pulse' }, pulseFigures()) : null,
    grid(pile('wide parted',
      card('Traffic', h('div', null,
        timeline({ times: slots.times, step: slots.step, height: 190, label: 'Flows in time', open: at,
          series: [{ name: 'flows', values: flows, tone: 'accent', kind: 'area' }, { name: 'anomalous', values: anomalous, tone: 'high', kind: 'bars' }] }),
        legend([['flows', 'accent'], ['anomalous flows', 'high']])), { note: 'select a moment to see its flows' }),
      grid2(
      card('Protocols', bars(mixed(answer.protocols, (name) => link('flows', { protocol: name, window })), { label: 'Flows by protocol' }), { note: 'by flows' }),
      card('Services', bars(mixed(answer.services, (name) => service(name, { window })), { label: 'Flows by service' }), { note: 'by flows' }),
      card('Where packets went', h('div', { id: 'packets' }, ledger(answer.ledger)), { note: 'every packet is in one line' }),
      card('Model', model(answer.model), { tools: h('a', { href: link('data', { window }) }, 'scores') }))),
      card('Open incidents', answer.incidents.length ? h('div', { class: 'list' }, answer.incidents.map((one) => incident(one, again, { short: true })))
        : nothing('None. Nothing stands out that was not seen to.'), { note: 'gravest first', wide: 'wide second', tools: [untold ? h('a', { href: link('incidents', { state: 'untold', window }) }, `${exact(untold)} kept back by the budget`) : null, h('a', { href: link('incidents') }, 'all')] }),
    ),
    h('p', { class: 'foot' }, `${exact(answer.stored.flows)} flows and ${exact(answer.stored.incidents)} incidents stored`,
      answer.inputs ? [' · ', said([answer.inputs].flat().join(', '), 200)] : null,
      answer.window.newest_s ? ` · newest traffic ${ns(answer.window.newest_s * 1e9)}` : ''),
  ];
}

// Hosts, and one of them beside what is usual for it.

import { h, s, said, fitted } from './dom.js';
import { count, bytes, exact, ns, chance, measure } from './format.js';
import { link } from './api.js';
import { bars, timeline, hint } from './charts.js';
import { card, grid, figure, incident, nothing, table, host as hostLink, badge, service } from './parts.js';

export const title = 'Hosts';
export const path = ({ host }) => (host ? 'host' : 'hosts');
export const parameters = ({ host, q }) => ({ host, q });

const UNITS = { sent: 'B', received: 'B', sent_bytes: 'B', received_bytes: 'B', bytes: 'B' };

function list(answer, { parameters: given }) {
  const search = h('form', {
    class: 'search', role: 'search',
    onsubmit: (event) => { event.preventDefault(); location.hash = link('hosts', { q: event.target.elements.q.value.trim() }); },
  }, h('input', { name: 'q', type: 'search', value: given.q ?? '', placeholder: 'Address, prefix (10.0.0.0/8) or name', 'aria-label': 'Find hosts', spellcheck: 'false' }), h('button', null, 'Find'));
  return [card('Hosts', h('div', null, search, table([
    { name: 'Host', cell: (row) => said(row.host, 60) },
    { name: 'Incidents', sort: (row) => row.incidents, number: true, cell: (row) => [row.severity ? badge(row.severity) : null, ' ', row.incidents ? exact(row.incidents) : ''] },
    { name: 'Flows', number: true, sort: (row) => row.flows, cell: (row) => count(row.flows) },
    { name: 'Anomalous', number: true, sort: (row) => row.anomalous, cell: (row) => (row.anomalous ? h('a', { href: link('flows', { host: row.host, anomalous: 1 }) }, count(row.anomalous)) : '0') },
    { name: 'Failed', number: true, sort: (row) => row.failed, cell: (row) => count(row.failed) },
    { name: 'Peers', number: true, sort: (row) => row.peers, cell: (row) => count(row.peers) },
    { name: 'Services', number: true, sort: (row) => row.services, cell: (row) => count(row.services) },
    { name: 'Sent', number: true, sort: (row) => row.sent, cell: (row) => bytes(row.sent) },
    { name: 'Received', number: true, sort: (row) => row.received, cell: (row) => bytes(row.received) },
    { name: 'Rarest flow', number: true, sort: (row) => -(row.worst_p ?? 1), cell: (row) => chance(row.worst_p) },
    { name: 'Last seen', sort: (row) => row.last_ns, cell: (row) => ns(row.last_ns) },
  ], answer.hosts, { label: 'Hosts', empty: 'No host like that was seen.', href: (row) => link('hosts', { host: row.host }) })),
  { wide: 'full', note: answer.hosts.length >= answer.page ? `the first ${answer.page}; search for others` : `${exact(answer.hosts.length)} seen` })];
}

/** A value on the line from its lowest to its highest usual one. */
function against({ what, now, median, high, most: peak, hours }) {
  const low = 0;
  const unit = UNITS[what] ?? '';
  const most = Math.max(now ?? 0, peak ?? 0, 1e-9) * 1.05;
  const odd = hours >= 3 && now > peak;
  return h('div', { class: 'against' },
    h('span', { class: 'name' }, said(what.replaceAll('_', ' '), 40)),
    hint(fitted((width) => {
      const x = (value) => 4 + (Math.sqrt(Math.max(0, value) / most)) * (width - 8);
      return s('svg', { viewBox: `0 0 ${width} 26`, width, height: 26, role: 'img', 'aria-label': `${what}: ${measure(now, unit)}, usually ${measure(low, unit)} to ${measure(high, unit)}` },
        s('line', { class: 'grid', x1: 4, x2: width - 4, y1: 13, y2: 13 }),
        hours < 3 ? null : s('rect', { class: 'usualband', x: x(low), width: Math.max(2, x(high) - x(low)), y: 6, height: 14, rx: 4 }),
        hours < 3 ? null : s('line', { class: 'medianline', x1: x(median), x2: x(median), y1: 4, y2: 22 }),
        s('circle', { class: odd ? 'tone-high' : 'tone-accent', cx: x(now ?? 0), cy: 13, r: 5.5 }));
    }), () => hours < 3 ? `${what}: ${measure(now, unit)}; ${hours} hours are too few to say what is usual` : `${what}: ${measure(now, unit)}; in 95 % of ${hours} hours at most ${measure(high, unit)}, median ${measure(median, unit)}, most ${measure(peak, unit)}`),
    h('span', { class: `value${odd ? ' ink-high' : ''}` }, measure(now, unit), h('small', null, hours < 3 ? ' too few hours yet' : ` usually up to ${measure(high, unit)}`)));
}

function peers(rows, way, host, window) {
  return table([
    { name: 'Host', cell: (row) => hostLink(row[0]) },
    { name: 'Flows', number: true, sort: (row) => row[1], cell: (row) => h('a', { href: link('flows', way === 'asks' ? { src: host, dst: row[0], window } : { src: row[0], dst: host, window }) }, count(row[1])) },
    { name: 'Anomalous', number: true, sort: (row) => row[2], cell: (row) => count(row[2]) },
    { name: 'Failed', number: true, sort: (row) => row[3], cell: (row) => count(row[3]) },
    { name: 'Sent', number: true, sort: (row) => row[4], cell: (row) => bytes(row[4]) },
    { name: 'Received', number: true, sort: (row) => row[5], cell: (row) => bytes(row[5]) },
  ], rows, { label: way === 'asks' ? 'Hosts it asks' : 'Hosts that ask it', empty: 'Nobody in this time.' });
}

function one(answer, { again, window, parameters: { host } }) {
  const { host: about, hours } = answer;
  const times = hours.map((hour) => hour.start_ns / 1e9);
  const from = times[0] ?? 0;
  const all = [];
  const known = new Map(hours.map((hour) => [Math.round(hour.start_ns / 1e9), hour]));
  for (let at = from; at <= (times.at(-1) ?? -1) && all.length < 1000; at += 3600) all.push(at);
  const value = (name) => all.map((at) => known.get(Math.round(at))?.[name] ?? 0);
  return [
    h('h1', { class: 'hosthead' }, said(host, 80), h('small', null, `seen ${ns(about.first_ns)} to ${ns(about.last_ns)}`)),
    h('div', { class: 'figures' },
      figure(count(about.incidents), 'open incidents', { href: link('incidents', { host }), tone: about.incidents ? 'high' : null }),
      figure(count(about.flows), 'flows', { href: link('flows', { host }) }),
      figure(count(about.anomalous), 'anomalous', { href: link('flows', { host, anomalous: 1 }) }),
      figure(count(about.peers), 'peers'), figure(count(about.services), 'services'),
      figure(bytes(about.sent), 'sent'), figure(bytes(about.received), 'received'),
      figure(chance(about.worst_p), 'its rarest flow', { href: link('flows', { host }) })),
    grid(
      card('Against its baseline', answer.usual.length ? h('div', { class: 'againsts' }, answer.usual.map(against))
        : nothing('It was seen for too short a time to say what is usual for it.'), { wide: 'wide', note: 'its latest hour beside its hours before: the band is what is usual, the line its median' }),
      card('Its hours', all.length ? timeline({ times: all, step: 3600, label: 'Flows by hour', height: 190,
        open: (at) => { location.hash = link('flows', { host, from: Math.round(all[at]), to: Math.round(all[at]) + 3600 }); },
        series: [{ name: 'flows', values: value('flows'), tone: 'accent', kind: all.length < 48 ? 'bars' : 'area' }, { name: 'anomalous', values: value('anomalous'), tone: 'high', kind: 'bars' }] })
        : nothing('No hours kept.'), { wide: 'wide', note: 'flows an hour, anomalous ones tinted' }),
      card('Services it offers', bars(answer.offers.slice(0, 12).map(([name, flows]) => ({ name: said(name, 40), value: flows, tone: 'calm', href: service(name, { dst: host }) })), { label: 'Services it offers', empty: 'None seen.' }), { wide: 'wide', note: 'by flows' }),
      card('Services it uses', bars(answer.uses.slice(0, 12).map(([name, flows]) => ({ name: said(name, 40), value: flows, tone: 'accent', href: service(name, { src: host }) })), { label: 'Services it uses', empty: 'None seen.' }), { wide: 'wide', note: 'by flows' }),
      card('Hosts it asks', peers(answer.asks, 'asks', host, window), { wide: 'wide' }),
      card('Hosts that ask it', peers(answer.asked_by, 'asked', host, window), { wide: 'wide' }),
      card('Incidents', answer.incidents.length ? h('div', { class: 'list' }, answer.incidents.map((each) => incident(each, again))) : nothing('None.'), { wide: 'full' }),
    )];
}

export const draw = (answer, context) => (context.parameters.host ? one(answer, context) : list(answer, context));

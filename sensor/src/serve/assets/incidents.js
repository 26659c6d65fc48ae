// Incidents: a list that can be worked through, and one of them in full.

import { h, said } from './dom.js';
import { count, bytes, exact, ns, chance, percent, seconds } from './format.js';
import { link, get, post } from './api.js';
import { bars } from './charts.js';
import { act, ask, badge, card, grid, host, incident, nothing, suppress, table, techniques, figure } from './parts.js';
import { reasons } from './flows.js';

export const title = 'Incidents';
export const path = ({ id, view }) => (id ? 'incident' : view === 'suppressions' ? 'suppressions' : 'incidents');
const FILTERS = ['state', 'severity', 'kind', 'host', 'technique', 'order', 'from', 'to', 'offset'];
export const parameters = (given) => Object.fromEntries(['id', ...FILTERS].map((name) => [name, given[name]]));

const options = (name, all, given) => {
  const select = h('select', { name }, all.map(([value, text]) => h('option', { value }, text)));
  select.value = given[name] ?? '';
  return select;
};

function list(answer, { parameters: given, again }) {
  const filter = h('form', {
    class: 'filters', 'aria-label': 'Filter',
    onsubmit: (event) => {
      event.preventDefault();
      location.hash = link('incidents', { ...given, ...Object.fromEntries(new FormData(event.target)), offset: '' });
    },
  },
  h('label', null, 'State', options('state', [['', 'all that were told'], ['open', 'open'], ['acknowledged', 'acknowledged'], ['closed', 'closed'], ['suppressed', 'suppressed'], ['untold', 'untold (kept back by the alert budget)']], given)),
  h('label', null, 'At least', options('severity', [['', 'any'], ['low', 'low'], ['medium', 'medium'], ['high', 'high'], ['critical', 'critical']], given)),
  h('label', null, 'Host', h('input', { name: 'host', value: given.host ?? '', placeholder: 'address or prefix', spellcheck: 'false' })),
  h('label', null, 'Kind', h('input', { name: 'kind', value: given.kind ?? '', spellcheck: 'false' })),
  h('label', null, 'Technique', h('input', { name: 'technique', value: given.technique ?? '', placeholder: 'T1046', spellcheck: 'false' })),
  h('label', null, 'Order', options('order', [['', 'newest first'], ['evidence', 'gravest first'], ['count', 'largest first']], given)),
  h('button', { class: 'primary' }, 'Filter'), h('a', { href: link('incidents') }, 'clear'));
  const ids = answer.incidents.filter((one) => one.state === 'open').map((one) => one.id);
  const offset = Number(given.offset ?? 0);
  return [card('Incidents', h('div', null, filter,
    answer.incidents.length ? h('div', { class: 'list' }, answer.incidents.map((one) => incident(one, again))) : nothing('None like that.'),
    h('div', { class: 'pages' }, offset ? h('a', { href: link('incidents', { ...given, offset: Math.max(0, offset - 50) || '' }) }, '← before') : null,
      answer.more ? h('a', { href: link('incidents', { ...given, offset: offset + answer.incidents.length }) }, 'next →') : null)),
  { wide: 'full', tools: [ids.length > 1 ? h('button', { type: 'button', onclick: async () => {
    const yes = await ask(`Acknowledge ${ids.length} incidents?`, h('p', null, 'Those open on this page.'), [['Cancel', null], ['Acknowledge', true, true]]);
    if (yes) act('acknowledge', ids, again);
  } }, `Acknowledge ${ids.length}`) : null, h('a', { href: link('incidents', { view: 'suppressions' }) }, 'suppressions')] })];
}

const named = (seen, href) => bars(seen.top.map(([name, number]) => ({ name: said(name, 50), value: number, tone: 'accent', href: href(name) })), { empty: 'None named.' });

function one(answer, { again }) {
  const { alert } = answer;
  const flow = alert.flow;
  const row = (name, value) => [h('dt', null, name), h('dd', null, value)];
  const note = h('textarea', { rows: 2, maxlength: 1000, 'aria-label': 'Note', placeholder: 'A note for whoever comes next' });
  const button = (name, what, primary) => h('button', { type: 'button', class: primary ? 'primary' : null, onclick: () => act(what, [alert.id], again, note.value) }, name);
  return [
    h('div', { class: `headline edge-${answer.severity}` },
      h('p', null, badge(answer.severity), ' ', h('b', null, said(alert.kind, 80)), ' · ', alert.role, ' ', host(alert.host), ' · ', h('span', { class: 'state' }, answer.state)),
      h('h1', null, said(alert.sentence, 900)),
      h('p', { class: 'soft' }, alert.techniques.map((technique) => [h('a', { class: 'technique', href: link('incidents', { technique: technique.id }) }, said(technique.id, 20)), ' ', said(technique.name, 100), ' ']))),
    h('div', { class: 'figures' },
      figure(count(alert.count), alert.source === 'logs' ? 'events' : 'flows', { href: link('flows', { incident: alert.id }) }),
      figure(count(alert.anomalous), 'anomalous', { href: link('flows', { incident: alert.id, anomalous: 1 }) }),
      figure(count(alert.failed), 'failed'), figure(`${alert.peers.exact ? '' : '≥ '}${count(alert.peers.distinct)}`, 'hosts'),
      figure(`${alert.ports.exact ? '' : '≥ '}${count(alert.ports.distinct)}`, 'ports'),
      figure(bytes(alert.sent_bytes), 'sent'), figure(bytes(alert.received_bytes), 'received'),
      figure(seconds((alert.last_ns - alert.first_ns) / 1e9), `from ${ns(alert.first_ns)}`),
      figure(percent(alert.coverage, 2), 'of the packets since then seen')),
    alert.intel?.length ? card('Known to lists', h('ul', null, alert.intel.map((found) => h('li', null, host(found.subject), ' is on ', said(found.list, 60), ': ', said(found.label || found.entry, 160)))), { note: 'what others say of it; no part of the verdict' }) : null,
    grid(
      card('What to do', h('div', { class: 'form' }, note, h('div', { class: 'buttons' },
        answer.state === 'open' ? button('Acknowledge', 'acknowledge', true) : null,
        answer.state === 'closed' ? button('Reopen', 'reopen', true) : button('Close', 'close'),
        h('button', { type: 'button', onclick: () => suppress({ host: alert.host, kind: alert.kind }, again) }, 'Suppress…')),
      h('ol', { class: 'life' }, answer.life.map((event) => h('li', null, h('time', null, ns(event.time_ns)), ' ', said(event.what, 60), event.by ? [' by ', said(event.by, 60)] : null, event.note ? [': ', said(event.note, 400)] : null)))), { wide: 'wide' }),
      card('Why', flow ? h('div', null, reasons(flow.reasons), h('dl', { class: 'pairs' },
        row('worst flow', h('a', { href: link('flows', { id: flow.id }) }, h('code', null, said(flow.id, 40)))),
        row('between', [host(String(flow.src_ip)), `:${flow.src_port} → `, host(String(flow.dst_ip)), `:${flow.dst_port}`]),
        row('Community ID', h('a', { href: link('flows', { community_id: flow.community_id }) }, h('code', null, said(flow.community_id, 60)))),
        row('score', flow.score.toFixed(4)), row('as rare as', chance(flow.p_value)))) : nothing('No single flow.'), { wide: 'wide', note: 'of its most anomalous flow' }),
      card('Hosts on the other side', named(alert.peers, (name) => link('flows', { incident: alert.id, host: name }))),
      card('Ports', named(alert.ports, (name) => link('flows', { incident: alert.id, port: name }))),
      card('Evidence', h('dl', { class: 'pairs' }, row('evidence', `${alert.evidence.toFixed(1)} powers of ten`), row('chance', chance(alert.p_value)),
        row('first', ns(alert.first_ns)), row('last', ns(alert.last_ns)), row('found in', alert.source), row('model', h('code', null, said(alert.model || '–', 24))),
        alert.bundle ? row('bundle', h('code', null, said(`evidence/${alert.bundle}`, 120))) : null, row('id', h('code', null, alert.id)))),
    )];
}

function suppressions(answer, { again }) {
  return [card('Suppressions', table([
    { name: 'Host', cell: (row) => said(row.host ?? 'any', 60) }, { name: 'Kind', cell: (row) => said(row.kind ?? 'any', 60) },
    { name: 'Why', wide: true, cell: (row) => said(row.reason, 200) }, { name: 'By', cell: (row) => said(row.by, 40) },
    { name: 'Until', cell: (row) => (row.until_ns ? ns(row.until_ns) : 'for good') },
    { name: 'Incidents kept quiet', number: true, cell: (row) => exact(row.matched) },
    { name: '', cell: (row) => h('button', { type: 'button', onclick: async () => { await post('suppressions/end', { id: row.id }); again(); } }, 'End') },
  ], answer.suppressions, { label: 'Suppressions', empty: 'None. Every incident is told.' }), { wide: 'full', tools: [h('button', { type: 'button', onclick: () => suppress({}, again) }, 'New…'), h('a', { href: link('incidents') }, 'incidents')] })];
}

export function draw(answer, context) {
  if (context.parameters.id) return one(answer, context);
  return answer.suppressions ? suppressions(answer, context) : list(answer, context);
}

/** For the list, how many are open: shown beside the tab. */
export const open = async () => (await get('incidents', { state: 'open', limit: 500 })).incidents.length;

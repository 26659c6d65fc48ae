// Who is behind it.

import { h, said } from './dom.js';
import { bytes, count, exact, ns } from './format.js';
import { link } from './api.js';
import { bars } from './charts.js';
import { card, grid, table, host, GRAVEST } from './parts.js';

export const path = 'intel';
export const title = 'Threat intelligence';

export const risky = (risk) => (risk >= 85 ? 'critical' : risk >= 60 ? 'high' : risk >= 30 ? 'medium' : 'low');

function matches(answer, window) {
  return table([
    { name: 'Seen', cell: (row) => host(row.subject) },
    { name: 'List', cell: (row) => said(row.list, 60) },
    { name: 'Entry', cell: (row) => said(row.entry, 60) },
    { name: 'Says', wide: true, cell: (row) => [said(row.label, 120), row.source ? h('small', null, ' by ', said(row.source, 60)) : null] },
    { name: 'Sure', number: true, cell: (row) => (row.confidence === null ? '' : `${row.confidence} %`) },
    { name: 'Incidents', number: true, sort: (row) => row.incidents, cell: (row) => h('a', { href: link('incidents', { host: row.subject }) }, exact(row.incidents)) },
    { name: 'Flows', number: true, sort: (row) => row.flows, cell: (row) => h('a', { href: link('flows', { host: row.subject, listed: 1, window }) }, exact(row.flows)) },
    { name: 'Bytes', number: true, sort: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
    { name: 'Last', sort: (row) => row.last_ns, cell: (row) => ns(row.last_ns) },
  ], answer.matches, { label: 'Matches of lists', empty: 'Nobody in an incident or a flow of this time is on a list. Lists say what others know of a host; they never are a verdict of their own (intel.lists).' });
}

export function draw(answer, { window }) {
  const actors = answer.hosts.filter((one) => one.role === 'actor');
  return [grid(
    card('Top attackers', bars(actors.slice(0, 12).map((one) => ({
      name: said(one.host, 40), value: one.risk, tone: risky(one.risk), href: link('hosts', { host: one.host }), note: `${exact(one.incidents)} incident${one.incidents === 1 ? '' : 's'}`,
    })), { label: 'Hosts by risk', empty: 'No host acted suspiciously in this time.' }), { wide: 'wide', note: 'risk from 0 to 100' }),
    card('Matches', matches(answer, window), { wide: 'wide', note: `what threat lists know of hosts in incidents and flows${answer.more_flows ? `; of the flows, the newest ${exact(answer.flows_read)}` : ''}` }),
    card('Risk', table([
      { name: 'Host', cell: (row) => host(row.host) },
      { name: 'Risk', number: true, sort: (row) => row.risk, cell: (row) => h('span', { class: `badge tone-${risky(row.risk)}` }, exact(row.risk)) },
      { name: 'Role', cell: (row) => row.role },
      { name: 'Incidents', number: true, sort: (row) => row.incidents, cell: (row) => h('a', { href: link('incidents', { host: row.host, window }) }, exact(row.incidents)) },
      { name: 'Open', number: true, sort: (row) => row.open, cell: (row) => exact(row.open) },
      { name: 'By severity', cell: (row) => GRAVEST.filter((one) => row.severities[one]).map((one) => h('span', { class: 'mini' }, h('i', { class: `dot tone-${one}` }), `${row.severities[one]} ${one} `)) },
      { name: 'Kinds', wide: true, cell: (row) => said(row.kinds.join(', '), 120) },
      { name: 'Lists', cell: (row) => row.lists.map((name) => h('span', { class: 'chip' }, said(name, 40))) },
      { name: 'Techniques', cell: (row) => row.techniques.slice(0, 6).map((id) => h('a', { class: 'technique', href: link('incidents', { technique: id }) }, said(id, 20))) },
      { name: 'Flows', number: true, sort: (row) => row.count, cell: (row) => h('a', { href: link('flows', { host: row.host, anomalous: 1, window }) }, count(row.count)) },
      { name: 'Hosts met', number: true, sort: (row) => row.peers, cell: (row) => count(row.peers) },
      { name: 'Last', sort: (row) => row.last_ns, cell: (row) => ns(row.last_ns) },
    ], answer.hosts, { label: 'Hosts by risk', empty: 'No incidents in this time.' }),
    { wide: 'full', note: 'chance that at least one of a host’s open and acknowledged incidents is real, if they were independent: low counts 10 %, medium 30 %, high 60 %, critical 85 %' }),
  )];
}

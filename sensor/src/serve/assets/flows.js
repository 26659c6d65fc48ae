// The flows behind every number. The address holds the filter, so it can be kept and sent.

import { h, said, plain } from './dom.js';
import { count, bytes, exact, ns, seconds, chance, moment, measure } from './format.js';
import { link } from './api.js';
import { bars } from './charts.js';
import { card, table, host, badge, grid, nothing } from './parts.js';

export const title = 'Flows';
export const path = ({ id }) => (id ? 'flow' : 'flows');
const FILTERS = ['host', 'src', 'dst', 'port', 'protocol', 'kind', 'incident', 'community_id', 'anomalous', 'listed', 'p', 'order', 'from', 'to', 'offset', 'limit'];
export const parameters = (given) => Object.fromEntries(['id', ...FILTERS].map((name) => [name, given[name]]));

const port = (number) => (number === null || number === undefined ? '' : `:${number}`);
const bracket = (address) => (address.includes(':') ? ['[', host(address), ']'] : host(address));

const FIELDS = [
  ['host', 'Either side', 'address or prefix'], ['src', 'Originator', ''], ['dst', 'Responder', ''], ['port', 'Port', ''], ['protocol', 'Protocol', 'tcp'], ['kind', 'Kind', ''],
];

function form(given) {
  const inputs = FIELDS.map(([name, label, hintText]) => h('label', null, label, h('input', { name, value: given[name] ?? '', placeholder: hintText, spellcheck: 'false', maxlength: 100 })));
  const anomalous = h('select', { name: 'anomalous' }, [['', 'all'], ['1', 'anomalous'], ['0', 'ordinary']].map(([value, name]) => h('option', { value }, name)));
  anomalous.value = given.anomalous ?? '';
  const listed = h('select', { name: 'listed' }, [['', 'whoever'], ['1', 'on a list'], ['0', 'on none']].map(([value, name]) => h('option', { value }, name)));
  listed.value = given.listed ?? '';
  const order = h('select', { name: 'order' }, [['', 'rarest first'], ['start', 'newest first'], ['bytes', 'largest first']].map(([value, name]) => h('option', { value }, name)));
  order.value = given.order ?? '';
  return h('form', {
    class: 'filters', 'aria-label': 'Filter',
    onsubmit: (event) => {
      event.preventDefault();
      const wanted = Object.fromEntries(new FormData(event.target));
      location.hash = link('flows', { ...given, ...wanted, offset: '' });
    },
  }, inputs, h('label', null, 'Verdict', anomalous), h('label', null, 'Threat lists', listed), h('label', null, 'Order', order), h('button', { class: 'primary' }, 'Filter'), h('a', { href: link('flows') }, 'clear'));
}

/** Threat lists that hold one of its sides. */
const listed = (flow) => [...new Set(flow.intel.map((found) => found.list))].map((name) => h('span', { class: 'chip' }, said(name, 40)));

function list(answer, { parameters: given }) {
  const { offset, limit, count: found } = answer;
  const also = FILTERS.filter((name) => given[name] && ['incident', 'community_id', 'from', 'to', 'p'].includes(name))
    .map((name) => h('span', { class: 'chip' }, `${name === 'from' ? 'ended from' : name === 'to' ? 'ended before' : name} ${name === 'from' || name === 'to' ? moment(Number(given[name])) : ''}`, name === 'from' || name === 'to' ? null : said(given[name], 40),
      h('a', { href: link('flows', { ...given, [name]: '', offset: '' }), 'aria-label': `without ${name}` }, ' ×')));
  const pages = h('div', { class: 'pages' },
    offset > 0 ? h('a', { href: link('flows', { ...given, offset: Math.max(0, offset - limit) || '' }) }, '← before') : null,
    h('span', { class: 'soft' }, answer.flows.length ? `${exact(offset + 1)} to ${exact(offset + answer.flows.length)} of ${answer.more_than_counted ? 'more than ' : ''}${exact(found)}` : ''),
    answer.flows.length === limit && (answer.more_than_counted || offset + limit < found) ? h('a', { href: link('flows', { ...given, offset: offset + limit }) }, 'next →') : null);
  return [card('Flows', h('div', null, form(given), also.length ? h('p', { class: 'chips' }, also) : null, table([
    { name: 'Begun', cell: (flow) => ns(flow.start_ns) },
    { name: 'Verdict', cell: (flow) => badge(flow.anomalous ? flow.severity : null) },
    { name: 'Kind', cell: (flow) => said(flow.kind ?? '', 40) },
    { name: 'From', cell: (flow) => [bracket(flow.src), port(flow.src_port)] },
    { name: 'To', cell: (flow) => [bracket(flow.dst), port(flow.dst_port)] },
    { name: 'Protocol', cell: (flow) => [flow.transport, flow.service ? [' ', said(flow.service, 20)] : null] },
    { name: 'Lists', cell: listed },
    { name: 'State', cell: (flow) => said(flow.state ?? '', 12) },
    { name: 'Lasted', number: true, sort: (flow) => flow.duration_ns ?? 0, cell: (flow) => (flow.duration_ns === null ? '–' : seconds(flow.duration_ns / 1e9)) },
    { name: 'Sent', number: true, sort: (flow) => flow.sent ?? 0, cell: (flow) => bytes(flow.sent) },
    { name: 'Received', number: true, sort: (flow) => flow.received ?? 0, cell: (flow) => bytes(flow.received) },
    { name: 'As rare as', number: true, sort: (flow) => -flow.p_value, cell: (flow) => chance(flow.p_value) },
    { name: 'Score', number: true, sort: (flow) => flow.score, cell: (flow) => flow.score.toFixed(3) },
  ], answer.flows, { label: 'Flows', empty: 'No stored flow is like that. The store keeps the most telling flows of each time, not all.', href: (flow) => link('flows', { id: flow.id }) }), pages),
  { wide: 'full', note: `the store keeps the telling ones: ${exact(answer.stored)} flows` })];
}

/** Why a flow is anomalous: features, how heavy, and what is usual. */
export function reasons(all) {
  if (!all?.length) return nothing('No reasons kept: the flow was not anomalous, or one of many of its incident.');
  const q = (one, name, old) => one[name] ?? one[old];
  return h('div', { class: 'reasons' }, bars(all.map((one) => ({
    name: said(one.feature, 50), value: one.weight ?? 0, tone: 'high', note: '',
  })), { format: (share) => `${Math.round(share * 100)} %`, label: 'Weights of reasons' }),
  h('ul', null, all.map((one) => h('li', null, said(one.words ?? one.text ?? '', 300),
    q(one, 'low', 'baseline_q01') > q(one, 'high', 'baseline_q99') ? null : h('small', { class: 'soft' }, ` value ${measure(one.value)}, usually ${measure(q(one, 'low', 'baseline_q01'))} to ${measure(q(one, 'high', 'baseline_q99'))}, median ${measure(q(one, 'median', 'baseline_median'))}`)))));
}

function one(flow) {
  const row = (name, value) => [h('dt', null, name), h('dd', null, value)];
  const both = `anomaly-detect flows --id ${plain(flow.id)} --format json`;
  return [grid(
    card('Flow', h('dl', { class: 'pairs' },
      row('verdict', [badge(flow.anomalous ? flow.severity : null), ' ', said(flow.kind ?? '', 60)]),
      row('from', [bracket(flow.src), port(flow.src_port)]), row('to', [bracket(flow.dst), port(flow.dst_port)]),
      row('protocol', [flow.transport, flow.service ? [' ', said(flow.service, 40)] : null]), row('state', said(flow.state ?? '–', 20)),
      row('begun', ns(flow.start_ns)), row('lasted', flow.duration_ns === null ? '–' : seconds(flow.duration_ns / 1e9)),
      row('sent', `${bytes(flow.sent)}${flow.sent_packets === null ? '' : ` in ${count(flow.sent_packets)} packets`}`), row('received', `${bytes(flow.received)}${flow.received_packets === null ? '' : ` in ${count(flow.received_packets)} packets`}`),
      row('score', flow.score.toFixed(5)), row('as rare as', chance(flow.p_value)),
      row('id', h('code', null, said(flow.id, 60))),
      flow.intel.map((found) => row('on a list', [host(found.subject), ' ', h('span', { class: 'chip' }, said(found.list, 60)), ' ', said(found.entry, 60), ' ', said(found.label, 120), found.confidence === null ? null : ` ${found.confidence} % sure`])),
      flow.community_id ? row('Community ID', h('a', { href: link('flows', { community_id: flow.community_id }) }, h('code', null, said(flow.community_id, 60)))) : null,
      flow.file ? row('file', said(flow.file, 200)) : null), { wide: 'wide', tools: h('a', { href: link('flows', { src: flow.src, dst: flow.dst }) }, 'flows of this pair') }),
    card('Why', reasons(flow.reasons), { wide: 'wide', note: 'what made it stand out, heaviest first' }),
  ), h('p', { class: 'foot' }, `On the command line: ${both}`)];
}

export const draw = (answer, context) => (context.parameters.id ? one(answer) : list(answer, context));

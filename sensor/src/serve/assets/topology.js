// Who talks to whom. Two columns, suspicious hosts on top: a place follows from the data, so it is the same each time, and
// every host keeps its name however many there are.

import { h, s, fitted, plain, said } from './dom.js';
import { count, bytes } from './format.js';
import { link } from './api.js';
import { hint, legend } from './charts.js';
import { card, nothing, table, host as hostLink, badge } from './parts.js';

export const path = 'topology';
export const title = 'Topology';

const RANK = { critical: 4, high: 3, medium: 2, low: 1 };
const ROW = 19;

/** Hosts of a column: by gravity, then near those they talk to. */
function order(hosts, weigh, neighbours, places) {
  const middle = (host) => {
    const known = neighbours(host).filter(([other]) => places.has(other));
    const sum = known.reduce((all, [, weight]) => all + weight, 0);
    return sum ? known.reduce((all, [other, weight]) => all + places.get(other) * weight, 0) / sum : 1e9;
  };
  const grave = new Map(hosts.map((host) => [host, weigh(host)]));
  const at = new Map(hosts.map((host) => [host, middle(host)]));
  return [...hosts].sort((a, b) => grave.get(b) - grave.get(a) || at.get(a) - at.get(b) || (a < b ? -1 : 1));
}

function layout(pairs, severity) {
  const of = (side) => {
    const map = new Map();
    for (const pair of pairs) {
      const list = map.get(pair[side]) ?? [];
      list.push(pair);
      map.set(pair[side], list);
    }
    return map;
  };
  const left = of('src'), right = of('dst');
  const weigh = (map) => (host) => (RANK[severity.get(host)] ?? 0) * 10 + (map.get(host).some((pair) => pair.anomalous) ? 5 : 0);
  const near = (map, side) => (host) => map.get(host).map((pair) => [pair[side], Math.log2(1 + pair.flows)]);
  let places = new Map([...right.keys()].sort().map((host, at) => [host, at]));
  let from = [], to = [];
  for (let turn = 0; turn < 4; turn += 1) {
    from = order([...left.keys()], weigh(left), near(left, 'dst'), places);
    places = new Map(from.map((host, at) => [host, at]));
    to = order([...right.keys()], weigh(right), near(right, 'src'), places);
    places = new Map(to.map((host, at) => [host, at]));
  }
  return { from, to };
}

function map(pairs, severity, window) {
  const { from, to } = layout(pairs, severity);
  const rows = Math.max(from.length, to.length);
  const most = Math.max(...pairs.map((pair) => pair.flows));
  return fitted((width) => {
    const height = rows * ROW + 34;
    const label = Math.min(240, Math.max(104, width * 0.27));
    const chars = Math.floor(label / 7.1);
    const xl = label, xr = width - label;
    const y = (list, at) => 34 + (at + 0.5) * ROW * (list.length === rows ? 1 : Math.min(rows / list.length, 2.2));
    const place = [new Map(from.map((host, at) => [host, y(from, at)])), new Map(to.map((host, at) => [host, y(to, at)]))];
    const edges = pairs.map((pair) => {
      const [y1, y2] = [place[0].get(pair.src), place[1].get(pair.dst)];
      const bend = (xr - xl) * 0.45;
      const grave = pair.anomalous ? severity.get(pair.src) ?? severity.get(pair.dst) ?? 'low' : null;
      const path = s('path', {
        class: `edge ${grave ? `stroke-${grave} odd` : 'plain'}`, d: `M${xl + 8} ${y1}C${xl + bend} ${y1} ${xr - bend} ${y2} ${xr - 8} ${y2}`,
        'stroke-width': (0.8 + 3.2 * (Math.log1p(pair.flows) / Math.log1p(most))).toFixed(2),
      });
      hint(path, () => [h('b', null, said(pair.src, 50), ' → ', said(pair.dst, 50)), h('div', null, `${count(pair.flows)} flows, ${count(pair.anomalous)} anomalous`),
        h('div', null, `${bytes(pair.sent)} there, ${bytes(pair.received)} back, ${count(pair.failed)} failed`)]);
      path.addEventListener('click', () => { location.hash = link('flows', { src: pair.src, dst: pair.dst, window }); });
      return { pair, path };
    });
    const nodes = [];
    const names = [from, to].map((list, side) => list.map((host) => {
      const grave = severity.get(host);
      const at = place[side].get(host);
      const x = side ? xr : xl;
      // Of a long address both ends tell it from others.
      const name = plain(host, 200);
      const shown = name.length <= chars ? name : `${name.slice(0, Math.ceil((chars - 1) * 0.4))}…${name.slice(-Math.floor((chars - 1) * 0.6))}`;
      const group = s('a', { class: `node${grave ? ' grave' : ''}`, href: link('hosts', { host }), 'aria-label': `${plain(host)}${grave ? `, ${grave}` : ''}, ${side ? 'responder' : 'originator'}` },
        s('rect', { class: 'hit', x: side ? xr - 8 : 0, y: at - ROW / 2, width: label + 8, height: ROW }),
        s('circle', { class: `tone-${grave ?? 'usual'}`, cx: x, cy: at, r: grave ? 5.5 : 3.5 }),
        s('text', { x: side ? x + 11 : x - 11, y: at + 4, 'text-anchor': side ? 'start' : 'end' }, shown));
      const mark = (on) => {
        const near = new Set();
        for (const { pair, path } of edges) {
          const mine = (side ? pair.dst : pair.src) === host;
          path.classList.toggle('lit', on && mine);
          if (mine) near.add(side ? pair.src : pair.dst);
        }
        svg.classList.toggle('marked', on);
        for (const node of nodes) node.group.classList.toggle('lit', on && (node.group === group || (node.side !== side && near.has(node.host))));
      };
      for (const [event, on] of [['pointerenter', true], ['pointerleave', false], ['focus', true], ['blur', false]]) group.addEventListener(event, () => mark(on));
      nodes.push({ group, host, side });
      return group;
    }));
    edges.sort((a, b) => (a.pair.anomalous > 0) - (b.pair.anomalous > 0));
    const svg = s('svg', { class: 'topology', viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': 'Who talks to whom' },
      s('text', { class: 'axis', x: xl, y: 14, 'text-anchor': 'end' }, 'originators'), s('text', { class: 'axis', x: xr, y: 14 }, 'responders'),
      s('g', null, edges.map(({ path }) => path)), s('g', null, names));
    return svg;
  }, { class: 'fitted' });
}

export function draw(answer, { window }) {
  if (!answer.pairs.length) return [card('Who talks to whom', nothing('No flows in this time.'))];
  const pairs = answer.pairs.map((row) => Object.fromEntries(answer.columns.map((name, at) => [name, row[at]])));
  const severity = new Map(answer.hosts.filter((one) => one.severity).map((one) => [one.host, one.severity]));
  const [total, flows] = answer.total[0];
  const odd = pairs.filter((pair) => pair.anomalous > 0);
  return [
    card('Who talks to whom', h('div', null, legend([['critical', 'critical'], ['high', 'high'], ['medium', 'medium'], ['low', 'low'], ['usual', 'usual']]), map(pairs, severity, window)),
      { wide: 'full', note: `${answer.hosts.length} hosts in ${count(pairs.length)} of ${count(total)} pairs, suspicious first; ${count(flows)} flows. Point at a host to see its own; select it for its profile.` }),
    card('Suspicious pairs', table([
      { name: 'From', cell: (pair) => [severity.get(pair.src) ? badge(severity.get(pair.src)) : null, ' ', hostLink(pair.src)] },
      { name: 'To', cell: (pair) => hostLink(pair.dst) },
      { name: 'Anomalous', number: true, sort: (pair) => pair.anomalous, cell: (pair) => h('a', { href: link('flows', { src: pair.src, dst: pair.dst, anomalous: 1, window }) }, count(pair.anomalous)) },
      { name: 'Flows', number: true, sort: (pair) => pair.flows, cell: (pair) => h('a', { href: link('flows', { src: pair.src, dst: pair.dst, window }) }, count(pair.flows)) },
      { name: 'Failed', number: true, sort: (pair) => pair.failed, cell: (pair) => count(pair.failed) },
      { name: 'Sent', number: true, sort: (pair) => pair.sent, cell: (pair) => bytes(pair.sent) },
      { name: 'Received', number: true, sort: (pair) => pair.received, cell: (pair) => bytes(pair.received) },
      { name: 'Score', number: true, sort: (pair) => pair.score, cell: (pair) => pair.score.toFixed(3) },
    ], odd.slice(0, 100), { label: 'Suspicious pairs', empty: 'None.' }), { wide: 'full' }),
  ];
}

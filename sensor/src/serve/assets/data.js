// What the flows look like as numbers.

import { h, replace, said } from './dom.js';
import { count, exact, measure, percent } from './format.js';
import { get, link } from './api.js';
import { histogram, legend, bars } from './charts.js';
import { heat } from './heat.js';
import { card, grid, pile, mixed, nothing, service } from './parts.js';

export const path = 'data';
export const title = 'Data';

function distribution(one) {
  const [ordinary, anomalous] = one.known;
  const head = h('header', null, h('h3', { title: one.about }, one.feature), h('small', null, `${one.family} · difference ${one.difference.toFixed(2)}`));
  if (!one.edges) return h('div', { class: 'distribution' }, head, nothing('Missing in every sampled flow.'));
  return h('div', { class: 'distribution' }, head,
    histogram({
      edges: one.edges, height: 112, left: 34, axis: (value) => measure(value, one.unit), format: (share) => percent(share, 0),
      series: [{ name: 'ordinary', values: one.ordinary, tone: 'usual' }, ...(anomalous ? [{ name: 'anomalous', values: one.anomalous, tone: 'high' }] : [])],
      label: `${one.feature}: ${one.about}`,
    }),
    h('small', { class: 'soft' }, one.missing[0] + one.missing[1] ? `known in ${exact(ordinary)} ordinary and ${exact(anomalous)} anomalous flows` : one.about));
}

export function draw(answer, { window }) {
  const bins = Array(answer.score_bins).fill(0);
  for (const [bin, flows] of answer.scores) bins[bin] = flows;
  const threshold = answer.model?.threshold;
  const first = bins.findIndex((value) => value > 0);
  const last = bins.findLastIndex((value) => value > 0);
  const [low, high] = first < 0 ? [0, answer.score_bins] : [Math.max(0, first - 2), Math.min(answer.score_bins, Math.max(last + 3, threshold ? Math.ceil(threshold * answer.score_bins) + 2 : 0))];
  const shown = bins.slice(low, high);
  const edges = Array.from({ length: high - low + 1 }, (_, at) => (low + at) / answer.score_bins);
  const other = h('div', { class: 'distributions' });
  const pick = h('select', {
    'aria-label': 'Another feature',
    onchange: async () => {
      if (!pick.value) return;
      try { replace(other, distribution(await get('feature', { name: pick.value, window }))); } catch (error) { replace(other, nothing(error.message)); }
    },
  }, h('option', { value: '' }, 'another feature…'), answer.features.map((name) => h('option', { value: name }, name)));
  const [ordinary, anomalous] = answer.sampled;
  return [grid(
    card('Scores', h('div', null, histogram({
      edges, height: 220, log: true, series: [{ name: 'flows', values: shown, tone: (at) => (threshold && edges[at] >= threshold ? 'high' : 'accent') }],
      lines: threshold ? [{ at: threshold, name: `threshold ${threshold.toFixed(3)}`, tone: 'critical' }] : [], axis: (value) => value.toFixed(2), label: 'Flows by score',
      open: () => { location.hash = link('flows', { anomalous: 1, window }); },
    }), legend([['ordinary', 'accent'], ['anomalous', 'high']])), { wide: 'full', note: 'flows by score; each line upwards is ten times as many' }),
    card('Features that tell anomalous flows apart', ordinary + anomalous ? h('div', null, legend([['ordinary flows', 'usual'], ['anomalous flows', 'high']]),
      h('div', { class: 'distributions' }, answer.drawn.map(distribution)), h('p', { class: 'pickline' }, pick), other)
      : nothing('No sampled flows in this time.'), { wide: 'full', note: `of ${exact(ordinary)} ordinary and ${exact(anomalous)} anomalous flows, sampled; difference is the greatest distance of the two distributions (Kolmogorov–Smirnov)` }),
    card('How they go together', ordinary + anomalous ? heat({
      rows: answer.correlated, columns: answer.correlated.map((_, at) => String(at + 1)), values: answer.correlations, diverging: true, most: 1, gamma: 1,
      words: (row, column, value) => [h('b', null, answer.correlated[row]), ' and ', h('b', null, answer.correlated[column]), h('div', null, value === null ? 'one of them does not vary' : `correlation of ranks ${value.toFixed(2)}`)],
      label: 'Correlations of features',
    }) : nothing('No sampled flows in this time.'), { wide: 'wide', note: 'rank correlation: orange together, blue against each other; columns in the order of rows' }),
    card('Services', bars(mixed(answer.services.slice(0, 16), (name) => service(name, { window })), { label: 'Flows by service' }), { note: 'by flows' }),
    pile('', card('Protocols', bars(mixed(answer.protocols, (name) => link('flows', { protocol: name, window })), { label: 'Flows by protocol' }), { note: 'by flows' }),
    card('How connections went', bars(mixed(answer.states, null), { label: 'Flows by state' }), { note: 'Zeek’s words: SF ended well, S0 no answer, REJ rejected, OTH not a connection' })),
  )];
}

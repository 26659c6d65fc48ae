// What kinds of attack, when, at what, and as which techniques.

import { h, said } from './dom.js';
import { count, exact, tick } from './format.js';
import { link } from './api.js';
import { bars } from './charts.js';
import { heat } from './heat.js';
import { card, grid, pile, mixed, nothing, service, GRAVEST } from './parts.js';

export const path = 'attacks';
export const title = 'Attack patterns';

const LEVEL = ['info', 'low', 'medium', 'high', 'critical'];

function matrix(tactics, window) {
  return h('div', { class: 'scroll' }, h('div', { class: 'matrix' }, tactics.map((tactic) => {
    const seen = tactic.techniques.reduce((sum, one) => sum + one.incidents, 0);
    return h('div', { class: `tactic${seen ? '' : ' unseen'}` }, h('h3', null, tactic.tactic, seen ? h('b', null, exact(seen)) : null),
      tactic.techniques.map((one) => {
        const inside = [h('span', null, one.id), h('small', null, one.name), one.incidents ? h('b', null, exact(one.incidents)) : null];
        return one.incidents
          ? h('a', { class: `tech tone-${LEVEL[one.severity]}`, href: link('incidents', { technique: one.id, window }), title: `${one.name}: ${one.incidents} incidents` }, inside)
          : h('span', { class: 'tech', title: one.name }, inside);
      }));
  })));
}

export function draw(answer, { window }) {
  const { kinds, window: span } = answer;
  const each = (span.to_s - span.from_s) / answer.columns;
  const times = Array.from({ length: answer.columns }, (_, at) => span.from_s + at * each);
  const graveness = (severities) => GRAVEST.find((one) => severities[one]) ?? 'usual';
  return [grid(
    pile('wide', card('Kinds', bars(kinds.map((one) => ({
      name: said(one.kind, 40), value: one.incidents, tone: graveness(one.severities), href: link('incidents', { kind: one.kind, window }),
      note: `${count(one.count)} flow${one.count === 1 ? '' : 's'}`,
    })), { label: 'Incidents by kind', empty: 'No incidents in this time.' }), { note: `${exact(answer.incidents)} incidents` }),
    card('Flows by kind', bars(answer.flow_kinds.map(([name, flows]) => ({ name: said(name, 40), value: flows, tone: 'accent', href: link('flows', { kind: name, window }) })),
      { label: 'Flows by kind', empty: 'No flows of incidents in this time.' }), { note: 'flows that are part of incidents' })),
    card('Services aimed at', bars(mixed(answer.aimed.slice(0, 12), (name) => service(name, { anomalous: 1, window })), { label: 'Flows of incidents by service', empty: 'No flows of incidents in this time.' }), { wide: 'wide', note: 'flows that are part of incidents' }),
    card('Intensity', kinds.length ? heat({
      rows: kinds.map((one) => said(one.kind, 30)), columns: times.map((time) => tick(time, each)), every: 8, tone: 'hot', gamma: 0.4,
      values: kinds.map((one) => one.when),
      words: (row, column, value) => [h('b', null, said(kinds[row].kind, 60)), h('div', null, `${tick(times[column], each)}: ${value ? count(Math.round(value * 10) / 10) : 'no'} flows`)],
      href: (row, column, value) => (value ? link('flows', { kind: kinds[row].kind, from: Math.floor(times[column]), to: Math.ceil(times[column] + each) }) : null),
      label: 'Kinds in time',
    }) : nothing('No incidents in this time.'), { wide: 'full', note: 'flows of incidents in time; the tint is not linear, so that the few show beside the many' }),
    card('ATT&CK', matrix(answer.tactics, window), { wide: 'full', note: 'techniques this sensor can be evidence of; those seen are tinted by the gravest incident' }),
  )];
}

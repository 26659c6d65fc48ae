// What several views are made of.

import { h, said, replace, tell } from './dom.js';
import { count, ns, chance, exact } from './format.js';
import { link, post } from './api.js';

export const GRAVEST = ['critical', 'high', 'medium', 'low'];

/** A section with a heading; `note` says what it is in a few words. */
export const card = (title, content, { note, wide, tools, name } = {}) =>
  h('section', { class: `card${wide ? ` ${wide}` : ''}`, id: name, 'aria-label': title },
    h('header', null, h('h2', null, title), note ? h('p', null, note) : null, tools ? h('div', { class: 'do' }, tools) : null), content);

/** Cards under each other in one cell of a grid. */
export const pile = (span, ...cards) => h('div', { class: `pile ${span}` }, cards);

export const grid = (...cards) => h('div', { class: 'grid' }, cards);

/** A number with its name; a link where there are flows or incidents behind it. */
export const figure = (value, name, { href, tone, title, extra, id } = {}) => {
  const inside = [h('b', { class: tone ? `ink-${tone}` : null, id }, value), h('span', null, name), extra];
  return href ? h('a', { class: 'figure', href, title }, inside) : h('div', { class: 'figure', title }, inside);
};

export const badge = (severity) => h('span', { class: `badge tone-${severity ?? 'usual'}` }, severity ?? 'usual');

export const nothing = (words) => h('p', { class: 'empty' }, words);

/** A table. columns: [{ name, cell: (row) => node or text, number, wide, sort }]. */
export function table(columns, rows, { label, empty = 'Nothing here.', href } = {}) {
  if (!rows.length) return nothing(empty);
  const body = h('tbody');
  const draw = (sorted) => replace(body, sorted.map((row) => h('tr', null, columns.map((column, at) => {
    const content = column.cell(row);
    const target = at === 0 ? href?.(row) : null;
    return h('td', { class: `${column.number ? 'number' : ''}${column.wide ? ' wide' : ''}` || null }, target ? h('a', { href: target }, content) : content);
  }))));
  draw(rows);
  const heads = columns.map((column) => {
    if (!column.sort) return h('th', { class: column.number ? 'number' : null, scope: 'col' }, column.name);
    const head = h('th', { class: column.number ? 'number' : null, scope: 'col', 'aria-sort': 'none' });
    head.append(h('button', {
      type: 'button',
      onclick: () => {
        const down = head.getAttribute('aria-sort') !== 'descending';
        for (const other of heads) if (other.hasAttribute('aria-sort')) other.setAttribute('aria-sort', 'none');
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const order = (a, b) => {
          const [x, y] = [column.sort(a), column.sort(b)];
          return (x > y ? 1 : x < y ? -1 : 0) * (down ? -1 : 1);
        };
        draw([...rows].sort(order));
      },
    }, column.name));
    return head;
  });
  return h('div', { class: 'scroll' }, h('table', { 'aria-label': label }, h('thead', null, h('tr', null, heads)), body));
}

/** A host as a link to its profile. */
export const host = (name) => (name ? h('a', { class: 'host', href: link('hosts', { host: name }) }, said(name, 60)) : h('span', { class: 'soft' }, 'others'));

export const techniques = (all) => all.map((one) => h('a', { class: 'technique', href: link('incidents', { technique: one.id }), title: one.name }, said(one.id, 20)));

/** Does something to incidents and says so. */
export async function act(act, ids, again, note = '') {
  try {
    const { changed } = await post('incidents/act', { act, ids, note });
    tell(`${changed} incident${changed === 1 ? '' : 's'}: ${act} done`);
    again();
  } catch (error) {
    await ask('That did not work', h('p', null, said(error.message)), [['Close', null]]);
  }
}

/** A question with buttons; answers with the value of the button, or null. */
export function ask(title, content, buttons) {
  const dialog = document.getElementById('dialog');
  return new Promise((done) => {
    const form = h('form', { method: 'dialog', 'aria-label': title }, h('h2', null, title), content,
      h('div', { class: 'buttons' }, buttons.map(([name, value, primary]) => h('button', {
        type: 'button', class: primary ? 'primary' : null,
        onclick: () => { dialog.returnValue = ''; answer(value); },
      }, name))));
    const answer = (value) => { dialog.close(); done(value); };
    form.addEventListener('submit', (event) => { event.preventDefault(); answer(buttons.find(([, , primary]) => primary)?.[1] ?? null); });
    dialog.addEventListener('cancel', () => done(null), { once: true });
    replace(dialog, form);
    dialog.showModal();
    form.querySelector('input, select, textarea, button')?.focus();
  });
}

const SPANS = [['1 hour', 3600], ['8 hours', 28800], ['1 day', 86400], ['1 week', 604800], ['30 days', 2592000], ['for good', '']];

/** Asks how to suppress, and does it. */
export async function suppress({ host: about, kind }, again) {
  const field = {
    host: h('input', { type: 'text', value: about ?? '', maxlength: 100, spellcheck: 'false' }),
    kind: h('input', { type: 'text', value: kind ?? '', maxlength: 100, spellcheck: 'false' }),
    span: h('select', null, SPANS.map(([name, value]) => h('option', { value: String(value) }, name))),
    reason: h('textarea', { rows: 3, maxlength: 1000, required: true }),
  };
  field.span.value = '86400';
  const content = h('div', { class: 'form' },
    h('p', null, 'Incidents that match are no longer told. They are still counted and stored, those there are already as well.'),
    h('label', null, 'Host or prefix', field.host), h('label', null, 'Kind', field.kind),
    h('label', null, 'For', field.span), h('label', null, 'Why (for whoever wonders later)', field.reason));
  const yes = await ask('Suppress', content, [['Cancel', null], ['Suppress', true, true]]);
  if (!yes) return;
  try {
    await post('suppressions/add', {
      host: field.host.value || null, kind: field.kind.value || null, reason: field.reason.value,
      seconds: field.span.value ? Number(field.span.value) : null,
    });
    tell('Suppressed');
    again();
  } catch (error) {
    await ask('That did not work', h('p', null, said(error.message)), [['Close', null]]);
  }
}

/** One incident in a list. */
export function incident(one, again, { short = false } = {}) {
  const open = one.state === 'open';
  return h('article', { class: `incident edge-${one.severity}${open ? '' : ' judged'}` },
    h('header', null, badge(one.severity),
      h('a', { class: 'kind', href: link('incidents', { id: one.id }) }, said(one.kind, 60)),
      h('span', { class: 'soft' }, one.role, ' '), host(one.host),
      h('time', { title: `first ${ns(one.first_ns)}` }, ns(one.last_ns), one.over ? '' : h('i', { class: 'going', title: 'going on' }))),
    h('p', null, said(one.sentence, short ? 220 : 600)),
    h('footer', null,
      h('a', { href: link('flows', { incident: one.id }) }, `${count(one.count)} ${one.source === 'logs' ? 'event' : 'flow'}${one.count === 1 ? '' : 's'}`),
      one.peers ? h('span', null, `${count(one.peers)} host${one.peers === 1 ? '' : 's'}`) : null,
      one.p_value === null ? null : h('span', { title: 'chance of something as telling in one flow of ordinary traffic' }, chance(one.p_value)),
      techniques(one.techniques),
      open ? null : h('span', { class: 'state' }, one.state),
      h('span', { class: 'do' },
        open ? h('button', { type: 'button', 'data-key': `ack-${one.id}`, onclick: () => act('acknowledge', [one.id], again) }, 'Acknowledge') : null,
        one.state === 'closed' ? h('button', { type: 'button', onclick: () => act('reopen', [one.id], again) }, 'Reopen')
          : h('button', { type: 'button', onclick: () => act('close', [one.id], again) }, 'Close'),
        h('button', { type: 'button', onclick: () => suppress({ host: one.host, kind: one.kind }, again) }, 'Suppress…'))));
}

/** Columns of an answer as lists. */
export function columns({ columns: names, rows }) {
  return Object.fromEntries(names.map((name, at) => [name, rows.map((row) => row[at])]));
}

/** Slots of a window, with those between that had no traffic. */
export function filled(answer) {
  const { window: { from_s: from, to_s: to, step_s: step }, slots } = answer;
  const known = new Map(slots.rows.map((row) => [row[0], row]));
  const times = [];
  for (let at = from - (from % step); at < to && times.length < 2000; at += step) times.push(at);
  const column = (name, none) => {
    const at = slots.columns.indexOf(name);
    return times.map((time) => known.get(time)?.[at] ?? none);
  };
  return { times, step, column };
}

/** A mix as items for bars. */
export const mixed = (rows, href, by = 'flows') => rows.map(([name, flows, anomalous, bytes]) => ({
  name: name === '' ? h('span', { class: 'soft' }, 'others') : said(name, 40),
  value: by === 'flows' ? flows : bytes,
  part: flows ? anomalous / flows : 0,
  note: anomalous ? `${count(anomalous)} odd` : '',
  odd: true,
  href: name === '' ? null : href?.(name),
  tone: 'usual',
}));

const PORTED = /^(tcp|udp|sctp|udplite)\/(\d+)$/;

/** Where a service's flows are. */
export const service = (name, more) => {
  const found = PORTED.exec(name);
  return found ? link('flows', { protocol: found[1], port: found[2], ...more }) : link('flows', { protocol: name.split(' ')[0], ...more });
};

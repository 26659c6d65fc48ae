// Grids of tinted cells. One cell is in the order of focus; arrow keys go on from there.

import { h } from './dom.js';
import { hint } from './charts.js';

/**
 * rows and columns are names (columns: null for none), values[row][column] numbers or null. words(row, column, value) says what a
 * cell is, href(row, column) where it leads. A diverging map has values from -1 to 1.
 */
export function heat({ rows, columns, values, words, href, diverging = false, every = 1, label, most, gamma = 0.6, tone = 'cool' }) {
  const peak = most ?? Math.max(1e-12, ...values.flat().map((value) => Math.abs(value ?? 0)));
  const cells = [];
  const grid = h('div', { class: `heat${diverging ? ' diverging' : ''}`, role: 'grid', 'aria-label': label, vars: { columns: columns.length } });
  grid.append(h('span', { class: 'corner' }));
  columns.forEach((name, at) => grid.append(h('span', { class: 'column', role: 'columnheader' }, at % every === 0 ? name : '')));
  rows.forEach((name, row) => {
    grid.append(h('span', { class: 'rowname', role: 'rowheader' }, name));
    columns.forEach((_, column) => {
      const value = values[row]?.[column];
      const share = value === null || value === undefined ? null : Math.min(1, Math.abs(value) / peak);
      const strength = share === null ? 0 : share === 0 ? 0 : 0.08 + 0.92 * share ** gamma;
      const target = href?.(row, column, value);
      const cell = h(target ? 'a' : 'span', {
        class: `cell ${share === null ? 'unknown' : diverging && value < 0 ? 'negative' : tone}`,
        role: 'gridcell', tabindex: cells.length ? -1 : 0, href: target, 'aria-label': [words(row, column, value)].flat(9).join(' '),
        vars: { v: `${(strength * 100).toFixed(1)}%` },
      });
      hint(cell, () => words(row, column, value));
      cells.push(cell);
      grid.append(cell);
    });
  });
  grid.addEventListener('keydown', (event) => {
    const at = cells.indexOf(document.activeElement);
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns.length, ArrowDown: columns.length }[event.key];
    if (at < 0 || !move || !cells[at + move]) return;
    event.preventDefault();
    cells[at].tabIndex = -1;
    cells[at + move].tabIndex = 0;
    cells[at + move].focus();
  });
  return h('div', { class: 'scroll' }, grid);
}

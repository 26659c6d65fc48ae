// Charts in SVG, drawn for a width. Each can be read by arrow keys and says what it shows.

import { h, s, fitted, replace, plain, tell } from './dom.js';
import { count, tick } from './format.js';

const tip = () => document.getElementById('tip');

/** Shows words beside a point of the window. */
export function point(at, ...content) {
  const box = tip();
  replace(box, content);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = at.x + 14 + width > innerWidth ? at.x - width - 14 : at.x + 14;
  const top = at.y + 14 + height > innerHeight ? at.y - height - 10 : at.y + 14;
  box.style.left = `${Math.max(4, left)}px`;
  box.style.top = `${Math.max(4, top)}px`;
}

export const unpoint = () => { tip().hidden = true; };

/** Shows words while the pointer or the focus is on an element. */
export function hint(element, words) {
  const show = (x, y) => point({ x, y }, words());
  element.addEventListener('pointermove', (event) => show(event.clientX, event.clientY));
  element.addEventListener('pointerleave', unpoint);
  element.addEventListener('focus', () => {
    if (!element.matches(':focus-visible')) return;
    const box = element.getBoundingClientRect();
    show(box.left + box.width / 2, box.top + box.height);
  });
  element.addEventListener('blur', unpoint);
  return element;
}

/** Round numbers up to the greatest value. */
export function ticks(most, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const raw = most / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const all = [];
  for (let at = 0; at < most + step * 0.999; at += step) all.push(at);
  return all;
}

/**
 * Values in time. series: [{ name, values, tone, kind: 'area' | 'line' | 'bars' | 'stack', format }], times in seconds; gaps are
 * nulls. lines: [{ value, name, tone }] are drawn across. open(index) is called for a click or Enter.
 */
export function timeline({ times, step, series, lines = [], height = 180, format = count, most, label, open }) {
  return fitted((width) => {
    const left = 52, right = 8, top = 10, bottom = 22;
    const inner = { w: width - left - right, h: height - top - bottom };
    const from = times[0], to = (times.at(-1) ?? from) + step;
    const x = (time) => left + ((time - from) / Math.max(to - from, 1)) * inner.w;
    const stacked = times.map((_, at) => series.filter((one) => one.kind === 'stack').reduce((sum, one) => sum + (one.values[at] ?? 0), 0));
    const peak = Math.max(0, ...stacked, ...series.filter((one) => one.kind !== 'stack').flatMap((one) => one.values.map((v) => v ?? 0)), ...lines.map((one) => one.value));
    const scale = most ? [0, most / 4, most / 2, (most * 3) / 4, most] : ticks(peak);
    const high = scale.at(-1);
    const y = (value) => top + inner.h - (Math.min(value, high) / high) * inner.h;
    const parts = [];
    for (const value of scale) {
      parts.push(s('line', { class: 'grid', x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      parts.push(s('text', { class: 'axis', x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, format(value)));
    }
    const labels = Math.max(2, Math.floor(inner.w / 90));
    for (let n = 0; n <= labels; n += 1) {
      const time = from + ((to - from) * n) / labels;
      const anchor = n === 0 ? 'start' : n === labels ? 'end' : 'middle';
      parts.push(s('text', { class: 'axis', x: x(time), y: height - 5, 'text-anchor': anchor }, tick(time, (to - from) / labels < 60 ? 1 : (to - from) / labels >= 86400 ? 86400 : 60)));
    }
    const slot = (step / Math.max(to - from, 1)) * inner.w;
    const wide = Math.min(48, Math.max(1, slot - (times.length > 60 ? 0.5 : 1.5)));
    const base = times.map(() => 0);
    for (const one of series) {
      if (one.kind === 'bars' || one.kind === 'stack') {
        one.values.forEach((value, at) => {
          if (!value) return;
          const under = one.kind === 'stack' ? base[at] : 0;
          const upper = y(under + value);
          parts.push(s('rect', { class: `tone-${one.tone}`, x: x(times[at]) + (slot - wide) / 2, y: upper, width: wide, height: Math.max(1, y(under) - upper), rx: Math.min(1.5, wide / 3) }));
          if (one.kind === 'stack') base[at] += value;
        });
        continue;
      }
      let path = '', start = null, previous = null;
      const areas = [];
      const close = () => {
        if (start !== null && one.kind === 'area') areas.push(`${path.slice(start.at)}L${previous} ${y(0)}L${start.x} ${y(0)}Z`);
        start = null;
      };
      one.values.forEach((value, at) => {
        if (value === null || value === undefined) { close(); return; }
        const px = (x(times[at]) + x(times[at] + step)) / 2;
        if (start === null) { start = { at: path.length, x: px.toFixed(1) }; path += `M${px.toFixed(1)} ${y(value).toFixed(1)}`; }
        else path += `L${px.toFixed(1)} ${y(value).toFixed(1)}`;
        previous = px.toFixed(1);
      });
      close();
      for (const area of areas) parts.push(s('path', { class: `under tone-${one.tone}`, d: area }));
      parts.push(s('path', { class: `curve stroke-${one.tone}`, d: path || 'M0 0' }));
      // What has no neighbour makes no line.
      const known = (value) => value !== null && value !== undefined;
      {
        one.values.forEach((value, at) => known(value) && !known(one.values[at - 1]) && !known(one.values[at + 1]) && parts.push(s('circle', { class: `tone-${one.tone}`, r: 3, cx: (x(times[at]) + x(times[at] + step)) / 2, cy: y(value) })));
      }
    }
    for (const line of lines) {
      if (line.value > high) continue;
      parts.push(s('line', { class: `across stroke-${line.tone}`, x1: left, x2: width - right, y1: y(line.value), y2: y(line.value) }));
      parts.push(s('text', { class: 'axis strong', x: width - right - 4, y: y(line.value) - 5, 'text-anchor': 'end' }, line.name));
    }
    const cursor = s('line', { class: 'cursor', y1: top, y2: top + inner.h, visibility: 'hidden' });
    const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', tabindex: 0, 'aria-label': `${label}. ${describe(times, series, format)} Arrow keys read it.` }, parts, cursor);
    let current = null;
    const words = (at) => [h('b', null, tick(times[at], step), step >= 86400 ? '' : ` – ${tick(times[at] + step, step)}`),
      ...series.map((one) => h('div', null, h('i', { class: `dot tone-${one.tone}` }), `${one.name} `, h('b', null, one.values[at] === null ? '–' : (one.format ?? format)(one.values[at]))))];
    const look = (at, where) => {
      current = Math.min(times.length - 1, Math.max(0, at));
      const px = (x(times[current]) + x(times[current] + step)) / 2;
      cursor.setAttribute('x1', px);
      cursor.setAttribute('x2', px);
      cursor.setAttribute('visibility', 'visible');
      const box = svg.getBoundingClientRect();
      point(where ?? { x: box.left + px, y: box.top + top }, words(current));
    };
    const away = () => { cursor.setAttribute('visibility', 'hidden'); unpoint(); };
    svg.addEventListener('pointermove', (event) => {
      const box = svg.getBoundingClientRect();
      const time = from + ((event.clientX - box.left - left) / inner.w) * (to - from);
      let at = times.findIndex((one) => one + step > time);
      if (at < 0) at = times.length - 1;
      if (times.length) look(at, { x: event.clientX, y: event.clientY });
    });
    svg.addEventListener('pointerleave', away);
    svg.addEventListener('blur', away);
    svg.addEventListener('keydown', (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (move && times.length) {
        event.preventDefault();
        look((current ?? (move > 0 ? -1 : times.length)) + move);
        tell(`${tick(times[current], step)}: ${series.map((one) => `${one.name} ${(one.format ?? format)(one.values[current] ?? 0)}`).join(', ')}`);
      } else if (event.key === 'Enter' && open && current !== null) open(current);
    });
    if (open) {
      svg.classList.add('opens');
      svg.addEventListener('click', () => current !== null && open(current));
    }
    return svg;
  }, { style: null, class: 'fitted chart', vars: { h: `${height}px` } });
}

function describe(times, series, format) {
  if (!times.length) return 'No data.';
  return series.map((one) => {
    const known = one.values.filter((value) => value !== null && value !== undefined);
    return `${one.name}: up to ${(one.format ?? format)(Math.max(0, ...known))}.`;
  }).join(' ');
}

/** Names of what is drawn. */
export const legend = (items) => h('div', { class: 'legend' }, items.map(([name, tone]) => h('span', null, h('i', { class: `dot tone-${tone}` }), name)));

/** Parts side by side as bars: [{ name, value, note, href, tone, part }], part being the share of the bar that is tinted. */
export function bars(items, { format = count, label, empty = 'Nothing yet.' } = {}) {
  if (!items.length) return h('p', { class: 'empty' }, empty);
  const most = Math.max(...items.map((item) => item.value), 1e-9);
  const noted = items.some((item) => item.note);
  return h('ul', { class: `bars${noted ? ' noted' : ''}`, 'aria-label': label }, items.map((item) => {
    const share = Math.max(item.value / most, 0.004);
    const content = [
      h('span', { class: 'name' }, item.name),
      h('span', { class: 'track' },
        h('span', { class: `fill tone-${item.tone ?? 'usual'}`, vars: { w: `${share * 100}%` } }),
        item.part > 0 ? h('span', { class: 'fill tone-high over', vars: { w: `${Math.max(share * item.part * 100, 0.8)}%` } }) : null),
      h('span', { class: 'value' }, format(item.value)),
      noted ? h('small', { class: item.odd ? 'ink-high' : null }, item.note ?? '') : null,
    ];
    return h('li', null, item.href ? h('a', { href: item.href }, content) : h('span', { class: 'row' }, content));
  }));
}

/** Shares by bin, one series over the other. edges has one more than bins. lines: [{ at, name, tone }] in units of edges. */
export function histogram({ edges, series, lines = [], height = 150, format = count, axis = count, log = false, label, open, left = 46 }) {
  return fitted((width) => {
    const right = 8, top = 14, bottom = 22;
    const w = width - left - right, tall = height - top - bottom;
    const bins = edges.length - 1;
    const most = Math.max(1e-12, ...series.flatMap((one) => one.values));
    const shape = (value) => (log ? Math.log10(1 + value) / Math.log10(1 + most) : value / most);
    const each = w / bins;
    const parts = [s('line', { class: 'grid', x1: left, x2: width - right, y1: top + tall, y2: top + tall })];
    const marks = log ? [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter((value) => value <= most) : ticks(most, 3).filter((value) => value <= most);
    for (const value of marks) {
      const y = top + tall * (1 - shape(value));
      parts.push(s('line', { class: 'grid', x1: left, x2: width - right, y1: y, y2: y }));
      parts.push(s('text', { class: 'axis', x: left - 6, y: y + 4, 'text-anchor': 'end' }, format(value)));
    }
    series.forEach((one, nth) => one.values.forEach((value, at) => {
      if (!(value > 0)) return;
      const tall_ = Math.max(1, tall * shape(value));
      const narrow = series.length > 1 && nth > 0;
      const rect = s('rect', {
        class: `tone-${typeof one.tone === 'function' ? one.tone(at) : one.tone}${narrow ? ' front' : ''}`,
        x: left + at * each + (narrow ? each * 0.24 : 0.5), width: Math.max(0.8, narrow ? each * 0.52 : each - 1), y: top + tall - tall_, height: tall_,
      });
      parts.push(rect);
    }));
    const places = [0, Math.floor(bins / 2), bins];
    for (const at of places) {
      parts.push(s('text', { class: 'axis', x: left + at * each, y: height - 5, 'text-anchor': at === 0 ? 'start' : at === bins ? 'end' : 'middle' }, axis(edges[at])));
    }
    for (const line of lines) {
      const upper = edges.findIndex((edge) => edge > line.at);
      if (upper < 1) continue;
      const x = left + (upper - 1 + (line.at - edges[upper - 1]) / (edges[upper] - edges[upper - 1])) * each;
      const end = x > width / 2 ? 'end' : 'start';
      parts.push(s('line', { class: `across stroke-${line.tone}`, x1: x, x2: x, y1: top - 4, y2: top + tall }));
      parts.push(s('text', { class: 'axis strong', x: x + (end === 'end' ? -5 : 5), y: top + 6, 'text-anchor': end }, line.name));
    }
    const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', tabindex: 0, 'aria-label': label }, parts);
    let current = -1;
    const look = (at, where) => {
      current = Math.max(0, Math.min(bins - 1, at));
      const box = svg.getBoundingClientRect();
      point(where ?? { x: box.left + left + current * each, y: box.top + 20 }, h('b', null, `${axis(edges[current])} – ${axis(edges[current + 1])}`),
        ...series.map((one) => h('div', null, h('i', { class: `dot tone-${typeof one.tone === 'function' ? one.tone(current) : one.tone}` }), `${one.name} `, h('b', null, format(one.values[current])))));
    };
    svg.addEventListener('pointermove', (event) => look(Math.floor((event.clientX - svg.getBoundingClientRect().left - left) / each), { x: event.clientX, y: event.clientY }));
    svg.addEventListener('pointerleave', unpoint);
    svg.addEventListener('blur', unpoint);
    svg.addEventListener('keydown', (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { event.preventDefault(); look(current + move); }
      if (event.key === 'Enter' && open && current >= 0) open(current);
    });
    if (open) { svg.classList.add('opens'); svg.addEventListener('click', () => current >= 0 && open(current)); }
    return svg;
  }, { class: 'fitted chart', vars: { h: `${height}px` } });
}

/** A few values without axes. */
export function spark(values, tone = 'accent', width = 120, height = 28) {
  if (values.length < 2) return s('svg', { class: 'spark', width, height, 'aria-hidden': 'true' });
  const most = Math.max(...values, 1e-9);
  const path = values.map((value, at) => `${at ? 'L' : 'M'}${((at / (values.length - 1)) * width).toFixed(1)} ${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`).join('');
  return s('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, width, height, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('path', { class: `under tone-${tone}`, d: `${path}L${width} ${height}L0 ${height}Z` }), s('path', { class: `curve stroke-${tone}`, d: path }));
}

/** One bar cut into parts: [[name, value, tone]]. */
export function stack(parts, format = count) {
  const sum = parts.reduce((all, [, value]) => all + value, 0) || 1;
  return h('div', { class: 'stack', role: 'img', 'aria-label': parts.map(([name, value]) => `${name} ${format(value)}`).join(', ') },
    parts.filter(([, value]) => value > 0).map(([name, value, tone]) => hint(h('span', { class: `tone-${tone}`, vars: { w: Math.max(value / sum, 0.004) } }), () => `${plain(name)}: ${format(value)}`)));
}

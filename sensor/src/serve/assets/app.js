// The frame: which view is shown, for which time, and when it is drawn again.

import { h, replace, said, tell } from './dom.js';
import { get, link, listen, place, post, Refused } from './api.js';
import { unpoint } from './charts.js';
import { ask, nothing } from './parts.js';
import * as overview from './overview.js';

const VIEWS = [
  ['overview', 'Overview'], ['incidents', 'Incidents'], ['time', 'Time patterns'], ['topology', 'Topology'], ['attacks', 'Attack patterns'],
  ['intel', 'Threat intelligence'], ['hosts', 'Hosts'], ['data', 'Data'], ['flows', 'Flows'],
];
const WINDOWS = [['everything', 0], ['15 minutes', 900], ['1 hour', 3600], ['6 hours', 21600], ['1 day', 86400], ['1 week', 604800], ['30 days', 2592000]];
const KEYS = [
  ['1 – 9', 'views in their order'], ['[ and ]', 'shorter and longer time'], ['r', 'load again'], ['t', 'light, dark, as the system'], ['/', 'find a host'],
  ['← →', 'read a chart; Enter opens the flows of that moment'], ['arrows', 'move in a map'], ['?', 'these keys'],
];
/** Between two drawings of a view while news come. */
const PAUSE_MS = 4000;

const element = (name) => document.getElementById(name);
const loaded = { overview };
let early = null, session = null, shown = { name: null }, asking = null, due = null, source = null;

// A preference, not data: where storage is off it lasts as long as the page.
const kept = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(`anomaly-detect.${name}`);
    if (value === null) localStorage.removeItem(`anomaly-detect.${name}`); else localStorage.setItem(`anomaly-detect.${name}`, value);
  } catch { /* as said */ }
  return null;
};

function theme(next) {
  const now = next ?? kept('theme');
  if (now === 'light' || now === 'dark') document.documentElement.dataset.theme = now;
  else delete document.documentElement.dataset.theme;
}

function turn() {
  const order = [null, 'dark', 'light'];
  const next = order[(order.indexOf(kept('theme')) + 1) % 3];
  kept('theme', next);
  theme(next);
  tell(next ? `${next} colours` : 'colours of the system');
}

// A day of a sensor that runs, all of what was stored: what somebody wants to see first.
const currentWindow = () => place().parameters.window ?? kept('window') ?? (document.documentElement.dataset.live === 'yes' ? '86400' : '0');

function frame() {
  const { view } = place();
  const window = currentWindow();
  replace(element('tabs'), VIEWS.map(([name, title]) => h('a', { href: link(name, { window }), 'aria-current': name === view ? 'page' : null }, title)));
  element('tabs').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  const select = element('window');
  if (!select.options.length) select.append(...WINDOWS.map(([name, value]) => h('option', { value: String(value) }, name)));
  select.value = String(window);
}

async function show({ quiet = false } = {}) {
  const { view, parameters } = place();
  const main = element('main');
  const known = VIEWS.find(([name]) => name === view);
  frame();
  if (!known) { replace(main, nothing('There is no such view.')); return; }
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const address = location.hash;
  if (!quiet) main.setAttribute('aria-busy', 'true');
  try {
    const module = loaded[view] ?? (loaded[view] = await import(`./${view}.js`));
    const window = currentWindow();
    const path = typeof module.path === 'function' ? module.path(parameters) : module.path;
    const wanted = { window: parameters.from ? undefined : window, ...(module.parameters ? module.parameters(parameters) : {}) };
    const answer = await (early?.path === path && early.window === window ? early.answer : get(path, wanted, signal));
    early = null;
    if (signal.aborted || location.hash !== address) return;
    const focus = document.activeElement?.closest('[data-key]')?.dataset.key;
    const height = main.offsetHeight;
    // The page keeps its height while it is drawn again, so that it does not jump.
    if (quiet) main.style.minHeight = `${height}px`;
    unpoint();
    replace(main, module.draw(answer, { parameters, window, again: () => show({ quiet: true }), live: session.live }));
    if (quiet) requestAnimationFrame(() => { main.style.minHeight = ''; });
    if (focus) main.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
    document.title = `${known[1]} · anomaly-detect`;
    if (shown.name !== view && !quiet) { scrollTo(0, 0); tell(known[1]); }
    shown = { name: view };
    if (!performance.getEntriesByName('drawn').length) performance.mark('drawn');
  } catch (error) {
    if (error.name === 'AbortError') return;
    failed(main, error);
  } finally {
    main.removeAttribute('aria-busy');
  }
}

function failed(main, error) {
  if (error instanceof Refused && error.status === 401) { gate(); return; }
  if (error instanceof Refused && error.empty) {
    replace(main, h('section', { class: 'card welcome' }, h('h1', null, 'Nothing is stored yet'),
      h('p', null, session.live ? 'The sensor has just begun. This page fills by itself.' : 'Score a capture into this folder, and its flows and incidents are here:'),
      session.live ? null : h('pre', null, 'anomaly-detect run demo/'), h('p', { class: 'soft' }, said(error.message))));
    return;
  }
  replace(main, h('section', { class: 'card welcome' }, h('h1', null, 'That could not be shown'), h('p', null, said(error.message)),
    h('button', { type: 'button', onclick: () => show() }, 'Try again')));
}

/** Asks for the token. */
function gate() {
  const input = h('input', { type: 'password', autocomplete: 'current-password', 'aria-label': 'Token', required: true });
  const why = h('p', { class: 'ink-high', role: 'alert' });
  const form = h('form', {
    class: 'card welcome',
    onsubmit: async (event) => {
      event.preventDefault();
      try { await post('session', { token: input.value }); await begin(); } catch (error) { why.textContent = error.message; input.value = ''; input.focus(); }
    },
  }, h('h1', null, 'A token is needed'), h('p', null, 'It is the first line of the file that dashboard.token_file names on the sensor.'), h('p', { class: 'row' }, input, h('button', { class: 'primary' }, 'Enter')), why);
  replace(element('tabs'));
  replace(element('main'), form);
  input.focus();
}

function later() {
  if (due) return;
  due = setTimeout(() => {
    due = null;
    const busy = element('dialog').open || document.hidden || ['INPUT', 'TEXTAREA', 'SELECT'].includes(document.activeElement?.tagName) || !element('tip').hidden;
    if (busy) later(); else show({ quiet: true });
  }, PAUSE_MS);
}

/** What is shown: a sensor that watches, or a store that is only read; and whether who serves it answers. */
function sign(answers) {
  const what = session.live ? 'live' : 'a store, no sensor';
  const beat = h('i', { class: answers ? (session.live ? 'beat' : 'beat still') : 'beat off' });
  replace(element('live'), beat, answers ? what : session.live ? 'not connected' : `${what}; dashboard ended`);
}

function heard(name, told) {
  if (name === 'open') { sign(true); return; }
  if (name === 'error') { sign(false); return; }
  if (name === 'pulse') { overview.beat(told); return; }
  if (name === 'incident') {
    if (told.stage === 'new' || told.stage === 'grown' || told.stage === 'New' || told.stage === 'Grown') tell(`${told.severity}: ${told.kind}, ${told.host}`);
    later();
    return;
  }
  later();
}

/** The first answer is asked for while it is not yet known whether we may: who may not is told so. */
function ahead() {
  if (place().view !== 'overview') return;
  const window = currentWindow();
  early = { path: 'overview', window, answer: get('overview', { window }) };
  early.answer.catch(() => { /* show() tells */ });
}

async function begin() {
  ahead();
  session = await get('session');
  if (!session.admitted) { gate(); return; }
  replace(element('about'), said(session.about, 60));
  // A store is shown, whether or not news of it come.
  if (!session.live) sign(true);
  source?.close();
  await show();
  source = listen(heard);
  // A view of what is going on grows even when no incident comes.
  if (session.live) setInterval(later, 10000);
}

const step = (by) => {
  const at = WINDOWS.findIndex(([, value]) => String(value) === String(currentWindow()));
  // Everything is the longest, though it stands first.
  const order = [...WINDOWS.slice(1), WINDOWS[0]];
  const now = order.indexOf(WINDOWS[at]);
  const next = order[Math.max(0, Math.min(order.length - 1, now + by))];
  choose(String(next[1]));
};

function choose(value) {
  kept('window', value);
  const { view, parameters } = place();
  const { from, to, offset, ...rest } = parameters;
  const address = link(view, { ...rest, window: value });
  if (address === location.hash) show(); else location.hash = address;
}

addEventListener('hashchange', () => show());
element('window').addEventListener('change', (event) => choose(event.target.value));
element('theme').addEventListener('click', turn);
const keys = () => ask('Keys', h('dl', { class: 'pairs' }, KEYS.map(([key, words]) => [h('dt', null, h('kbd', null, key)), h('dd', null, words)])), [['Close', null, true]]);
element('help').addEventListener('click', keys);
document.querySelector('.skip').addEventListener('click', (event) => { event.preventDefault(); element('main').focus(); });
addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || element('dialog').open || !session?.admitted) return;
  if (['INPUT', 'TEXTAREA', 'SELECT'].includes(event.target.tagName)) return;
  const nth = Number(event.key);
  if (nth >= 1 && nth <= VIEWS.length) location.hash = link(VIEWS[nth - 1][0], { window: currentWindow() });
  else if (event.key === '[') step(-1);
  else if (event.key === ']') step(1);
  else if (event.key === 'r') show();
  else if (event.key === 't') turn();
  else if (event.key === '?') keys();
  else if (event.key === '/') { event.preventDefault(); location.hash = link('hosts'); setTimeout(() => document.querySelector('input[type=search]')?.focus(), 300); }
});
addEventListener('scroll', unpoint, { passive: true });

theme();
begin().catch((error) => { session ??= { live: false }; failed(element('main'), error); });

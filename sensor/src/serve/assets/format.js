// Numbers and times for people.

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 3 });

/** 12 → 12, 123456 → 123 k. */
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  if (size < 10000) return Number.isInteger(value) ? whole.format(value) : fine.format(value);
  for (const [unit, from] of [['T', 1e12], ['G', 1e9], ['M', 1e6], ['k', 1e3]]) {
    if (size >= from) return `${fine.format(value / from)} ${unit}`;
  }
  return fine.format(value);
}

/** All digits. */
export const exact = (value) => (value === null || value === undefined ? '–' : whole.format(value));

export function bytes(value) {
  if (value === null || value === undefined) return '–';
  for (const [unit, from] of [['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) {
    if (value >= from) return `${fine.format(value / from)} ${unit}`;
  }
  return `${fine.format(value)} B`;
}

export const rate = (value, unit = '') => `${count(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))}${unit}/s`;

export const percent = (share, digits = 1) => (Number.isFinite(share) ? `${(share * 100).toFixed(digits).replace(/\.0+$/, '')} %` : '–');

export function seconds(value) {
  if (value === null || value === undefined) return '–';
  if (value < 1e-3) return `${fine.format(value * 1e6)} µs`;
  if (value < 1) return `${fine.format(value * 1e3)} ms`;
  if (value < 120) return `${fine.format(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${fine.format(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

const pad = (number) => String(number).padStart(2, '0');

/** A moment in the reader's time zone: date where it is not today's, then the clock. */
export function moment(value_s, precise = true) {
  if (!value_s) return '–';
  const date = new Date(value_s * 1000);
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}${precise ? `:${pad(date.getSeconds())}` : ''}`;
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return new Date().toDateString() === date.toDateString() ? clock : `${day} ${clock}`;
}

/** For an axis: as much of it as a step tells apart. */
export function tick(value_s, step_s) {
  const date = new Date(value_s * 1000);
  if (step_s >= 86400) return `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  return step_s < 60 ? `${clock}:${pad(date.getSeconds())}` : clock;
}

export const ns = (value) => moment(value / 1e9);

/** A chance in words that compare: 1 in 1000. */
export function chance(p) {
  if (p === null || p === undefined) return '–';
  if (p >= 0.1) return percent(p);
  return `1 in ${count(Math.round(1 / Math.max(p, 1e-15)))}`;
}

/** A value of a feature. */
export function measure(value, unit) {
  if (value === null || value === undefined) return 'missing';
  if (unit === 'B' || unit === 'byte' || unit === 'bytes') return bytes(value);
  if (unit === 's') return seconds(value);
  const text = Math.abs(value) >= 10000 ? count(value) : fine.format(value);
  return unit && unit !== '1' && unit !== 'packet' && unit !== 'flow' && unit !== 'host' ? `${text} ${unit}` : text;
}

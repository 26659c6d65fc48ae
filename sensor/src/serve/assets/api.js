// Asking the server: JSON by fetch, news by server-sent events. Nothing else is ever asked for, and nobody else.

export class Refused extends Error {
  constructor(status, message, empty) {
    super(message);
    this.status = status;
    this.empty = empty;
  }
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body.error ?? `the server answered ${response.status}`, body.empty);
  return body;
}

const encode = (parameters) => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(name, value);
  }
  const text = search.toString();
  return text ? `?${text}` : '';
};

export const get = async (path, parameters, signal) =>
  answer(await fetch(`/api/v1/${path}${encode(parameters)}`, { signal, headers: { accept: 'application/json' } }));

export const post = async (path, body) =>
  answer(await fetch(`/api/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }));

/** A link to a view of this page. */
export const link = (view, parameters) => `#/${view}${encode(parameters)}`;

/** View and parameters of the address. */
export function place() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: path || 'overview', parameters: Object.fromEntries(new URLSearchParams(query ?? '')) };
}

/** Listens until it is closed; the browser connects again by itself. */
export function listen(heard) {
  const source = new EventSource('/api/v1/events');
  for (const name of ['pulse', 'incident', 'changed']) {
    source.addEventListener(name, (event) => heard(name, JSON.parse(event.data)));
  }
  source.addEventListener('open', () => heard('open'));
  source.addEventListener('error', () => heard('error'));
  return source;
}

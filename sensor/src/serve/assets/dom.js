// Building the page. Nothing here ever makes markup of a text: elements are made by name, and whatever came from packets or
// logs becomes a text node.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'vars') for (const [key, set] of Object.entries(value)) element.style.setProperty(`--${key}`, set);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : plain(value, name === 'title' || name.startsWith('aria-') ? 400 : Infinity));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** An SVG element. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Puts other children in place of those there are. */
export const replace = (element, ...children) => {
  element.replaceChildren();
  return append(element, children);
};

// Characters that act instead of showing: controls, marks that turn the direction of writing, and what has no width.
const ACTING = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

const escaped = (character) => `\\u{${character.codePointAt(0).toString(16).padStart(2, '0')}}`;

/** A text in which nothing acts, for labels and titles; long ones are cut. */
export function plain(value, most = 400) {
  const text = String(value).replace(ACTING, escaped);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function visible(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(ACTING)) {
    if (found.index > from) nodes.push(text.slice(from, found.index));
    nodes.push(h('span', { class: 'acting' }, escaped(found[0])));
    from = found.index + found[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

/**
 * Text that somebody else chose: what acts is shown as its code, its direction stays its own, and of a long one the beginning
 * is shown with a button for the rest.
 */
export function said(value, most = 300) {
  const text = String(value ?? '');
  if (text.length <= most) return h('bdi', null, visible(text));
  const rest = text.length - most;
  const shown = h('bdi', { class: 'long' }, visible(text.slice(0, most)), '…');
  const more = h('button', {
    type: 'button',
    class: 'more',
    onclick: (event) => {
      event.preventDefault();
      replace(shown, visible(text.slice(0, 20000)));
      more.remove();
    },
  }, `${rest} more characters`);
  return h('span', null, shown, more);
}

/** Says something to who cannot see it. */
export function tell(text) {
  document.getElementById('said').textContent = text;
}

/** Draws again whenever the width changes. */
export function fitted(draw, attributes) {
  const box = h('div', { class: 'fitted', ...attributes });
  let width = 0;
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width || now < 40) return;
    width = now;
    replace(box, draw(now));
  });
  observer.observe(box);
  return box;
}

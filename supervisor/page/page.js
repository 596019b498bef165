'use strict';
// The page fetches itself and takes over what differs. What belongs to the
// person who looks at it stays: what is open, selected, typed, sorted, filtered.
(() => {
  const every = 5000, patience = 15000;
  const $ = (id, root = document) => root.getElementById(id);
  let order = { column: -1, up: true }, taken = Date.now(), lost = 0, timer = 0, asking = false;
  try { order = JSON.parse(sessionStorage.getItem('order')) || order; $('find').value = sessionStorage.getItem('find') || ''; } catch { /* no storage: nothing remembered */ }
  const remember = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* as above */ } };

  // prepare makes of a page as it was sent one with what only a script can do.
  function prepare(root) {
    const table = $('sites', root), find = $('find').value.trim().toLowerCase();
    $('filter', root).hidden = false;
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      if (cell.classList.contains('pic')) return;
      if (!cell.firstElementChild) {
        const button = root.createElement('button');
        button.type = 'button';
        button.append(cell.textContent);
        cell.replaceChildren(button);
      }
      if (i === order.column) cell.setAttribute('aria-sort', order.up ? 'ascending' : 'descending');
      else cell.removeAttribute('aria-sort');
    });
    const groups = [...table.tBodies].filter((g) => g.dataset.key !== undefined);
    groups.forEach((g, i) => { g.dataset.place ??= i; });
    const value = (g) => {
      const cell = g.rows[0].cells[order.column];
      if (!cell) return +g.dataset.place;
      return cell.dataset.v === undefined ? (order.column ? +g.dataset.place : g.dataset.key) : +cell.dataset.v;
    };
    const compare = (a, b) => (typeof a === 'string' ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
    const sorted = groups.map((g) => [value(g), g]).sort(([a], [b]) => (order.up ? compare(a, b) : compare(b, a)));
    if (sorted.some(([, g], i) => g !== groups[i])) table.append(...sorted.map(([, g]) => g));
    let found = 0;
    for (const g of groups) {
      const first = g.rows[0], text = [...first.querySelectorAll('.name, .addr, .st')].map((e) => e.textContent).join(' ');
      g.hidden = find !== '' && !text.toLowerCase().includes(find);
      found += !g.hidden;
    }
    const say = find === '' ? '' : `${found} of ${groups.length}`;
    if ($('found').textContent !== say) $('found').textContent = say;
  }

  // morph makes the element old like fresh and touches only what differs.
  // data-own: its value and content are the person's or this script's;
  // data-keep: stays while fresh has nothing in it.
  function morph(old, fresh) {
    if (old.hasAttribute('data-own')) return;
    if (old.hasAttribute('data-keep') && !fresh.firstElementChild) return;
    for (const { name, value } of fresh.attributes) {
      if (name === 'open') continue;
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    if (old.isEqualNode(fresh)) return;
    children(old, fresh);
  }

  const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key ?? (node.id || undefined) : undefined);
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  function children(old, fresh) {
    const keyed = new Map();
    for (const node of old.childNodes) if (keyOf(node) !== undefined) keyed.set(keyOf(node), node);
    for (const node of fresh.childNodes) keyed.get(keyOf(node)) && (keyed.get(keyOf(node)).stays = true);
    let at = old.firstChild;
    for (const node of [...fresh.childNodes]) {
      while (at && keyOf(at) !== undefined && !at.stays) { const gone = at; at = at.nextSibling; gone.remove(); }
      let same = keyed.get(keyOf(node));
      if (same && same.nodeName !== node.nodeName) same = undefined;
      if (!same && at && alike(at, node)) same = at;
      if (!same) { old.insertBefore(document.importNode(node, true), at); continue; }
      if (same === at) at = at.nextSibling;
      else if (old.moveBefore) old.moveBefore(same, at);
      else old.insertBefore(same, at);
      if (same.nodeType === 1) morph(same, node);
      else if (same.data !== node.data) same.data = node.data;
    }
    while (at) { const gone = at; at = at.nextSibling; if (!gone.stays) gone.remove(); }
    for (const node of old.childNodes) delete node.stays;
  }

  function take(text) {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    if (fresh.documentElement.dataset.build !== document.documentElement.dataset.build) {
      location.reload(); // another version: its style and script are not these
      return;
    }
    prepare(fresh);
    const focused = document.activeElement;
    if (document.title !== fresh.title) document.title = fresh.title;
    morph(document.querySelector('link[rel=icon]'), fresh.querySelector('link[rel=icon]'));
    for (const part of ['header.top', 'main']) morph(document.querySelector(part), fresh.querySelector(part));
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    taken = Date.now();
    lost = 0;
  }

  async function poll() {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    let spent = 0;
    try {
      const answer = await fetch('/', { headers: { Accept: 'text/html' }, cache: 'no-store', signal: AbortSignal.timeout(patience) });
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      const text = await answer.text(), begun = performance.now();
      take(text);
      spent = performance.now() - begun;
    } catch (error) {
      lost ||= Date.now();
      console.debug(error);
    }
    asking = false;
    tell();
    timer = setTimeout(poll, Math.max(every, 20 * spent)); // a thousand sites on a slow machine leave it time for the rest
  }

  const span = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} m`;
  };

  // tell says how old the data is.
  function tell() {
    const age = Date.now() - taken, live = $('live');
    live.className = lost ? 'live lost' : 'live on';
    const say = lost ? `Data is ${span(age)} old` : age < 3 * every ? 'Live' : `Updated ${span(age)} ago`;
    if ($('age').textContent !== say) $('age').textContent = say;
    document.body.classList.toggle('stale', lost > 0);
    const warn = lost ? `Connection to sited lost. This is how things were at ${new Date(taken).toLocaleTimeString()}; trying again.` : '';
    if ($('lost').textContent !== warn) $('lost').textContent = warn;
  }

  // reveal opens what the address points at.
  function reveal() {
    const target = location.hash && $(decodeURIComponent(location.hash.slice(1)));
    if (target && target.nodeName === 'DETAILS') { target.open = true; target.scrollIntoView({ block: 'nearest' }); }
  }

  document.addEventListener('click', (event) => {
    const cell = event.target.closest('#sites thead button')?.parentElement;
    if (!cell) return;
    const column = cell.cellIndex, first = column < 2; // text begins with a, numbers with the largest
    if (order.column !== column) order = { column, up: first };
    else if (order.up === first) order.up = !first;
    else order = { column: -1, up: true };
    remember('order', JSON.stringify(order));
    prepare(document);
  });
  document.addEventListener('input', (event) => {
    if (event.target.id !== 'find') return;
    remember('find', event.target.value);
    prepare(document);
  });
  document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : poll()));
  window.addEventListener('hashchange', reveal);
  prepare(document);
  reveal();
  // What was asked for once, a plan or a reload, is not to be asked for again.
  if (location.search) history.replaceState(null, '', '/' + location.hash);
  tell();
  setInterval(tell, 1000);
  timer = setTimeout(poll, every);
})();

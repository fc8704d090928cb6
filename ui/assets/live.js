// Keeps a page fresh: listens for the parts of it that have changed and patches
// the elements that are marked data-live. Without this script the page is the
// same, only not by itself.
"use strict";
(() => {
  // The server says something every second.
  const silence = 5000, again = 3000;
  const state = document.getElementById("live-state");
  const lamp = document.getElementById("live");
  const banner = document.getElementById("stopped");
  const of = location.pathname.split("/").pop() + location.search;
  const address = new URL("live?of=" + encodeURIComponent(of), location.href);
  let last = new Date(), stream = null, timer = 0;

  // patch makes a like b in place, so that focus, selection and open details
  // survive. What people enter is left alone.
  function patch(a, b) {
    if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) {
      a.replaceWith(document.importNode(b, true));
      return;
    }
    if (a.nodeType !== Node.ELEMENT_NODE) {
      if (a.data !== b.data) a.data = b.data;
      return;
    }
    for (const { name } of [...a.attributes]) {
      if (!b.hasAttribute(name) && name !== "open") a.removeAttribute(name);
    }
    for (const { name, value } of b.attributes) {
      if (a.getAttribute(name) !== value && name !== "open") a.setAttribute(name, value);
    }
    const now = [...a.childNodes], next = [...b.childNodes];
    next.forEach((n, i) => (i < now.length ? patch(now[i], n) : a.append(document.importNode(n, true))));
    now.slice(next.length).forEach((n) => n.remove());
  }

  // Rows do not move under the hand. While somebody points at a list, or is in it
  // with the keyboard, what is there is kept fresh, and what comes and goes waits; on a
  // screen that is touched, until it is asked for or nobody has touched it for a while.
  const waiting = new Map(), idle = 10000;
  const touched = matchMedia("(pointer: coarse)");
  const rowsOf = (list) => [...list.querySelectorAll(list.dataset.rows)];
  const noteOf = (list) => document.getElementById(list.id + "-waits");
  let handled = Date.now();
  for (const kind of ["pointerdown", "touchmove", "visibilitychange"]) {
    window.addEventListener(kind, () => (handled = Date.now()), { passive: true, capture: true });
  }

  // A row is known by its key, if it has one, or by where it leads; one that tells what
  // happened by its words.
  function keyOf(row) {
    if (row.dataset.key) return row.dataset.key;
    const links = [...row.querySelectorAll("a")].map((a) => a.getAttribute("href"));
    if (row.nodeName === "TR") return links[0] ?? "";
    return row.querySelector("time") ? row.textContent : links.join(" ");
  }

  // keysOf tells apart also rows that are known by the same.
  function keysOf(rows) {
    const seen = new Map();
    return rows.map(keyOf).map((key) => {
      const n = seen.get(key) ?? 0;
      seen.set(key, n + 1);
      return n > 0 ? key + " " + n : key;
    });
  }

  function inHand(list) {
    // A click or a touch leaves the focus behind, and means nothing by that.
    const focus = document.querySelector(":focus-visible");
    if (focus && (list.contains(focus) || focus === noteOf(list))) return true;
    if (!touched.matches) return list.matches(":hover");
    return list.dataset.rows.endsWith("tr") && Date.now() - handled < idle;
  }

  // waits keeps the rows of a list where they are, if it has to, and says what waits.
  function waits(list, next) {
    const rows = rowsOf(list), keys = keysOf(rows), coming = rowsOf(next), comingKeys = keysOf(coming);
    const fresh = new Map(coming.map((row, i) => [comingKeys[i], row]));
    const same = keys.length === coming.length && keys.every((key, i) => key === comingKeys[i]);
    const hold = !same && keys.some((key) => key !== "") && inHand(list);
    const note = noteOf(list);
    if (note) {
      const more = [...fresh.keys()].filter((key) => key !== "" && !keys.includes(key)).length;
      note.textContent = more > 0 ? more + " more: show" : "Changed: show";
      note.hidden = !hold;
    }
    if (!hold) {
      waiting.delete(list.id);
      return false;
    }
    waiting.set(list.id, next);
    rows.forEach((row, i) => {
      const now = fresh.get(keys[i]);
      if (now) patch(row, now);
      else row.classList.add("frozen");
    });
    return true;
  }

  // letGo shows what has waited, if nothing holds it any more or it is asked for.
  function letGo(id, asked) {
    const list = document.getElementById(id), next = waiting.get(id);
    if (!next || (!asked && inHand(list))) return;
    waiting.delete(id);
    noteOf(list)?.setAttribute("hidden", "");
    patch(list, next);
  }

  document.querySelectorAll("[data-rows]").forEach((list) => {
    list.addEventListener("pointerleave", () => letGo(list.id, false));
    // The focus is where it goes to only after this.
    list.addEventListener("focusout", () => setTimeout(() => letGo(list.id, false)));
    noteOf(list)?.addEventListener("click", (e) => {
      letGo(list.id, true);
      // Who asks with the keyboard goes on where the rows begin: the button has gone.
      if (e.detail === 0) rowsOf(list)[0]?.querySelector("a")?.focus();
    });
  });

  function refresh(parts) {
    for (const [id, html] of Object.entries(parts)) {
      const a = document.getElementById(id);
      const t = document.createElement("template");
      t.innerHTML = html;
      const b = t.content.firstElementChild;
      if (!a || !b) continue;
      // A form that somebody has opened stays as it is, and says that it is old.
      if (a.dataset.live === "form") {
        const open = a.querySelector("details[open] form") !== null;
        document.getElementById(a.id + "-moved").hidden = !open || a.dataset.version === b.dataset.version;
        if (open) continue;
      }
      if (a.dataset.rows && waits(a, b)) continue;
      patch(a, b);
    }
    // What is not held any more need not wait for the next change.
    for (const id of waiting.keys()) letGo(id, false);
  }

  function show(ok) {
    // The server is there, but what it shows is not: the mesh is away.
    const away = document.getElementById("clock").hasAttribute("data-away");
    lamp.className = !ok ? "live off" : away ? "live paused" : "live";
    const word = !ok ? "Stopped" : away ? "No mesh" : "Live";
    if (state.textContent !== word) state.textContent = word;
    banner.hidden = ok;
    if (ok) last = new Date();
    else document.getElementById("stopped-at").textContent = last.toISOString().slice(11, 19) + " UTC";
    document.querySelectorAll("[data-live]").forEach((e) => e.classList.toggle("frozen", !ok));
  }

  function close() {
    clearTimeout(timer);
    if (stream) stream.close();
    stream = null;
  }

  // Nothing is heard any more: a new stream begins with the whole page.
  function fail() {
    close();
    show(false);
    timer = setTimeout(open, again);
  }

  function open() {
    close();
    if (document.hidden) return;
    timer = setTimeout(fail, silence);
    stream = new EventSource(address);
    stream.addEventListener("patch", (e) => {
      clearTimeout(timer);
      timer = setTimeout(fail, silence);
      refresh(JSON.parse(e.data));
      show(true);
    });
    stream.addEventListener("gone", () => {
      close();
      document.getElementById("gone").hidden = false;
    });
    stream.onerror = fail;
  }

  // A page that nobody sees needs no stream, and browsers allow few at a time.
  document.addEventListener("visibilitychange", open);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (e) => e.persisted && open());
  open();
})();

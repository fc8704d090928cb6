// Keeps a page fresh: asks for it again once a second and patches the elements
// that are marked data-live. Without this script the page is the same, only
// not by itself.
"use strict";
(() => {
  const every = 1000, afterError = 3000;
  const state = document.getElementById("live-state");
  const lamp = document.getElementById("live");
  const banner = document.getElementById("stopped");
  let last = new Date();

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

  function refresh(page) {
    for (const a of document.querySelectorAll("[data-live]")) {
      const b = page.getElementById(a.id);
      if (!b) continue;
      // A form that somebody has opened stays as it is, and says that it is old.
      if (a.dataset.live === "form") {
        const open = a.querySelector("details[open] form") !== null;
        document.getElementById(a.id + "-moved").hidden = !open || a.dataset.version === b.dataset.version;
        if (open) continue;
      }
      patch(a, b);
    }
  }

  function show(ok) {
    lamp.className = ok ? "live" : "live off";
    const word = ok ? "Live" : "Stopped";
    if (state.textContent !== word) state.textContent = word;
    banner.hidden = ok;
    if (ok) last = new Date();
    else document.getElementById("stopped-at").textContent = last.toISOString().slice(11, 19) + " UTC";
    document.querySelectorAll("[data-live]").forEach((e) => e.classList.toggle("frozen", !ok));
  }

  async function tick() {
    let ok = true;
    if (!document.hidden) {
      try {
        const r = await fetch(location.href, { signal: AbortSignal.timeout(5000) });
        if (!r.ok) throw new Error(r.status);
        refresh(new DOMParser().parseFromString(await r.text(), "text/html"));
      } catch {
        ok = false;
      }
      show(ok);
    }
    setTimeout(tick, ok ? every : afterError);
  }
  setTimeout(tick, every);
})();

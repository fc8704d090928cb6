// Keys of one letter, for who has no hand for the mouse. None works while
// somebody types, and the list of them turns all off.
"use strict";
(() => {
  const off = "fsmesh-keys-off";
  const list = document.getElementById("keys");
  const find = (selector) => document.querySelector(selector);
  const follow = (selector) => {
    const a = find(selector);
    if (a) a.click();
  };

  // In a browser that keeps nothing the keys are on.
  function isOff() {
    try {
      return localStorage.getItem(off) !== null;
    } catch {
      return false;
    }
  }
  function turn(to) {
    try {
      if (to) localStorage.removeItem(off);
      else localStorage.setItem(off, "1");
    } catch {
      return;
    }
    say();
  }
  const toggle = document.getElementById("keys-toggle");
  const say = () => (toggle.textContent = isOff() ? "Turn them on" : "Turn them off");

  // row moves the focus to the link of a row after or before that which has it.
  function row(by) {
    const links = [...document.querySelectorAll("main tbody th[scope=row] a")];
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by, 0), links.length - 1)].focus();
  }

  // record goes to the record of the history before or after the one shown.
  function record(by) {
    const records = [...document.querySelectorAll("#timeline a.no")].sort((a, b) => a.textContent - b.textContent);
    if (records.length === 0) return;
    const shown = Number(new URLSearchParams(location.search).get("at"));
    const next = shown ? records.filter((a) => (by < 0 ? a.textContent < shown : a.textContent > shown)) : by < 0 ? records.slice(0, -1) : [];
    const a = by < 0 ? next.at(-1) : next[0];
    if (a) a.click();
  }

  async function copy() {
    const key = document.getElementById("key");
    if (key) await navigator.clipboard?.writeText(key.textContent).catch(() => {});
  }

  const keys = {
    "/": () => document.getElementById("gsearch").focus(),
    j: () => row(1),
    k: () => row(-1),
    p: () => follow("#live a"),
    "[": () => record(-1),
    "]": () => record(1),
    e: () => find("#actions summary")?.focus(),
    y: copy,
    "?": () => list.showModal(),
  };
  const places = { o: "#side a[href='./']", i: "#side a[href=instances]", r: "#side a[href=runtimes]" };

  let going = 0; // until when a letter after g says where
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    if (e.target.closest("input, textarea, select, [contenteditable]")) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    if (list.open || (isOff() && e.key !== "?")) return;
    if (e.key === "Escape") {
      document.querySelectorAll("details.menu[open]").forEach((d) => (d.open = false));
      return;
    }
    const place = Date.now() < going ? places[e.key] : undefined;
    going = e.key === "g" ? Date.now() + 1500 : 0;
    const act = place ? () => follow(place) : keys[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  });

  const opener = document.getElementById("keys-open");
  opener.hidden = false;
  opener.addEventListener("click", () => list.showModal());
  toggle.addEventListener("click", () => turn(isOff()));
  say();
})();

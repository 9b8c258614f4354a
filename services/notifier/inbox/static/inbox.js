// The list of cases: keys, selection, and changes in place. The list itself never moves.

import { drawClock, icon, now, startClocks } from "./clocks.js";
import { bind, shortcutsOn } from "./keys.js";
import { listen } from "./live.js";
import { notify, offerNotifications } from "./notify.js";
import { Selection } from "./selection.js";

const root = document.querySelector("[data-inbox]");
const list = root.querySelector("[data-list]");
const query = root.dataset;
const selection = list && new Selection(list);
const rows = () => [...root.querySelectorAll("tr[data-case]")];
const row = (id) => root.querySelector(`tr[data-case="${CSS.escape(id)}"]`);

// ---- keys

let current = null;

function make(next) {
  current?.classList.remove("is-current");
  current?.removeAttribute("aria-current");
  current = next;
  if (!current) return false;
  current.classList.add("is-current");
  current.setAttribute("aria-current", "true");
  const link = current.querySelector("[data-open]");
  link.focus({ preventScroll: true });
  current.scrollIntoView({ block: "nearest" });
  return true;
}

function step(by) {
  const all = rows();
  if (!all.length) return false;
  const place = all.indexOf(current);
  return make(all[place < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + by, 0), all.length - 1)]);
}

if (list) {
  bind({
    j: () => step(1),
    k: () => step(-1),
    Enter: (event) => {
      if (!current || event.target.closest("a, button, summary, input")) return false;
      current.querySelector("[data-open]").click();
      return true;
    },
    x: () => (current ? (selection.toggle(current), true) : false),
    X: () => (current ? (selection.range(current.querySelector("input[name=case]")), true) : false),
    Escape: () => (selection.count() ? (selection.clear(), true) : false),
    a: () => {
      if (!selection.count() && current) selection.toggle(current);
      list.querySelector("#assign").focus();
    },
    e: () => {
      if (!current) return false;
      const address = new URL(current.querySelector("[data-open]").href);
      address.searchParams.set("do", "resolve");
      location.assign(address);
      return true;
    },
  });
  list.addEventListener("focusin", (event) => {
    const inside = event.target.closest("tr[data-case]");
    if (inside && inside !== current && event.target.matches("[data-open]")) make(inside);
  });
  const hint = list.querySelector("[data-keys-hint]");
  hint.hidden = !shortcutsOn();
  if (location.hash.startsWith("#c-")) make(document.getElementById(location.hash.slice(1)));
}

// ---- changes as they happen

const loadedAt = Number(query.now);
const fresh = new Set();
const banner = root.querySelector("[data-fresh]");

function fits(change) {
  if (query.q) return false;
  if (query.priority && change.priority !== query.priority) return false;
  if (query.team && change.team !== query.team) return false;
  if (query.owner && change.owner.key !== (query.owner === "none" ? "" : query.owner)) return false;
  switch (query.view) {
    case "mine": return change.owner.key === query.me;
    case "unassigned": return !change.owner.key;
    case "overdue": return change.due !== null && change.due < now();
    case "snoozed": case "resolved": return change.state === query.view;
    case "watching": return false;
    case "all": return true;
    default: return change.live;
  }
}

// New nodes instead of changed ones: what is centred and gets longer would count as moved.
function announce(text) {
  if (!banner) return;
  const words = document.createElement("span");
  words.textContent = text;
  banner.hidden = false;
  banner.classList.add("has-news");
  banner.querySelector("a").replaceChildren(icon("up"), words);
}

function draw(line, change) {
  line.dataset.version = change.version;
  line.querySelector("input[name=case]").value = `${change.id}:${change.version}`;
  line.classList.toggle("is-over", !change.live);
  drawClock(line.querySelector("[data-cell=clock]"), change.clock);
  const owner = document.createElement("span");
  owner.className = change.owner.name ? "owner" : "owner faint";
  const avatar = document.createElement("span");
  avatar.className = change.owner.name ? "avatar avatar-sm" : "avatar avatar-sm avatar-none";
  avatar.setAttribute("aria-hidden", "true");
  avatar.textContent = change.owner.name ? change.owner.initials : "";
  owner.append(avatar, change.owner.name || "Nobody");
  line.querySelector("[data-cell=owner]").replaceChildren(owner);
  const badge = document.createElement("span");
  badge.className = change.status.kind ? `badge badge-${change.status.kind}` : "badge";
  badge.textContent = change.status.text;
  line.querySelector("[data-cell=status]").replaceChildren(badge);
}

const owners = new Map();

function changed(change) {
  const line = row(change.id);
  const isNew = change.opened > loadedAt && !owners.has(change.id);
  notify(change, { me: query.me, isNew, wasMine: owners.get(change.id) === query.me, store: query.store });
  owners.set(change.id, change.owner.key);
  if (line) {
    if (change.version > Number(line.dataset.version)) draw(line, change);
    return;
  }
  const back = change.what === "reopened" && change.live;
  if ((change.opened > loadedAt || back) && fits(change)) fresh.add(change.id);
  else fresh.delete(change.id);
  if (!fresh.size) return;
  const many = fresh.size === 1 ? "1 new case" : `${fresh.size} new cases`;
  announce(`${many} since you opened this list. Show ${fresh.size === 1 ? "it" : "them"}`);
}

startClocks(loadedAt);
offerNotifications();
listen(root, { changed, stale: () => announce("Much has changed since you opened this list. Load it again") });

// Clocks that count minutes are kept right between two loads. The server's moment is the one that counts.
//
//   startClocks(serverSeconds)          every [data-at] under the page ticks from now on
//   drawClock(cell, clock)              what the stream says of a clock: {kind, text, at, ticks}

const LOOKS = {
  due: ["due", "clock"], soon: ["soon", "clock"], over: ["over", "alert"],
  met: ["met", "check"], late: ["over", "alert"], paused: ["paused", "pause"],
};
const SVG = "http://www.w3.org/2000/svg";
let offset = 0;

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const now = () => Date.now() / 1000 + offset;

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const pair = (large, unit, small, smallUnit) => (small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return pair(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

export function drawClock(cell, clock) {
  const [look, sign] = LOOKS[clock.kind];
  const shown = document.createElement("span");
  shown.className = `clock clock-${look}`;
  shown.append(icon(sign), clock.text);
  cell.replaceChildren(shown);
  if (clock.ticks) cell.dataset.at = clock.at;
  else delete cell.dataset.at;
}

function tick() {
  for (const cell of document.querySelectorAll("[data-at]")) {
    const left = Number(cell.dataset.at) - now();
    const kind = left < 0 ? "over" : left < 3600 ? "soon" : "due";
    const text = left < 0 ? `Overdue ${span(-left)}` : `Due in ${span(left)}`;
    if (cell.textContent.trim() !== text) drawClock(cell, { kind, text, at: cell.dataset.at, ticks: true });
  }
}

export function startClocks(serverSeconds) {
  offset = serverSeconds - Date.now() / 1000;
  setInterval(tick, 1000);
}

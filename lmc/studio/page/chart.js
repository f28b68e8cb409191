// Small pictures: intervals of scores, and the scores of candidates against the calls used.

import { h, number } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

function s(tag, props, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) if (value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Bars of scores with their intervals, one below the other: [name, {mean, low, high}, kind].
export function bars(rows) {
  const high = Math.max(1, ...rows.map(([, one]) => one.high));
  const low = Math.min(0, ...rows.map(([, one]) => one.low));
  const x = (score) => 1 + (98 * (score - low)) / (high - low);
  return h("div", { class: "bars" }, rows.map(([name, one, kind]) => h("div", { class: "bar-row" },
    h("span", { class: "bar-name" }, name),
    s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "interval", "aria-hidden": "true" },
      s("rect", { x: 0, y: 4, width: 100, height: 2, class: "track" }),
      s("rect", { x: x(0), y: 2.5, width: Math.max(0, x(one.mean) - x(0)), height: 5, class: `score ${kind}` }),
      s("rect", { x: x(one.low), y: 4.4, width: Math.max(0.4, x(one.high) - x(one.low)), height: 1.2, class: "range" })),
    h("span", { class: "bar-figure" }, one.mean.toFixed(3), h("span", { class: "soft" }, ` ${one.low.toFixed(3)} to ${one.high.toFixed(3)}`)))));
}

// Ticks at round numbers from 0 to a greatest one.
export function ticks(most) {
  const raw = most / 5 || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * unit).find((one) => one >= raw);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, n) => n * step);
}

export function candidatesChart(events) {
  const scored = events.filter((one) => one.event === "candidate");
  const leaders = events.filter((one) => one.event === "leader");
  if (!scored.length) return null;
  const calls = Math.max(...events.map((one) => one.totals?.calls ?? 0), 1);
  const [width, height, left, bottom] = [640, 220, 40, 28];
  const x = (n) => left + ((width - left - 14) * n) / calls;
  const y = (score) => height - bottom - (height - bottom - 12) * Math.min(1, Math.max(0, score));
  const parts = [];
  for (const one of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(s("line", { x1: left, x2: width - 14, y1: y(one), y2: y(one), class: "grid" }));
    parts.push(s("text", { x: left - 6, y: y(one) + 4, "text-anchor": "end" }, one.toFixed(2)));
  }
  for (const one of ticks(calls)) parts.push(s("text", { x: x(one), y: height - 8, "text-anchor": "middle" }, one.toLocaleString("en")));
  const line = [];
  let best = scored[0].mean;
  const steps = [...scored.slice(0, 1), ...leaders];
  for (const one of steps) {
    if (line.length) line.push(`${x(one.totals.calls)},${y(best)}`);
    line.push(`${x(one.totals.calls)},${y(one.mean)}`);
    best = one.mean;
  }
  line.push(`${x(calls)},${y(best)}`);
  parts.push(s("polyline", { points: line.join(" "), class: "leader" }));
  for (const one of scored) {
    const dot = s("circle", { cx: x(one.totals.calls), cy: y(one.mean), r: 4, class: one.dropped ? "dropped" : "kept" });
    dot.append(s("title", {}, `${one.name}: ${number(one.mean)} on ${one.rows} rows`));
    parts.push(dot);
  }
  return s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": "Scores of candidates against the calls used" }, ...parts);
}

"use strict";
// All words of reports reach the page as text nodes (textContent), never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const STUDENT = 2 + data.arms.indexOf("student"), TEACHER = 2 + data.arms.indexOf("teacher"), CHANCE = 2 + data.arms.length;
const TITLES = { multiple_choice: "multiple choice", open_ended: "open-ended", teacher_whole: "teacher, whole report" };
const known = (cell) => cell[1] === 0 || cell[1] === 1;
const wrong = (cell, arm) => known(cell) && cell[arm] !== null && cell[arm] !== cell[1];
const differ = (cell) => cell[STUDENT] !== null && cell[TEACHER] !== null && cell[STUDENT] !== cell[TEACHER];
const KINDS = {
  any_error: ["student or teacher wrong", (c) => wrong(c, STUDENT) || wrong(c, TEACHER)],
  student_wrong: ["student wrong", (c) => wrong(c, STUDENT)],
  missed: ["student missed it (people: present)", (c) => wrong(c, STUDENT) && c[1] === 1],
  false_alarm: ["student false (people: absent)", (c) => wrong(c, STUDENT) && c[1] === 0],
  teacher_wrong: ["teacher wrong", (c) => wrong(c, TEACHER)],
  mended: ["teacher wrong, student right", (c) => wrong(c, TEACHER) && c[STUDENT] === c[1]],
  added: ["teacher right, student wrong", (c) => wrong(c, STUDENT) && c[TEACHER] === c[1]],
  both: ["both wrong", (c) => wrong(c, STUDENT) && wrong(c, TEACHER)],
  disagree: ["student and teacher disagree", differ],
  ambiguous: ["people ambiguous", (c) => c[1] === "ambiguous"],
  stated: ["anybody says present", () => true],
  all: ["all reports", null],
};
const STEP = 200;
const NARROW = matchMedia("(max-width: 48rem)");
let shown = [], at = -1, limit = STEP;

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
}

const words = (report) => report.words ??= `${report.id}\n${report.segments.map((s) => s[0]).join("")}`.toLowerCase();

function matching(report) {
  const test = KINDS[$("kind").value][1], name = $("name").value;
  const cells = (report.cells[$("task").value] ?? []).filter((c) => !name || c[0] === name);
  return test ? cells.filter(test) : cells;
}

// How far the student's probability is from what people say, among the cells that match.
const sureness = (cells) => Math.max(-1, ...cells.filter((c) => wrong(c, STUDENT) && c[CHANCE] !== null).map((c) => Math.abs(c[CHANCE] - c[1])));

function filter() {
  const kept = shown[at]?.report, asked = $("words").value.trim().toLowerCase(), all = $("kind").value === "all" && !$("name").value;
  shown = data.reports.map((report) => ({ report, cells: matching(report) }))
    .filter(({ report, cells }) => (all ? $("task").value in report.cells : cells.length) && (!asked || words(report).includes(asked)));
  if ($("sort").value === "sure") shown.sort((a, b) => sureness(b.cells) - sureness(a.cells));
  limit = STEP;
  const cells = shown.reduce((n, { cells }) => n + cells.length, 0);
  $("count").textContent = `${shown.length} of ${data.reports.length} reports, ${cells} cells`;
  go(Math.max(0, shown.findIndex(({ report }) => report === kept)), false);
}

function list() {
  const items = shown.slice(0, limit).map(({ report, cells }, n) => {
    const button = make("button", { type: "button", onclick: () => { go(n); if (NARROW.matches) $("report").scrollIntoView(); } }, report.id, make("small", { textContent: cells.map((c) => c[0]).join(", ") }));
    if (n === at) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  });
  if (shown.length > limit) items.push(make("li", {}, make("button", { type: "button", textContent: `${shown.length - limit} more`, onclick: () => { limit += STEP; list(); } })));
  $("list").replaceChildren(...items);
}

function go(n, focus = true) {
  at = shown.length ? Math.min(Math.max(n, 0), shown.length - 1) : -1;
  while (at >= limit) limit += STEP;
  list();
  const current = $("list").querySelector("[aria-current]");
  current?.scrollIntoView({ block: "nearest" });
  if (focus) current?.focus({ preventScroll: true });
  show();
}

const says = (value, chance = null) => (value === null ? "-" : value === "ambiguous" ? "ambiguous" : (value ? "present" : "absent") + (chance === null ? "" : ` (${chance.toFixed(3)})`));

function marked(report) {
  const task = $("task").value, name = $("name").value;
  const rank = ["present", "uncertain", "absent", "unmentioned"];
  return report.segments.map(([text, numbers]) => {
    const own = numbers.map((n) => report.marks[n]).filter((m) => m.task === task);
    if (!own.length) return text;
    const status = own.map((m) => m.status).sort((a, b) => rank.indexOf(a) - rank.indexOf(b))[0];
    const about = own.map((m) => `${m.label}: ${m.status}${m.cue ? ` (cue: ${m.cue})` : ""}`).join("; ");
    const chosen = own.some((m) => m.label === name), off = name && task === "multiple_choice" && !chosen;
    return make("mark", { className: `${status}${chosen ? " named" : ""}${off ? " off" : ""}`, title: about }, text);
  });
}

function table(caption, heads, rows) {
  const body = rows.map(({ cells, chosen, wrongs = [] }) => make("tr", { className: chosen ? "chosen" : "" }, ...cells.map((text, n) =>
    make(n ? "td" : "th", { textContent: text, className: `word${wrongs.includes(n) ? " wrong" : ""}`, ...(n ? {} : { scope: "row" }) }))));
  return make("div", { className: "wide" }, make("table", {}, make("caption", {}, make("span", { textContent: caption })),
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { textContent: text, scope: "col", className: "word" })))), make("tbody", {}, ...body)));
}

function show() {
  const { report, cells: hits } = shown[at] ?? {};
  if (!report) return $("report").replaceChildren(make("p", { textContent: "No report matches. Choose another label or kind, or clear the words." }));
  const task = $("task").value, own = report.cells[task] ?? [];
  const arms = data.arms.filter((_, n) => own.some((c) => c[2 + n] !== null));
  const rows = own.map((cell) => {
    const wrongs = arms.map((arm, n) => [n + 2, 2 + data.arms.indexOf(arm)]).filter(([, arm]) => wrong(cell, arm)).map(([n]) => n);
    const values = arms.map((arm) => says(cell[2 + data.arms.indexOf(arm)], arm === "student" ? cell[CHANCE] : null));
    values.forEach((value, n) => { if (wrongs.includes(n + 2)) values[n] = `${value}\u00a0✗`; });
    return { cells: [cell[0], says(cell[1]), ...values], chosen: hits.includes(cell), wrongs };
  });
  const said = (n) => report.segments.filter(([, numbers]) => numbers.includes(n)).map(([text]) => text).join("");
  const evidence = report.marks.map((m, n) => ({ task: m.task, cells: [m.label, m.status, said(n), m.section, m.cue ?? "-"], chosen: m.label === $("name").value }))
    .filter((row) => row.task === task);
  const parts = [make("h2", { textContent: report.id, tabIndex: -1 })];
  parts.push(own.length ? table("What people and arms say. ✗ differs from people. Labels that nobody states are left out.", ["label", "people", ...arms.map((a) => TITLES[a] ?? a)], rows)
    : make("p", { textContent: "Nobody states anything here, and people's labels are not ambiguous." }));
  parts.push(make("div", { className: "text" }, ...marked(report)));
  parts.push(make("p", { className: "legend soft" }, "The teacher's evidence: ", ...["present", "uncertain", "absent"].map((s) => make("mark", { className: s, textContent: s }))));
  if (evidence.length) parts.push(table("The teacher's evidence, in the order of the text.", ["label", "status", "words", "section", "cue"], evidence));
  else parts.push(make("p", { className: "soft", textContent: "The teacher found no evidence in what it reads." }));
  if (task === "open_ended") parts.push(make("h3", { textContent: "The student's answer" }), make("div", { className: "text", textContent: report.phrases || "(none)" }));
  for (const [section, text] of Object.entries(report.context)) parts.push(make("h3", { textContent: `${section} (read by nobody)` }), make("div", { className: "text soft", textContent: text }));
  $("report").replaceChildren(...parts);
  document.querySelector("main").scrollTop = 0;
}

function names() {
  const of = data.names[$("task").value] ?? [];
  fill($("name"), [["", `all (${of.length})`], ...of.map((name) => [name, name])]);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, select");
  if (event.key === "Escape" && field) { field.blur(); go(at); return; }
  if (field && !(field.tagName === "SELECT" && "jk/".includes(event.key))) return;
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); go(at + step); }
  if (event.key === "/") { event.preventDefault(); $("words").focus(); $("words").select(); }
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("input", (event) => { if (event.target === $("task")) names(); filter(); });
fill($("task"), Object.keys(data.names).map((task) => [task, TITLES[task] ?? task]));
fill($("kind"), Object.entries(KINDS).map(([value, [text]]) => [value, text]));
names();
filter();

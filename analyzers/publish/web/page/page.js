"use strict";
// Draws what the agent found and how each service is, and keeps it up to date.
// Names are whatever somebody called a process: they are put in as text alone.

const refreshEvery = 5000; // ms; the agent looks each ten seconds
const runbooks = "https://github.com/headroom-project/headroom/blob/main/docs/runbooks/";
const $ = id => document.getElementById(id);

// el makes an element with a class and children; text becomes text nodes.
function el(tag, cls, ...children) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ""));
  return e;
}

// plain shows what would turn or hide text as a question mark.
const plain = s => String(s ?? "").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, "?");

const clock = (s, more) => new Date(s).toLocaleString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, ...more});
const known = v => v !== null && v !== undefined;

// short keeps three digits, and all of an integer.
function short(v) {
  if (v === 0) return "0";
  const decimals = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(v)))));
  return String(+v.toFixed(decimals));
}

const percent = v => (Math.abs(v) >= 0.0995 || v === 0 ? Math.round(100 * v) : +(100 * v).toPrecision(2)) + "%";

function seconds(v) {
  const a = Math.abs(v);
  if (a === 0) return "0 s";
  if (a < 0.9995e-3) return short(v * 1e6) + " µs";
  if (a < 0.9995) return short(v * 1e3) + " ms";
  if (a < 60) return short(v) + " s";
  const two = (large, l, small, s) => {
    const whole = Math.floor(Math.round(v / small) * small / large), rest = Math.round((v - whole * large) / small);
    return whole + " " + l + (rest > 0 ? " " + rest + " " + s : "");
  };
  return a < 3600 ? two(60, "min", 1, "s") : a < 172800 ? two(3600, "h", 60, "min") : two(86400, "d", 3600, "h");
}

function bytes(v) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; Math.abs(v) >= 1023.5 && i < units.length - 1; i++) v /= 1024;
  return short(v) + " " + units[i];
}

function human(v, unit) {
  switch (unit) {
    case "s": return seconds(v);
    case "By": return bytes(v);
    case "1": return percent(v);
    case "{cpu}": return short(v) + (short(v) === "1" ? " core" : " cores");
    case "{count}": case "": case undefined: return short(v);
  }
  return short(v) + " " + plain(unit).replace(/[{}]/g, "");
}

// Findings.

// id12 is a container's ID as people use it.
const id12 = name => /^[0-9a-f]{64}$/.test(name || "") ? name.slice(0, 12) : name;

const serviceOf = s => id12(s.container) || s.service || s.command || s.name || s.kind;

// maxPIDs is how many pids a text names.
const maxPIDs = 3;

function programOf(s) {
  const name = s.command || s.name || s.kind, more = (s.pids?.length || 0) - maxPIDs;
  if (s.pids?.length) return `${s.pids.length} × ${name} (pids ${s.pids.slice(0, maxPIDs).join(", ")}${more > 0 ? ` and ${more} more` : ""})`;
  return name + (s.pid ? ` (pid ${s.pid})` : "");
}

function whereOf(s) {
  const own = {host: s.name || "the host", core: "core " + s.name, cgroup: "cgroup " + (s.service || s.cgroup || s.name), container: "",
    disk: "disk " + s.name, nic: "nic " + s.name, listener: "listener " + s.address, upstream: "upstream " + s.address}[s.kind];
  const program = programOf(s);
  const pod = [s.namespace, s.pod].filter(Boolean).join("/");
  return plain([own ?? program, s.kind === "listener" && (s.pid || s.pids) && program, s.container && "container " + id12(s.container), pod && "pod " + pod, s.workload,
    !s.container && s.kind !== "cgroup" && s.service && "service " + s.service].filter(Boolean).join(", "));
}

const day = {month: "short", day: "numeric"};

// moment has the day too where that is not today.
const moment = s => clock(s, new Date(s).toDateString() === new Date().toDateString() ? {} : day);

function life(f) {
  if (f.state !== "cleared") return `${f.state} since ${moment(f.since)}`;
  const began = f.opened || f.since, took = (Date.parse(f.since) - Date.parse(began)) / 1000;
  return `from ${moment(began)} to ${moment(f.since)} (${seconds(Math.max(0, Math.round(took)))})`;
}

function rows(head, all) {
  return el("table", "", el("thead", "", el("tr", "", ...head.map(h => el("th", "", h)))),
    el("tbody", "", ...all.map(r => el("tr", "", ...r.map(c => el("td", "", c))))));
}

const pairs = all => el("dl", "", ...all.filter(([, v]) => v).flatMap(([k, v]) => [el("dt", "", k), el("dd", "", plain(v))]));

const parts = [["cpu", "on-cpu", "on a CPU"], ["run_queue", "run-queue", "waiting for a CPU"], ["throttled", "throttled", "throttled"],
  ["blocked", "blocked", "blocked"], ["page_fault", "page-fault", "waiting for a page"]];

// stackOf is a bar of the parts of some time, of which the whole is total.
function stackOf(of, total) {
  const bar = el("div", "bar"), words = [];
  for (const [key, cls, name] of parts) {
    if (!(of[key] > 0)) continue;
    const i = el("i", cls);
    i.style.width = Math.min(100, 100 * of[key] / total) + "%";
    bar.append(i);
    words.push(name + " " + percent(of[key] / total));
  }
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", words.join(", ") || "none");
  bar.title = words.join(", ");
  return bar;
}

function evidenceOf(f) {
  const out = [];
  if (f.evidence?.length) out.push(rows(["Seen", "Value", "Bound"], f.evidence.map(e => [
    plain([(e.metric || "").replace(/^headroom\./, "").replace(/\{.*/, ""), e.label].filter(Boolean).join(" ")),
    human(e.value, e.unit) + (known(e.least) ? ` (${human(e.least, e.unit)} to ${human(e.most, e.unit)})` : ""), known(e.bound) ? human(e.bound, e.unit) : "none"])));
  if (f.blame?.length) out.push(rows(["Lost to", "Share"], f.blame.map(b => [whereOf(b.subject), percent(b.share)])));
  if (f.exemplars?.length) {
    const longest = Math.max(...f.exemplars.map(e => e.seconds));
    out.push(rows(["Longest stalls", "Took", "Blocked in"], f.exemplars.map(e => [
      el("div", "", clock(e.start), stackOf(e.parts, longest)), seconds(e.seconds) + (e.in_progress ? " so far" : ""), plain(e.syscall)])));
  }
  return out;
}

// symptomsOf draws the findings that f explains, each with what it rests on.
function symptomsOf(symptoms) {
  if (!symptoms.length) return [];
  return [el("h4", "", "Symptoms"), ...symptoms.map(s => {
    const d = el("details", "symptom", el("summary", "", plain(s.summary), " ", el("span", "quiet", `(${plain(s.id)}, ${plain(s.cause)}, ${s.severity})`)), ...evidenceOf(s));
    d.dataset.key = s.key;
    return d;
  })];
}

function detailsOf(f, symptoms) {
  const link = el("a", "", "link to this"), runbook = el("a", "", "runbook");
  link.href = "#" + encodeURIComponent(f.key);
  runbook.href = runbooks + encodeURIComponent(f.id) + ".md";
  runbook.rel = "noopener noreferrer";
  const late = f.forecast;
  return [
    pairs([["Why", `${f.cause} (${f.id}), impact ${percent(f.impact)}, confidence ${percent(f.confidence)}`], ["Where", whereOf(f.subject)],
      ["When", late && `${late.what} in ${seconds(late.at_seconds)}`],
      ["Symptom of", f.symptom_of && `${f.symptom_of.id} of ${whereOf(f.symptom_of.subject)}`]]),
    ...(f.recommendations || []).flatMap((r, i) => [el("h4", "", (i ? "Or: " : "Fix: ") + plain(r.action)),
      pairs([["Verify", r.verify], ["Risk", r.risk], ["Not if", r.not_if]])]),
    ...evidenceOf(f),
    ...symptomsOf(symptoms),
    el("p", "quiet", link, " · ", runbook, " · ", el("code", "", "headroom explain " + plain(f.id)), " · key ", el("code", "", plain(f.key))),
  ];
}

// maxSymptoms is how many symptoms a card names while it is closed.
const maxSymptoms = 2;

function symptomLine(symptoms) {
  if (!symptoms.length) return null;
  const named = symptoms.slice(0, maxSymptoms).map(s => `${s.id} of ${whereOf(s.subject)}`).join("; "), more = symptoms.length - maxSymptoms;
  return el("p", "quiet symptoms", "Symptoms: " + plain(named) + (more > 0 ? ` and ${more} more` : ""));
}

function card(f, symptoms) {
  const fix = f.recommendations?.[0]?.action;
  const about = [life(f), plain(f.id + "/" + f.cause), whereOf(f.subject), f.symptom_of && "symptom of " + plain(f.symptom_of.id)].filter(Boolean).join(" · ");
  const body = [
    el("h3", "", el("span", "pill " + f.severity, f.severity), f.muted ? el("span", "pill aside", "muted") : null,
      f.state !== "firing" ? el("span", "pill aside", f.state) : null, plain(f.summary)),
    fix && f.state !== "cleared" ? el("p", "fix", plain(fix)) : null,
    el("p", "quiet", about),
    symptomLine(symptoms),
    el("details", "", el("summary", "", "Details"), ...detailsOf(f, symptoms)),
  ];
  return body.filter(Boolean);
}

// cards are kept from refresh to refresh, so that what is open stays open.
const cards = new Map();

function cardOf(f, symptoms) {
  const text = JSON.stringify([f, symptoms]);
  const which = f.state === "cleared" ? f.key + " " + f.since : f.key;
  let c = cards.get(which);
  if (!c) {
    c = {article: el("article")};
    cards.set(which, c);
  }
  if (c.text !== text) {
    const open = new Set([...c.article.querySelectorAll("details[open]")].map(d => d.dataset.key || "")), focused = c.article.contains(document.activeElement) && document.activeElement.tagName;
    c.text = text;
    c.finding = f;
    c.article.className = [f.severity, f.state, f.muted ? "muted" : "", c.article.classList.contains("linked") ? "linked" : ""].filter(Boolean).join(" ");
    c.article.dataset.key = f.key;
    c.article.replaceChildren(...card(f, symptoms));
    for (const d of c.article.querySelectorAll("details")) d.open = open.has(d.dataset.key || "");
    if (focused === "SUMMARY") c.article.querySelector("summary").focus();
  }
  return c;
}

// fill puts elements in their order, and moves only those that are elsewhere.
function fill(place, elements) {
  elements.forEach((e, i) => { if (place.children[i] !== e) place.insertBefore(e, place.children[i] || null); });
  while (place.children.length > elements.length) place.lastElementChild.remove();
}

let report = null, episodes = null;

// maxPast is how many of what is over are drawn.
const maxPast = 100;

// overAll are the findings that are over, the newest first: the episodes that
// the agent remembers, else those of its report.
function overAll() {
  if (!episodes) return report.findings.filter(f => f.state === "cleared");
  return episodes.filter(e => e.ended).sort((a, b) => Date.parse(b.ended) - Date.parse(a.ended))
    .map(e => ({...e.finding, state: "cleared", opened: e.fired, since: e.ended}));
}

function matches(f, wanted) {
  const text = JSON.stringify([f.summary, f.id, f.cause, f.subject, f.severity, f.state, f.muted ? "muted" : "", f.recommendations]).toLowerCase();
  return wanted.severities.includes(f.severity) && (!wanted.service || serviceOf(f.subject) === wanted.service) && wanted.words.every(w => text.includes(w));
}

const wanted = () => ({
  words: $("words").value.toLowerCase().split(/\s+/).filter(Boolean), service: $("service").value,
  severities: [...document.querySelectorAll("#filter button[aria-pressed=true]")].map(b => b.dataset.severity),
});

// rootOf returns the finding that explains f, and f itself where none of those
// does.
const rootOf = (f, all) => f.symptom_of?.key && all.find(o => o.key === f.symptom_of.key) || f;

const live = () => report.findings.filter(f => f.state !== "cleared");
const roots = all => all.filter(f => rootOf(f, all) === f);

function showFindings() {
  if (!report) return;
  const w = wanted(), current = live(), all = overAll(), over = all.slice(0, maxPast);
  const show = (f, symptoms) => {
    const c = cardOf(f, symptoms);
    c.article.hidden = ![f, ...symptoms].some(s => matches(s, w));
    return c.article;
  };
  const shown = note => roots(current).filter(f => (f.severity === "info") === note).map(f => show(f, current.filter(s => s !== f && rootOf(s, current) === f)));
  const problems = shown(false), notes = shown(true), now = [...problems, ...notes], past = over.map(f => show(f, []));
  const hidden = [...now, ...past].filter(a => a.hidden).length, both = now.length + past.length;
  $("shown").textContent = hidden ? `${both - hidden} of ${both} shown` : "";
  const asked = report.checked.filter(c => c.subjects > 0).length;
  $("noticed").hidden = !notes.length;
  fill($("notes"), notes);
  fill($("now"), now.length ? problems : [el("p", "quiet", `Nothing found. ${asked} ${asked === 1 ? "question was" : "questions were"} asked; ${report.skipped.length} had nothing to judge by.`)]);
  fill($("over"), past.length ? past : [el("p", "quiet", "Nothing was over in the last day.")]);
  $("more").textContent = all.length > over.length ? `${all.length - over.length} more are in the JSON.` : "";
  const drawn = new Set([...now, ...past]);
  for (const [which, c] of cards) if (!drawn.has(c.article)) cards.delete(which);
}

function offerServices() {
  const select = $("service"), names = [...new Set(report.findings.map(f => serviceOf(f.subject)))].sort();
  if (select.value && !names.includes(select.value)) names.push(select.value);
  const have = [...select.options].slice(1).map(o => o.value);
  if (JSON.stringify(have) === JSON.stringify(names)) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...names.map(n => { const o = el("option", "", plain(n)); o.value = n; return o; }));
  select.value = chosen;
}

function showGaps() {
  const missing = new Map();
  for (const s of report.skipped) if (!s.no_subject) missing.set(s.reason, [...(missing.get(s.reason) || []), s.id]);
  const items = [
    ...report.gaps.map(g => el("li", "", plain(g.reason), " ", el("span", "quiet", "(" + plain(g.source) + ")"), ...(g.cure ? [el("br"), "Fix: " + plain(g.cure)] : []))),
    ...[...missing].map(([reason, ids]) => el("li", "", "Not asked: ", plain([...new Set(ids)].join(", ")), " ", el("span", "quiet", "(" + plain(reason) + ")"))),
  ];
  $("gaps").replaceChildren(...(items.length ? items : [el("li", "quiet", "Everything that was looked for could be seen.")]));
}

// follow opens the finding that the address names by its key.
function follow(scroll) {
  let key = "";
  try { key = decodeURIComponent(location.hash.slice(1)); } catch { /* no key of ours */ }
  const all = [...document.querySelectorAll("article")], named = [...document.querySelectorAll("[data-key]")].find(e => e.dataset.key === key), found = named?.closest("article");
  for (const a of all) a.classList.toggle("linked", a === found);
  if (!found || !scroll) return;
  found.hidden = false;
  found.querySelector("details").open = true;
  if (named !== found) named.open = true; // a symptom
  found.scrollIntoView();
  found.querySelector("summary").focus({preventScroll: true});
}

// Services.

const svg = (tag, attributes) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
};

// spark draws the last readings, broken where there was none.
function spark(values, say) {
  const all = (values || []).filter(known);
  if (all.length < 2) return null;
  const top = Math.max(...all) || 1, step = 100 / Math.max(1, values.length - 1);
  let path = "", drawing = false;
  values.forEach((v, i) => {
    if (known(v)) path += `${drawing ? "L" : "M"}${(i * step).toFixed(1)} ${(20 - 16 * v / top).toFixed(1)}`;
    drawing = known(v);
  });
  const words = `${say(Math.min(...all))} to ${say(top)} in the last ${values.length} readings`;
  const s = svg("svg", {class: "spark", viewBox: "0 0 100 21", preserveAspectRatio: "none", role: "img", "aria-label": words});
  const title = svg("title", {});
  title.textContent = words;
  s.append(title, svg("path", {d: path}));
  return s;
}

const highShare = 0.9;

// share is a bar of what is used of a limit.
function share(used, limit) {
  if (!known(limit) || !(limit > 0)) return null;
  const bar = el("div", "bar"), i = el("i", used / limit >= highShare ? "fill high" : "fill");
  i.style.width = Math.min(100, 100 * used / limit) + "%";
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", percent(used / limit) + " of the limit");
  bar.append(i);
  return bar;
}

const of = (used, limit, say) => say(used) + (known(limit) ? " / " + say(limit) : "");
const fraction = (used, limit) => known(used) && limit > 0 ? used / limit : undefined;
const usedOf = m => m && (m.used ?? m.resident);

// columns say for a service what is sorted by, and what is shown.
const columns = [
  {name: "Service", sort: s => s.name},
  {name: "Loop lag p50 / p99", sort: s => s.loop?.current_tick ?? s.loop?.lag_p99, show: s => s.loop && [
    known(s.loop.lag_p99) ? seconds(s.loop.lag_p50) + " / " + seconds(s.loop.lag_p99) : "no ticks",
    known(s.loop.current_tick) ? el("div", "", "in a tick for " + seconds(s.loop.current_tick)) : null, spark(s.history.lag_p99, seconds)]},
  {name: "Loop in use", sort: s => s.loop?.utilisation, show: s => known(s.loop?.utilisation) && [percent(s.loop.utilisation), share(s.loop.utilisation, 1)]},
  {name: "Stalls", sort: s => s.loop?.stalls && stalled(s.loop), show: s => s.loop?.stalls && [percent(stalled(s.loop)) + " of the time", stackOf(s.loop.stalls, Math.max(1e-9, stalled(s.loop)))]},
  {name: "CPU, cores", sort: s => s.cpu?.used, show: s => s.cpu && [of(s.cpu.used, s.cpu.limit, short2), share(s.cpu.used, s.cpu.limit), spark(s.history.cpu, short2)]},
  {name: "Memory", sort: s => usedOf(s.memory), show: s => s.memory && [of(usedOf(s.memory), s.memory.limit, bytes),
    known(s.memory.resident) && known(s.memory.used) ? el("div", "quiet", bytes(s.memory.resident) + " resident") : null,
    share(usedOf(s.memory), s.memory.limit), spark(s.history.memory, bytes)]},
  {name: "Descriptors", sort: s => fraction(s.fds?.used, s.fds?.limit) ?? s.fds?.used / 1e9, show: s => s.fds && [of(s.fds.used, s.fds.limit, short), share(s.fds.used, s.fds.limit)]},
];

const short2 = v => v < 0.005 ? "0" : String(+v.toFixed(2));
const stalled = l => parts.reduce((sum, [key]) => sum + l.stalls[key], 0);

let sorted = {column: 1, descending: true}, list = null;

// about says whether a finding is about a service of the list, which has the
// beginning of IDs where no names are known.
const about = (f, s) => s.container ? (f.subject.container || "").startsWith(s.container) && (f.subject.pod || "").startsWith(s.pod || "")
  : s.service ? !f.subject.container && f.subject.service === s.service
  : !f.subject.container && !f.subject.service && s.programs.includes(f.subject.program || f.subject.command || f.subject.name);

function row(s) {
  const findings = (report?.findings || []).filter(f => f.state !== "cleared" && !f.muted && about(f, s));
  const where = [[s.namespace, s.pod].filter(Boolean).join("/"), s.programs.join(", ")].filter(t => t && t !== s.name).join(" · ");
  const head = el("th", "", el("b", "", plain(s.name)), where ? el("span", "quiet", plain(where)) : null);
  head.scope = "row";
  if (findings.length) {
    const link = el("a", "", findings.length === 1 ? "1 finding" : findings.length + " findings");
    link.href = "#" + encodeURIComponent(findings[0].key);
    head.append(el("div", "", link));
  }
  return el("tr", "", head, ...columns.slice(1).map(c => {
    const shown = c.show(s), td = el("td", shown ? "" : "none", ...(shown || []));
    td.dataset.label = c.name;
    return td;
  }));
}

function compare(a, b) {
  const key = columns[sorted.column].sort, x = key(a), y = key(b), sign = sorted.descending ? -1 : 1;
  const has = v => known(v) && !Number.isNaN(v);
  if (has(x) !== has(y)) return has(x) ? -1 : 1;
  if (has(x) && x !== y) return sign * (x < y ? -1 : 1);
  return (b.cpu?.used || 0) - (a.cpu?.used || 0) || (a.name < b.name ? -1 : 1);
}

function showServices() {
  if (!list) return;
  $("columns").childNodes.forEach((th, i) => i === sorted.column ? th.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending") : th.removeAttribute("aria-sort"));
  $("table").hidden = !list.services.length;
  const kept = document.activeElement?.closest?.("#rows tr") ? document.activeElement.href : "";
  $("rows").replaceChildren(...[...list.services].sort(compare).map(row));
  if (kept) [...$("rows").querySelectorAll("a")].find(a => a.href === kept)?.focus();
  $("services-note").textContent = !list.services.length ? "No service was looked at yet: it takes two looks."
    : `Over ${Math.round(list.seconds)} s to ${clock(list.at)}. Lag is for how long an event waited for the loop; stalls are ticks of more than 20 ms.` +
      (list.more ? ` ${list.more} more that use less CPU are in [other].` : "");
}

function head() {
  $("columns").append(...columns.map((c, i) => {
    const b = el("button", "", c.name);
    b.type = "button";
    b.addEventListener("click", () => {
      sorted = {column: i, descending: sorted.column === i ? !sorted.descending : i > 0};
      showServices();
    });
    const th = el("th", "", b);
    th.scope = "col";
    return th;
  }));
}

// Refreshing.

function say(verdict, pill) {
  const h = $("verdict"), text = (pill || "") + verdict;
  if (h.dataset.text === text) return; // screen readers tell each change
  h.dataset.text = text;
  h.replaceChildren(...(pill ? [el("span", "pill " + pill, pill), " "] : []), verdict);
}

function trouble(text) {
  $("trouble").hidden = !text;
  if ($("trouble").textContent !== text) $("trouble").textContent = text;
  document.body.classList.toggle("stale", !!text && !!report);
}

// observed says how much of the host was not observed, "" for nothing.
function observed(q) {
  const says = [];
  if (q?.half_blind || report.verdict === "unknown") says.push(`${q.half_blind ? "half blind: " : ""}${q.asked} of ${q.of} questions asked`);
  if (q?.unseen) says.push(`${q.unseen} ${q.unseen === 1 ? "server" : "servers"} not observed`);
  return says.length ? ` (${says.join(", ")})` : "";
}

function show() {
  const told = roots(live()).filter(f => !f.muted), firing = told.filter(f => f.state === "firing" && f.severity !== "info");
  const host = plain(report.host.name || "this host");
  const seen = observed(report.questions);
  say((firing.length ? `${firing.length} ${firing.length === 1 ? "problem" : "problems"} on ${host}` : told.length ? `${told.length} ${told.length === 1 ? "note" : "notes"} on ${host}` : `Nothing found on ${host}`) + seen, report.verdict);
  document.title = `${report.verdict}: ${host}, headroom`;
  $("facts").textContent = `Looked at ${clock(report.window.end, {timeZoneName: "short"})}, over ${Math.round(report.window.seconds)} s` +
    (report.host.cpus ? ` · ${report.host.cpus} CPUs` : "") + (report.host.kernel ? ` · Linux ${plain(report.host.kernel)}` : "");
  $("version").textContent = "headroom " + plain(report.tool.version);
  offerServices();
  showFindings();
  showGaps();
}

let answered = null, first = true, asked, cleared = "";

// pastEvery is how often, in ms, a day of findings is fetched if none was over
// meanwhile.
const pastEvery = 60000;

// ask returns the answers that make the page, or null.
async function ask() {
  try {
    const paths = ["api/v1/findings", "api/v1/services", "healthz"];
    if (!(Date.now() - asked < pastEvery)) paths.push("api/v1/findings/history?since=24h");
    const answers = await Promise.all(paths.map(path => fetch(path, {cache: "no-store"})));
    const texts = await Promise.all(answers.map(a => a.text()));
    answered = new Date();
    return answers.map((a, i) => ({ok: a.ok, text: texts[i].trim()}));
  } catch (e) {
    trouble("No answer from the agent" + (answered ? ` since ${clock(answered)}. What is below is from then.` : `: ${e.message}`));
    if (!report) say("Not known");
    return null;
  }
}

async function refresh() {
  const answers = await ask();
  if (!answers) return;
  const [findings, services, health, past] = answers;
  if (past) asked = Date.now();
  if (past?.ok) episodes = JSON.parse(past.text).episodes;
  if (services.ok) list = JSON.parse(services.text);
  if (findings.ok) {
    report = JSON.parse(findings.text);
    const over = report.findings.filter(f => f.state === "cleared").map(f => f.key + f.since).join();
    if (over !== cleared) asked = undefined; // the next time, with what is over now
    cleared = over;
    show();
  } else if (!report) {
    say("Not known yet");
    $("facts").textContent = findings.text;
  }
  showServices();
  trouble(health.ok ? "" : `The agent observes nothing: ${health.text}. What is below is from before.`);
  if (report) {
    follow(first);
    first = false;
  }
}

// again refreshes as long as somebody looks.
async function again() {
  try {
    if (!document.hidden) await refresh();
  } finally {
    setTimeout(again, refreshEvery);
  }
}

head();
$("filter").addEventListener("submit", e => e.preventDefault());
$("words").addEventListener("input", showFindings);
$("service").addEventListener("change", showFindings);
for (const b of document.querySelectorAll("#filter button")) b.addEventListener("click", () => {
  b.setAttribute("aria-pressed", b.getAttribute("aria-pressed") !== "true");
  showFindings();
});
addEventListener("hashchange", () => follow(true));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
again();

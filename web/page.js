// The page: takes two files, hands them to a worker that runs the checker, and shows what it said.
//
// All files are fetched once, when the page loads, and compared with SHA256SUMS by the browser.
// Each check gets a new worker, started from memory; stopping it is ending that worker.
"use strict";

const MODULES = ["pyodide.mjs", "pyodide.asm.mjs"]; // imported by the worker
const CONTENTS = ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]; // read by Pyodide
const SCRIPT = "text/javascript";
const MARKS = { VERIFIED: "✓", REJECTED: "✗", DECLINED: "–", CANCELLED: "–" };
const MEANINGS = {
  VERIFIED: "The checker has derived this itself, in exact arithmetic, from the bytes of the model. It is about this file and no other.",
  REJECTED: "The certificate does not prove its claim about this model, or proves less than was asked for. The claim may be true all the same.",
  DECLINED: "Nothing was decided, neither for the claim nor against it.",
  CANCELLED: "You stopped the check. Nothing was decided.",
};
const FACTS = [
  ["task", "Task"],
  ["domain", "Domain"],
  ["scope", "Scope"],
  ["semantics", "Arithmetic"],
  ["total", "Inputs, or their weight"],
  ["correct_lower", "Right, at least"],
  ["correct_upper", "Right, at most"],
  ["margin_lower", "Margin, at least"],
];
const DIGITS = 10n; // of an accuracy, rounded down

const part = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const asked = new URLSearchParams(location.search);

let loaded; // what a worker is started with, once it is fetched
let worker; // the one that is starting, ready or checking
let facts; // what a ready worker said of itself
let begun; // when the check that runs was asked for, or undefined
let names; // of the files that it is about
let required; // the options that it was given
let limit; // the timer that ends it
let atOnce = asked.has("model") && asked.has("certificate"); // the address names both files

// --- what is shown ---------------------------------------------------------------

function state(text) {
  part.state.textContent = text;
}

/** Show a bar: without numbers if they are not known, none at all if `done` is null. */
function bar(done, most) {
  part.progress.hidden = done === null;
  if (done === null || most === undefined) {
    part.progress.removeAttribute("value");
  } else {
    part.progress.max = most;
    part.progress.value = done;
  }
}

function buttons() {
  const files = part.model.files.length > 0 && part.certificate.files.length > 0;
  const running = begun !== undefined;
  if (running && part.cancel.disabled) {
    part.cancel.disabled = false;
    if (document.activeElement === part.check) part.cancel.focus();
  }
  part.given.disabled = running;
  part.check.disabled = running || facts === undefined || !files;
  if (!running && !part.cancel.disabled) {
    if (document.activeElement === part.cancel) part.check.focus();
    part.cancel.disabled = true;
  }
}

function idle() {
  if (begun !== undefined || facts === undefined) return;
  const missing = ["model", "certificate"].filter((name) => part[name].files.length === 0);
  const said = missing.length ? `Choose the ${missing.join(" and the ")}.` : "Press Check.";
  state(`Ready, also without network. ${said}`);
}

/** Fill a list of terms with pairs, each value as text, never as markup. */
function list(target, pairs) {
  target.replaceChildren();
  for (const [name, value] of pairs) {
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    target.append(term, told);
  }
}

/** Return lower / total with ten digits, rounded down, so that it never says too much. */
function accuracy(lower, total) {
  const unit = 10n ** DIGITS;
  const scaled = (BigInt(lower) * unit) / BigInt(total);
  const digits = String(scaled % unit).padStart(Number(DIGITS), "0");
  return `${scaled / unit}.${digits}`;
}

function fields(line) {
  const pairs = line.split(" ").filter((word) => word.includes("="));
  return Object.fromEntries(pairs.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));
}

function grouped(number) {
  return number.replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function shownFacts(line) {
  const said = fields(line);
  const known = FACTS.filter(([key]) => key in said);
  const pairs = known.map(([key, name]) => [name, /^[0-9]+$/.test(said[key]) ? grouped(said[key]) : said[key]]);
  return [["Accuracy, at least", accuracy(said.correct_lower, said.total)], ...pairs];
}

/** Show the outcome: the word, why, the line as it was said, and by whom. */
function show(word, sentence, line, origin) {
  part.verdict.dataset.verdict = word;
  part.word.textContent = `${MARKS[word]} ${word}`;
  part.sentence.textContent = sentence;
  part.meaning.textContent = MEANINGS[word];
  list(part.facts, word === "VERIFIED" ? shownFacts(line) : []);
  part.line.textContent = line;
  list(part.origin, origin);
  part.copied.textContent = "";
  part.details.hidden = line === "";
  part.verdict.scrollIntoView({ block: "nearest" });
}

function clear() {
  delete part.verdict.dataset.verdict;
  for (const name of ["word", "sentence", "meaning", "line"]) part[name].textContent = "";
  part.details.hidden = true;
}

// --- one check ---------------------------------------------------------------------

/** End the check that runs, if one does, and with it its worker; make the next one ready. */
function stop() {
  clearTimeout(limit);
  begun = undefined;
  facts = undefined;
  bar(null);
  worker.terminate();
  state("Making ready for the next check.");
  start();
  buttons();
}

/** Say in the page's own name that nothing was decided. */
function undecided(why) {
  show("DECLINED", why, `s DECLINED page: ${why}`, [["Said by", "this page, not by the checker"]]);
}

function decline(why) {
  stop();
  undecided(why);
}

/** Return "RULE: why" as a sentence, the rule behind it. */
function reason(told) {
  const rule = told.split(": ", 1)[0];
  const why = told.slice(rule.length + 2);
  return `${why[0]?.toUpperCase() ?? ""}${why.slice(1)} (${rule}).`;
}

function ended({ code, report, complaints, hashes, seconds }) {
  const { checker, archive, python, pyodide } = facts;
  const lines = report.trimEnd().split("\n");
  const line = lines.at(-1);
  const [, word, told] = /^s (VERIFIED|REJECTED|DECLINED) (.*)$/.exec(line) ?? [];
  const codes = { VERIFIED: 0, REJECTED: 10, DECLINED: 20 };
  stop();
  if (word === undefined || codes[word] !== code) {
    const said = complaints.trim().split("\n").at(-1) || line || "nothing";
    const usage = code === 2 ? "the checker does not take what was asked for" : `it ended with ${code} and no verdict`;
    undecided(`${usage}: ${said}`);
    return;
  }
  const files = hashes.map((hash, index) => [["Model", "Certificate"][index], `${names[index]} sha256:${hash}`]);
  show(word, word === "VERIFIED" ? lines[0] : reason(told), line, [
    ["Required", required.join(" ") || "nothing"],
    ["Checker", checker],
    ["From the file", `checker.pyz sha256:${archive}`],
    ["Run by", `Python ${python}, Pyodide ${pyodide}, in ${seconds.toFixed(2)} s`],
    ...files,
    ...lines.filter((one) => one.startsWith("c ")).map((one) => ["Work", one.slice(2)]),
  ]);
}

const ANSWERS = {
  ready(said) {
    facts = said;
    idle();
    buttons();
    if (atOnce) {
      atOnce = false;
      check();
    }
  },
  begun() {
    state("Checking: reading the files.");
    bar(0);
  },
  progress({ done, declared }) {
    const numbers = `${done.toLocaleString("en")} of ${declared.toLocaleString("en")} operations`;
    state(`Checking: ${numbers}, ${Math.round((performance.now() - begun) / 1000)}\u00a0s.`);
    bar(done, declared);
  },
  ended,
  broken({ why }) {
    if (begun === undefined) {
      state(`Python does not start in this browser: ${why}`);
      bar(null);
    } else {
      decline(`the checker broke off: ${why.split("\n").at(-1) || "unknown"}`);
    }
  },
};

/** Start a worker for the next check. */
function start() {
  const mine = new Worker(loaded.worker, { type: "module" });
  worker = mine;
  mine.onmessage = ({ data }) => {
    if (worker === mine) ANSWERS[data.kind](data);
  };
  mine.onerror = (event) => {
    if (worker === mine) ANSWERS.broken({ why: event.message || "the worker does not run" });
  };
  mine.postMessage({ kind: "start", modules: loaded.modules, contents: loaded.contents });
}

/** Return what is required, as the checker's command takes it. */
function options() {
  const words = part.require.value.split(/\s+/).filter((word) => word !== "");
  const least = part["at-least"].value.trim();
  return least === "" ? words : [...words, `--at-least=${least}`];
}

/** Return the bytes of a file, as on the command line cut just past the checker's limit, which it then refuses.
 *  A part of a file that is gone would be empty, the whole of it is an error. */
function contentOf(file, most) {
  return (file.size > most ? file.slice(0, most + 1) : file).arrayBuffer();
}

async function check() {
  if (part.check.disabled) return;
  if (!part.form.reportValidity()) return;
  clear();
  begun = performance.now();
  required = options();
  const seconds = Number(part.seconds.value);
  limit = setTimeout(() => decline(`the limit of ${seconds} s has passed`), seconds * 1000);
  state("Checking.");
  bar(0);
  buttons();
  const mine = worker;
  let bytes;
  try {
    const files = [part.model.files[0], part.certificate.files[0]];
    names = files.map((file) => file.name);
    bytes = await Promise.all(files.map((file, index) => contentOf(file, facts.limits[index])));
  } catch (error) {
    if (worker === mine) decline(`a file cannot be read: ${error.message}`);
    return;
  }
  if (worker !== mine) return;
  const [model, certificate] = bytes;
  const megabytes = Number(part.megabytes.value);
  mine.postMessage({ kind: "check", model, certificate, options: required, megabytes }, bytes);
}

function cancel() {
  if (begun === undefined) return;
  stop();
  show("CANCELLED", "The check was stopped before it ended.", "", []);
}

// --- files -------------------------------------------------------------------------

function give(name, file) {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  part[name].files = transfer.files;
  chosen();
}

function chosen() {
  if (begun === undefined) clear();
  idle();
  buttons();
}

/** Take what was dropped: a single file where it was dropped, otherwise each by its name. */
function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  if (begun !== undefined) return;
  const files = [...event.dataTransfer.files];
  const place = event.target.closest?.(".drop")?.dataset.for;
  if (files.length === 1 && place !== undefined) {
    give(place, files[0]);
    return;
  }
  for (const file of files) give(file.name.endsWith(".json") ? "certificate" : "model", file);
}

/** Fetch a file that the address names, from where this page lies and from nowhere else. */
async function fetched(name) {
  const address = new URL(asked.get(name), document.baseURI);
  if (address.origin !== location.origin) throw new Error(`${address.href} is not where this page lies`);
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.href}: ${answer.status}`);
  give(name, new File([await answer.blob()], address.pathname.split("/").pop()));
}

// --- loading -----------------------------------------------------------------------

function base64(hex) {
  return btoa(hex.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16))));
}

/** Fetch a file of this page; the browser compares it with its hash. */
async function load(path, sums) {
  const integrity = sums === undefined ? "" : `sha256-${base64(sums[path])}`;
  const answer = await fetch(path, { integrity, cache: "no-cache" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

async function loadAll() {
  const text = await (await load("SHA256SUMS")).text();
  const sums = Object.fromEntries(text.trim().split("\n").map((line) => line.split("  ").reverse()));
  const contents = {};
  const modules = {};
  const paths = [...MODULES, ...CONTENTS].map((name) => `pyodide/${name}`);
  part.example.hidden = !("example/certificate.json" in sums);
  let done = 0;
  const answers = ["worker.js", "checker.pyz", ...paths].map(async (path) => {
    const bytes = await (await load(path, sums)).arrayBuffer();
    done += 1;
    bar(done, paths.length + 2);
    return [path.split("/").pop(), bytes];
  });
  for (const [name, bytes] of await Promise.all(answers)) contents[name] = bytes;
  const script = (name) => URL.createObjectURL(new Blob([contents[name]], { type: SCRIPT }));
  for (const name of MODULES) modules[name] = script(name);
  loaded = { worker: script("worker.js"), modules, contents };
}

async function main() {
  for (const name of ["at-least", "require", "seconds", "megabytes"]) {
    if (asked.has(name)) {
      part[name].value = asked.get(name);
      part.more.open = true;
    }
  }
  state("Loading Python, 13 MB, once.");
  bar(0);
  try {
    await loadAll();
    for (const name of ["model", "certificate"]) if (asked.has(name)) await fetched(name);
  } catch (error) {
    state(`This page cannot load all of its files: ${error.message}`);
    bar(null);
    return;
  }
  bar(null);
  state("Starting Python.");
  start();
}

part.form.addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
part.form.addEventListener("invalid", () => { part.more.open = true; }, true);
part.cancel.addEventListener("click", cancel);
part.form.addEventListener("input", chosen); // another file, or another requirement: no verdict yet
part.copy.hidden = navigator.clipboard === undefined;
part.copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(part.line.textContent);
  part.copied.textContent = "Copied.";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("over");
});
addEventListener("drop", dropped);
if (location.protocol !== "file:") main();

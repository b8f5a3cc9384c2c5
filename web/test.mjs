// Drives web/dist in headless Chromium, as a person does, and compares what it says with the command line.
//
//     make web-test            (CHROMIUM=/path/to/chromium, PYTHON=python3)
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const WEB = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(WEB);
const DIST = join(WEB, "dist");
const PYTHON = process.env.PYTHON ?? "python3";
const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"].map((name) => `/usr/bin/${name}`);
const BROWSER = process.env.CHROMIUM ?? BROWSERS.find((path) => existsSync(path));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHIPPED = join(ROOT, "certificates");
const MODEL = join(SHIPPED, "max-of-4-seed-0", "model.safetensors");
const EXACT = join(SHIPPED, "max-of-4-seed-0", "exact.json");
const CASCADE = join(SHIPPED, "max-of-4-seed-0", "cascade.json");
const OTHER_MODEL = join(SHIPPED, "max-of-4-seed-1", "model.safetensors");
const LONG_MODEL = join(SHIPPED, "max-of-20-seed-0", "model.safetensors");
const LONG = join(SHIPPED, "max-of-20-seed-0", "count.json"); // about a minute on the command line
const MOST_TIMES_SLOWER = 5;
const TRIES = 3;
const PATIENCE = 120_000; // milliseconds, for what does not work but waits
const MIME = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".wasm": "application/wasm" };
const UNDER = "/some/where/else/"; // the page does not lie at the root of its host

let folder; // for files that the tests make
let server;
let elsewhere; // a second host, which must hear nothing
let heard = []; // by the second host
let served = []; // by the first
let browser;
let page;
let said = []; // on the console, errors of scripts and refusals of the policy among it

/** Serve the folder under a path, with the fewest headers that a static host sends. */
function hosting(request, answer) {
  served.push(request.url);
  const path = normalize(decodeURIComponent(new URL(request.url, "http://host").pathname));
  const inside = path.startsWith(UNDER) ? path.slice(UNDER.length) || "index.html" : undefined;
  const file = inside === undefined ? undefined : join(DIST, inside);
  if (file === undefined || !existsSync(file)) {
    answer.writeHead(404).end();
    return;
  }
  answer.writeHead(200, { "Content-Type": MIME[extname(file)] ?? "application/octet-stream" });
  answer.end(readFileSync(file));
}

async function listening(handler) {
  const made = createServer(handler);
  await new Promise((done) => made.listen(0, "127.0.0.1", done));
  return made;
}

const address = (of) => `http://127.0.0.1:${of.address().port}`;

function file(name, content) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Return the exit code, the verdict line and the seconds that the command line gives. */
async function native(model, certificate, ...options) {
  const line = ["-I", "-S", join(DIST, "checker.pyz"), model, certificate, ...options];
  const { stdout, code } = await promisify(execFile)(PYTHON, line).catch((error) => error);
  const lines = stdout.trimEnd().split("\n");
  return { code: code ?? 0, line: lines.at(-1), sentence: lines[0], seconds: seconds(stdout) };
}

const seconds = (text) => Number(/ seconds=([0-9.]+)/.exec(text)?.[1]);

async function open(query = "") {
  await page.goto(`${address(server)}${UNDER}${query}`);
  await ready();
}

const ready = () => page.waitForFunction(() => document.querySelector("#state").textContent.startsWith("Ready"), undefined, { timeout: PATIENCE });

async function press(model, certificate) {
  await page.setInputFiles("#model", model);
  await page.setInputFiles("#certificate", certificate);
  await ready();
  await page.click("#check");
}

/** Return what stands there once there is a verdict. */
async function verdict() {
  await page.waitForSelector("#verdict[data-verdict]", { timeout: PATIENCE });
  return {
    word: await page.getAttribute("#verdict", "data-verdict"),
    sentence: await page.textContent("#sentence"),
    line: await page.textContent("#line"),
    origin: await page.textContent("#origin"),
  };
}

async function checked(model, certificate) {
  await press(model, certificate);
  return verdict();
}

before(async () => {
  assert.ok(BROWSER, "no Chromium: apt-get install chromium, or set CHROMIUM");
  assert.ok(existsSync(DIST), "no web/dist: make web");
  folder = mkdtempSync(join(tmpdir(), "certify-web-"));
  server = await listening(hosting);
  elsewhere = await listening((request, answer) => {
    heard.push(request.url);
    answer.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end("heard");
  });
  browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  server?.close();
  elsewhere?.close();
  if (folder) rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  await page?.context().close();
  page = await (await browser.newContext()).newPage();
  said = [];
  heard = [];
  served = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
});

// --- the same verdict ----------------------------------------------------------------

for (const [name, certificate] of Object.entries({ exact: EXACT, cascade: CASCADE })) {
  test(`${name}: the same words as on the command line, not much slower`, async (context) => {
    await open();
    const ratios = [];
    for (let turn = 0; turn < TRIES; turn += 1) {
      const expected = await native(MODEL, certificate);
      const found = await checked(MODEL, certificate);
      assert.equal(expected.code, 0);
      assert.equal(found.word, "VERIFIED");
      assert.equal(found.line, expected.line);
      assert.equal(found.sentence, expected.sentence);
      ratios.push(seconds(found.origin) / expected.seconds);
      context.diagnostic(`${seconds(found.origin)} s here, ${expected.seconds} s on the command line`);
    }
    // Other work on the machine makes single runs slow, never fast.
    assert.ok(Math.min(...ratios) <= MOST_TIMES_SLOWER, `slower by ${ratios}`);
    assert.deepEqual(said, []);
  });
}

test("the hashes are those that the command line prints", async () => {
  await open();
  const { origin } = await checked(MODEL, CASCADE);
  const version = execFileSync(PYTHON, ["-I", "-S", join(DIST, "checker.pyz"), "--version"], { encoding: "utf8" });
  const made = join(folder, "made.pyz");
  const sum = execFileSync(PYTHON, ["-I", "-S", join(ROOT, "certify", "archive.py"), made], { encoding: "utf8" });
  assert.match(version, /^checker [0-9.]+ sha256:[0-9a-f]{64}\n$/);
  assert.ok(origin.includes(version.trim()));
  assert.ok(origin.includes(`checker.pyz sha256:${sum.split(" ")[0]}`));
  assert.deepEqual(readFileSync(made), readFileSync(join(DIST, "checker.pyz")));
});

test("a damaged certificate, another model, a model as certificate: refused in the same words", async () => {
  const text = readFileSync(EXACT, "utf8");
  const places = [...text.matchAll(/[0-9]+/g)].filter((number) => number[0].length > 3);
  const place = places[places.length >> 1];
  const changed = String(Number(place[0].slice(0, 3)) + 1) + place[0].slice(3);
  const damages = {
    "another number": [MODEL, file("number.json", text.slice(0, place.index) + changed + text.slice(place.index + place[0].length))],
    "cut short": [MODEL, file("short.json", text.slice(0, text.length >> 1))],
    "another model": [OTHER_MODEL, EXACT],
    "no certificate": [MODEL, MODEL],
    "empty files": [file("empty", ""), file("empty.json", "")],
  };
  await open();
  for (const [name, files] of Object.entries(damages)) {
    const expected = await native(...files);
    const found = await checked(...files);
    assert.equal(found.word, "REJECTED", name);
    assert.equal(expected.code, 10, name);
    assert.equal(found.line, expected.line, name);
    await page.setInputFiles("#model", []);
  }
  assert.deepEqual(said, []);
});

test("what is required is required", async () => {
  await open("?at-least=999/1000&require=--semantics+real");
  assert.equal(await page.inputValue("#at-least"), "999/1000");
  for (const [least, words, code] of [
    ["999/1000", "--semantics real", 0],
    ["9999/10000", "", 10],
    ["", "--task modular-addition:59", 10],
  ]) {
    await page.fill("#at-least", least);
    await page.fill("#require", words);
    const options = [...words.split(" ").filter((word) => word !== ""), ...(least ? ["--at-least", least] : [])];
    const expected = await native(MODEL, CASCADE, ...options);
    const found = await checked(MODEL, CASCADE);
    assert.equal(expected.code, code, words);
    assert.equal(found.line, expected.line);
    assert.ok(options.every((option) => found.origin.includes(option)));
  }
});

test("another requirement takes the verdict away", async () => {
  await open();
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
  await page.click("#more summary");
  await page.fill("#at-least", "1/1");
  assert.equal(await page.getAttribute("#verdict", "data-verdict"), null);
  assert.equal(await page.isHidden("#details"), true);
});

test("options that the checker does not take, or that leave no verdict line, give no verdict", async () => {
  await open();
  await page.click("#more summary");
  await page.fill("#at-least", "nonsense");
  const found = await checked(MODEL, CASCADE);
  assert.equal(found.word, "DECLINED");
  assert.match(found.line, /^s DECLINED page: the checker does not take what was asked for: .*at-least/);
  await page.fill("#at-least", "");
  for (const option of ["--json", "--show", "--version"]) {
    await page.fill("#require", option);
    assert.equal((await checked(MODEL, CASCADE)).word, "DECLINED", option);
  }
});

// --- hostile files ----------------------------------------------------------------------

test("what takes too long is ended at the limit, and the page goes on", async () => {
  await open("?seconds=4");
  const found = await checked(LONG_MODEL, LONG);
  assert.equal(found.word, "DECLINED");
  assert.equal(found.line, "s DECLINED page: the limit of 4 s has passed");
  await page.fill("#seconds", "900");
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
  assert.deepEqual(said, []);
});

test("what takes too much memory is declined by the checker, and the page goes on", async () => {
  const greedy = file("greedy.json", `{"cells":[${"0,".repeat(7_000_000)}0]}\n`); // 14 MB of text, more as a list
  await open("?megabytes=48");
  const found = await checked(MODEL, greedy);
  assert.equal(found.line, "s DECLINED SPEC-3.5: memory or recursion exhausted");
  await page.fill("#megabytes", "1024");
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
  assert.deepEqual(said, []);
});

test("files past the limits, and nested beyond reason, end in words", async () => {
  const nested = file("nested.json", `${"[".repeat(8_000_000)}${"]".repeat(8_000_000)}\n`);
  const large = file("large.safetensors", Buffer.alloc(80 << 20));
  await open();
  for (const [model, certificate] of [[MODEL, nested], [large, EXACT], [MODEL, large]]) {
    const expected = await native(model, certificate);
    const found = await checked(model, certificate);
    assert.match(found.word, /^(REJECTED|DECLINED)$/);
    assert.equal(found.line, expected.line);
  }
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
});

test("a file that is gone is declined", async () => {
  const gone = file("gone.safetensors", readFileSync(MODEL));
  await open();
  await page.setInputFiles("#model", gone);
  await page.setInputFiles("#certificate", CASCADE);
  rmSync(gone);
  await page.click("#check");
  const found = await verdict();
  assert.equal(found.word, "DECLINED");
  assert.match(found.line, /^s DECLINED page: a file cannot be read: /);
});

test("names and texts of files are shown as text", async () => {
  const model = file("<img src=x onerror=alert(1)>.safetensors", readFileSync(MODEL));
  const certificate = file("<b>.json", '{"<script>alert(1)</script>":1}\n');
  await open("?require=<script>alert(1)</script>");
  await checked(model, certificate);
  await page.fill("#require", "");
  const found = await checked(model, certificate);
  assert.equal(found.word, "REJECTED");
  assert.ok(found.origin.includes("<img src=x onerror=alert(1)>.safetensors"));
  assert.equal(await page.locator("#verdict *, #details dd *").count(), 3); // word, sentence, meaning
  assert.deepEqual(said, []);
});

// --- stopping ---------------------------------------------------------------------------

test("cancel ends the check at once, progress is shown before it, and the page goes on", async () => {
  await open();
  assert.equal(await page.isDisabled("#cancel"), true);
  await press(LONG_MODEL, LONG);
  await page.waitForFunction(() => document.querySelector("#progress").value > 0, undefined, { timeout: PATIENCE });
  assert.match(await page.textContent("#state"), /^Checking: [0-9,]+ of [0-9,]+ operations, [0-9]+\u00a0s\.$/);
  assert.equal(await page.isDisabled("#model"), true);
  await page.click("#cancel");
  assert.equal(await page.getAttribute("#verdict", "data-verdict"), "CANCELLED");
  assert.equal(await page.isHidden("#details"), true);
  assert.equal(await page.isDisabled("#cancel"), true);
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
  assert.deepEqual(said, []);
});

// --- nothing leaves ---------------------------------------------------------------------

test("after loading nothing is asked of the network, and without it everything works", async () => {
  await open();
  const loading = served.length;
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.context().setOffline(true);
  assert.equal((await checked(MODEL, CASCADE)).word, "VERIFIED");
  await press(LONG_MODEL, LONG);
  await page.click("#cancel");
  assert.equal((await checked(MODEL, EXACT)).word, "VERIFIED");
  assert.equal(served.length, loading);
  assert.deepEqual(requests.filter((url) => !url.startsWith("blob:")), []);
  assert.ok(served.every((url) => url.startsWith(UNDER)));
});

test("the browser refuses page and worker any connection to another host", async () => {
  await open();
  const attempt = async (url) => {
    try {
      return (await fetch(url, { mode: "no-cors" })).type;
    } catch (error) {
      return error.name;
    }
  };
  const place = address(elsewhere);
  assert.equal(await page.evaluate(attempt, place), "TypeError");
  const [worker] = page.workers();
  // The worker's own fetch is taken away from Pyodide; other ways to the network are left to the policy.
  const ways = {
    request: (url) => new Promise((done) => {
      const request = new XMLHttpRequest();
      request.onload = () => done("sent");
      request.onerror = () => done("refused");
      request.open("GET", url);
      request.send();
    }),
    socket: (url) => new Promise((done) => {
      try {
        const socket = new WebSocket(url.replace("http", "ws"));
        socket.onopen = () => done("sent");
        socket.onerror = () => done("refused");
      } catch {
        done("refused");
      }
    }),
    module: (url) => import(`${url}/module.js`).then(() => "sent", () => "refused"),
  };
  for (const [name, way] of Object.entries(ways)) {
    const outcome = await worker.evaluate(way, place);
    assert.equal(outcome, "refused", name);
  }
  assert.deepEqual(heard, []);
  assert.ok(said.some((text) => text.includes("Content Security Policy")));
});

test("files are fetched from where the page lies, and from nowhere else", async () => {
  await page.goto(`${address(server)}${UNDER}?model=example/model.safetensors&certificate=example/certificate.json`);
  assert.equal((await verdict()).word, "VERIFIED");
  await page.goto(`${address(server)}${UNDER}?model=${address(elsewhere)}/m&certificate=example/certificate.json`);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("is not where this page lies"));
  assert.deepEqual(heard, []);
});

test("a file of the page that is not the one of SHA256SUMS is refused", async () => {
  await page.route("**/checker.pyz", (route) => route.fulfill({ body: "another checker" }));
  await page.goto(`${address(server)}${UNDER}`);
  await page.waitForFunction(() => document.querySelector("#state").textContent.startsWith("This page cannot load"));
  assert.equal(await page.isDisabled("#check"), true);
});

// --- a person ----------------------------------------------------------------------------

test("by keyboard alone", async () => {
  await open();
  await page.setInputFiles("#model", MODEL);
  await page.setInputFiles("#certificate", CASCADE);
  await ready();
  const passed = [];
  for (let step = 0; step < 12; step += 1) {
    await page.keyboard.press("Tab");
    passed.push(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
    if (passed.at(-1) === "check") break;
  }
  assert.deepEqual(passed.filter((id) => ["model", "certificate", "check"].includes(id)), ["model", "certificate", "check"]);
  await page.keyboard.press("Enter");
  assert.equal((await verdict()).word, "VERIFIED");
  assert.equal(await page.getAttribute("#verdict", "aria-live"), "polite");
});

test("dropped together, each file finds its place; dropped on a place, it stays there", async () => {
  const drop = (selector, files) => page.evaluate(([where, given]) => {
    const dataTransfer = new DataTransfer();
    for (const [name, numbers] of given) dataTransfer.items.add(new File([new Uint8Array(numbers)], name));
    document.querySelector(where).dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, [selector, files.map(([name, path]) => [name, [...readFileSync(path)]])]);
  await open();
  await drop("footer", [["proof.json", CASCADE], ["net.safetensors", MODEL]]);
  await page.click("#check");
  assert.equal((await verdict()).word, "VERIFIED");
  await ready();
  await drop('[data-for="certificate"]', [["unnamed", OTHER_MODEL]]);
  assert.equal(await page.getAttribute("#verdict", "data-verdict"), null);
  await page.click("#check");
  assert.equal((await verdict()).word, "REJECTED");
});

test("nothing stands in the way of anybody: axe, light and dark, phone and desk", async () => {
  await open();
  await checked(MODEL, CASCADE);
  await page.evaluate(() => { document.querySelector("#more").open = true; });
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of [[360, 740], [1280, 900]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      const found = await page.evaluate(`${AXE}; axe.run().then((found) => found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))`);
      assert.deepEqual(found, [], `${colorScheme} ${width}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.equal(wide, false, `${width} scrolls sideways`);
    }
  }
});

test("opened as a file, the page says what it needs", async () => {
  await page.goto(pathToFileURL(join(DIST, "index.html")).href);
  assert.match(await page.textContent("#state"), /does not work when it is opened as a file.*http\.server/s);
});

// --- the folder ---------------------------------------------------------------------------

test("the same sources make the same folder, and other files of Pyodide make none", () => {
  const build = (program, out) => spawnSync(PYTHON, ["-I", "-S", program, out], { encoding: "utf8" });
  const again = join(folder, "again");
  assert.equal(build(join(WEB, "build.py"), again).status, 0);
  assert.equal(readFileSync(join(again, "SHA256SUMS"), "utf8"), readFileSync(join(DIST, "SHA256SUMS"), "utf8"));
  execFileSync("sha256sum", ["--quiet", "-c", "SHA256SUMS"], { cwd: again });
});

test("every vector, in the Python of the page", () => {
  const done = spawnSync(process.execPath, [join(WEB, "vectors.mjs")], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout.slice(-2000) + done.stderr.slice(-2000));
  assert.match(done.stdout, /[0-9]{3,} vectors, 0 wrong/);
});

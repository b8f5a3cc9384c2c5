// One check, in a worker of its own: Python in WebAssembly runs checker.pyz as the command line does.
//
// The page starts this text as a blob, so that its Content-Security-Policy holds here too, on every
// host.  All files come with the first message; nothing is fetched, so that it works without network.

const PAGE_BYTES = 65536; // of WebAssembly memory
const MIME = { wasm: "application/wasm", json: "application/json", zip: "application/zip" };
const NOWHERE = "https://runtime.invalid/"; // where Pyodide believes that it was loaded from
const PROGRESS = /checking: ([0-9,]+) of ([0-9,]+) operations/g;

// What `python3 -I -S checker.pyz ARGUMENTS` does, in this interpreter.
const COMMAND = `
import hashlib, pathlib, runpy, sys

def run(arguments):
    sys.argv = ["checker.pyz", *arguments]
    try:
        runpy.run_path("/checker.pyz", run_name="__main__")
    except SystemExit as ended:
        return 0 if ended.code is None else ended.code if isinstance(ended.code, int) else 1
    return 1

def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
`;

let files;
let mostBytes = Infinity;
let python;
let run;
let written = []; // bytes on standard output
let complaints = ""; // on standard error, without progress

/** Stand in for the network: Pyodide asks for its own files and gets them from memory. */
self.fetch = async (resource) => {
  const name = String(resource.url ?? resource).split("/").pop();
  if (!(name in files)) {
    throw new TypeError(`${name} is not among the files of this page`);
  }
  return new Response(files[name], { headers: { "Content-Type": MIME[name.split(".").pop()] } });
};

/** Refuse memory past the limit: Python then raises MemoryError, and the checker declines. */
const grow = WebAssembly.Memory.prototype.grow;
WebAssembly.Memory.prototype.grow = function (pages) {
  if (this.buffer.byteLength + pages * PAGE_BYTES > mostBytes) {
    throw new RangeError("past the limit of memory");
  }
  return grow.call(this, pages);
};

/** Standard error is a terminal to the checker, so that it tells how far it is. */
function heard(bytes) {
  const text = new TextDecoder().decode(bytes);
  const last = [...text.matchAll(PROGRESS)].pop();
  if (last === undefined) {
    complaints += text;
  } else {
    const [done, declared] = last.slice(1).map((number) => Number(number.replaceAll(",", "")));
    self.postMessage({ kind: "progress", done, declared });
  }
  return bytes.length;
}

function wrote(bytes) {
  written.push(bytes.slice());
  return bytes.length;
}

/** Run the checker's command and return its exit code and what it wrote. */
async function command(options) {
  written = [];
  complaints = "";
  const given = python.toPy(options);
  const code = run(given);
  given.destroy();
  return { code, report: await new Blob(written).text(), complaints };
}

async function start({ modules, contents }) {
  files = contents;
  const { loadPyodide } = await import(modules["pyodide.mjs"]);
  const { default: createPyodideModule } = await import(modules["pyodide.asm.mjs"]);
  python = await loadPyodide({
    indexURL: NOWHERE,
    createPyodideModule,
    lockFileContents: new TextDecoder().decode(contents["pyodide-lock.json"]),
  });
  python.setStdout({ write: wrote });
  python.setStderr({ write: heard, isatty: true });
  python.FS.writeFile("/checker.pyz", contents["checker.pyz"]);
  python.runPython(COMMAND);
  run = python.globals.get("run");
  const version = await command(["--version"]);
  const limits = python.runPython(
    "from checker.__main__ import MAX_CERTIFICATE_BYTES, MAX_MODEL_BYTES\n" +
      "[MAX_MODEL_BYTES, MAX_CERTIFICATE_BYTES]",
  );
  self.postMessage({
    kind: "ready",
    checker: version.report.trim(),
    archive: python.globals.get("sha256")("/checker.pyz"),
    python: python.runPython("sys.version.split()[0]"),
    pyodide: python.version,
    limits: limits.toJs(),
  });
}

async function check({ model, certificate, options, megabytes }) {
  mostBytes = megabytes * 2 ** 20;
  const started = performance.now();
  python.FS.writeFile("/model", new Uint8Array(model));
  python.FS.writeFile("/certificate", new Uint8Array(certificate));
  const sha256 = python.globals.get("sha256");
  const hashes = [sha256("/model"), sha256("/certificate")];
  self.postMessage({ kind: "begun" });
  const answer = await command([...options, "--", "/model", "/certificate"]);
  const seconds = (performance.now() - started) / 1000;
  self.postMessage({ kind: "ended", ...answer, hashes, seconds });
}

self.onmessage = async ({ data }) => {
  try {
    await (data.kind === "start" ? start(data) : check(data));
  } catch (error) {
    self.postMessage({ kind: "broken", why: String(error?.message ?? error) });
  }
};

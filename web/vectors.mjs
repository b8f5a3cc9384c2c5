// Runs every vector of tests/vectors through the checker in the Python of the page, without a browser.
//
//     node web/vectors.mjs
//
// It is the suite that any Python passes (tests/gates/conformance.py --here), in WebAssembly.
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const runtime = join(root, "web", "dist", "pyodide");
const { loadPyodide } = await import(pathToFileURL(join(runtime, "pyodide.mjs")));

const python = await loadPyodide({ indexURL: runtime });
python.mountNodeFS("/repository", root);
const code = python.runPython(`
import os, runpy, sys

os.chdir("/repository")
sys.argv = ["conformance.py", "--here"]
sys.path.insert(0, "/repository/tests/gates")
try:
    runpy.run_path("tests/gates/conformance.py", run_name="__main__")
    code = 0
except SystemExit as ended:
    code = ended.code or 0
code
`);
process.exit(code);

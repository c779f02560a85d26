// Runs a command module of WASI preview 1 that may read files: node wasip1.mjs MODULE [ARGUMENT...]

import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [, , path, ...args] = process.argv;
const wasi = new WASI({
  version: "preview1",
  args: [path, ...args],
  preopens: { "/": "/" },
  // The module's exit ends the process. Seen on Node 20: after a module that has grown much, its own end may crash.
  returnOnExit: false,
});
const module = await WebAssembly.compile(await readFile(path));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));

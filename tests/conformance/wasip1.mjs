// Runs a command module of WASI preview 1 that may read one folder: node wasip1.mjs MODULE FOLDER

import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [, , path, folder] = process.argv;
const wasi = new WASI({
  version: "preview1",
  args: ["conformance", "/vectors"],
  preopens: { "/vectors": folder },
});
const module = await WebAssembly.compile(await readFile(path));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));

/** Build the page: one script, one style sheet, no request to anywhere else. `--check` compares. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SOURCES = new URL("src/", import.meta.url);
const BUILT = new URL("dist/", import.meta.url);

const LICENCES =
  "BigKingXXL's page, Apache-2.0. With preact, MIT, (c) 2015-present Jason Miller, " +
  "and @preact/signals, MIT, (c) 2022-present Preact Team.";

/** Of what the page is built, so that a forgotten build is found without Node.js. */
async function fingerprint() {
  const names = (await readdir(SOURCES, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/"));
  const hash = createHash("sha256");
  for (const name of [...names, "build.mjs", "package-lock.json"].sort())
    hash.update(`${name}\0`).update(await readFile(join(HERE, name))).update("\0");
  return hash.digest("hex");
}

async function built() {
  const { outputFiles } = await build({
    entryPoints: { page: new URL("main.tsx", SOURCES).pathname },
    bundle: true,
    minify: true,
    format: "esm",
    target: ["chrome111", "firefox113", "safari16.4"],
    legalComments: "none",
    banner: { js: `/*! ${LICENCES} Sources: ${await fingerprint()} */` },
    define: { "process.env.NODE_ENV": '"production"' },
    outdir: BUILT.pathname,
    write: false,
  });
  const style = await build({
    entryPoints: [new URL("page.css", SOURCES).pathname],
    minify: true,
    outdir: BUILT.pathname,
    write: false,
  });
  const files = new Map();
  files.set("page.js", outputFiles[0].contents);
  files.set("page.css", style.outputFiles[0].contents);
  for (const name of ["index.html", "icon.svg"]) files.set(name, await readFile(new URL(name, SOURCES)));
  return files;
}

const files = await built();
if (process.argv.includes("--check")) {
  const there = await readdir(BUILT).catch(() => []);
  const other = [];
  for (const [name, contents] of files) {
    const old = await readFile(new URL(name, BUILT)).catch(() => null);
    if (old === null || Buffer.compare(old, Buffer.from(contents)) !== 0) other.push(name);
  }
  other.push(...there.filter((name) => !files.has(name)));
  if (other.length) {
    console.error(`dist/ is not what the sources give: ${other.join(", ")}. Run \`make page\`.`);
    process.exit(1);
  }
} else {
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT, { recursive: true });
  for (const [name, contents] of files) await writeFile(new URL(name, BUILT), contents);
  for (const [name, contents] of files) console.log(`${name} ${(contents.length / 1024).toFixed(1)} kB`);
}

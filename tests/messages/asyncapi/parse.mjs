// Parses the AsyncAPI document that the argument names, by @asyncapi/parser; exit status 1 and the errors when invalid.
// Run in a folder that holds the package.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const { Parser } = createRequire(join(process.cwd(), "package.json"))("@asyncapi/parser");
const [source] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(source, "utf8"), { source });
const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 0);
for (const { code, path, message } of errors) console.log(code, path.join("/"), message);
if (document) console.log(`AsyncAPI ${document.version()}, ${document.allMessages().length} messages`);
process.exit(document && errors.length === 0 ? 0 : 1);

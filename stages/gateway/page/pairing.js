// Which portrait goes with which speech: by a CSV file that names them, by equal names, or one portrait for all.

import { isOf } from "./drop_zone.js";

const TOP = ["engine", "lane", "department", "owner", "consent", "deadline_s"];
const stem = (name) => name.replace(/\.[^.]+$/, "").toLowerCase();
const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });

/** The rows of a CSV text as objects by the names of its first line; fields may be quoted. */
export function parseCsv(text) {
  const rows = [];
  let row = [];
  let value = "";
  let quoted = false;
  const body = text.replace(/^\uFEFF/, "");
  const separator = (body.split(/\r?\n/, 1)[0].match(/[,;\t]/) ?? [","])[0];
  const endField = () => {
    row.push(value.trim());
    value = "";
  };
  const endRow = () => {
    endField();
    if (row.some(Boolean)) rows.push(row);
    row = [];
  };
  for (let at = 0; at < body.length; at += 1) {
    const c = body[at];
    if (quoted) {
      if (c !== '"') value += c;
      else if (body[at + 1] === '"') {
        value += '"';
        at += 1;
      } else quoted = false;
    } else if (c === '"' && value.trim() === "") {
      value = "";
      quoted = true;
    } else if (c === separator) endField();
    else if (c === "\n") endRow();
    else if (c !== "\r") value += c;
  }
  endRow();
  const names = (rows.shift() ?? []).map((name) => name.toLowerCase());
  return rows.map((cells) => Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ""])));
}

function valueOf(text) {
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** The fields of a request that the columns of a row set beside the two files. */
function fieldsOf(row) {
  const fields = {};
  for (const [name, text] of Object.entries(row)) {
    if (text === "" || ["portrait", "speech"].includes(name)) continue;
    if (name === "title") (fields.labels ??= {}).title = text.slice(0, 64);
    else if (TOP.includes(name)) fields[name] = name === "deadline_s" ? valueOf(text) : text;
    else {
      const [section, member] = name.includes(".") ? name.split(".", 2) : ["params", name];
      (fields[section] ??= {})[member] = section === "labels" ? text : valueOf(text);
    }
  }
  return fields;
}

/**
 * Pairs of the files: `{pairs: [{portrait, speech, fields, title}], alone: [File], missing: [name]}`. `csv` is the
 * text of a CSV file, or null.
 */
export function pairUp(files, csv = null) {
  const portraits = files.filter((file) => isOf(file, "portrait")).sort(byName);
  const speeches = files.filter((file) => isOf(file, "speech") && !isOf(file, "portrait")).sort(byName);
  if (csv !== null) {
    const find = (list, name) =>
      list.find((file) => file.name.toLowerCase() === name.toLowerCase()) ??
      list.find((file) => stem(file.name) === stem(name));
    const missing = [];
    const used = new Set();
    const pairs = [];
    for (const row of parseCsv(csv)) {
      const found = [
        ["portrait", portraits],
        ["speech", speeches],
      ].map(([role, list]) => {
        const name = (row[role] ?? "").split(/[\\/]/).pop();
        const file = name && find(list, name);
        if (!file) missing.push(name || role);
        return file;
      });
      if (found[0] && found[1]) {
        found.forEach((file) => used.add(file));
        pairs.push({
          portrait: found[0],
          speech: found[1],
          fields: fieldsOf(row),
          title: row.title || stem(found[1].name),
        });
      }
    }
    return {
      pairs,
      alone: [...portraits, ...speeches].filter((file) => !used.has(file)),
      missing: [...new Set(missing)],
    };
  }
  const pair = (portrait, speech) => ({ portrait, speech, fields: {}, title: stem(speech.name) });
  if (portraits.length === 1)
    return {
      pairs: speeches.map((speech) => pair(portraits[0], speech)),
      alone: speeches.length ? [] : portraits,
      missing: [],
    };
  const pairs = speeches.flatMap((speech) => {
    const portrait = portraits.find((file) => stem(file.name) === stem(speech.name));
    return portrait ? [pair(portrait, speech)] : [];
  });
  const used = new Set(pairs.flatMap((one) => [one.portrait, one.speech]));
  return { pairs, alone: [...portraits, ...speeches].filter((file) => !used.has(file)), missing: [] };
}

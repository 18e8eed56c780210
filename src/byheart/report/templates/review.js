
// The review: verdicts are kept in the browser, in the order in which they were given.
const review = document.getElementById("review");
if (review) {
  const by = (id) => document.getElementById(id);
  const reviewer = by("reviewer");
  const examples = [...by("review-examples").content.querySelectorAll("article")];
  const others = by("review-others").content;
  const classes = JSON.parse(by("review-classes").textContent);
  const place = `byheart reviews ${review.dataset.key || document.title}`;
  const WORDS = ["wrong", "right", "unsure"];
  const COLUMNS = ["id", "verdict", "label", "data"];
  let given = []; // [id, verdict, right class as the file has it], the latest last
  let at = 0;
  let keeps = true;

  const verdictOf = (id) => given.find((row) => row[0] === id);
  const shownIds = new Set(examples.map((one) => one.dataset.id));
  const sizeOf = (part) => examples.filter((one) => one.dataset.part === part).length;
  const sizes = { sample: sizeOf("sample"), list: sizeOf("list") };

  function load() {
    let kept = "[]";
    try {
      kept = localStorage.getItem(place) ?? kept;
    } catch {
      keeps = false;
    }
    given = JSON.parse(kept);
  }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify(given));
    } catch {
      keeps = false;
    }
    tell();
  }

  function count(word) {
    return given.filter((row) => row[1] === word).length;
  }

  function tell(message = "") {
    const here = given.filter((row) => shownIds.has(row[0])).length;
    const counts = WORDS.map((word) => `${count(word)} ${word}`).join(", ");
    const earlier = given.length - here;
    const total = `${here} of ${examples.length} reviewed${earlier ? `, and ${earlier} others` : ""}: ${counts}.`;
    const where = keeps
      ? "This browser keeps your verdicts."
      : "This browser does not keep your verdicts: download them before you close the page.";
    by("review-kept").textContent = [message, given.length ? total : "", where].filter(Boolean).join(" ");
    by("reviewer-count").textContent = `${position()} · ${counts}`;
    by("reviewer-progress").value = here;
    by("review-open").textContent = given.length ? "Continue the review" : "Start the review";
    by("review-clear").hidden = !given.length;
    for (const button of document.querySelectorAll(".review-save")) button.hidden = !given.length;
  }

  function position() {
    const { part } = examples[at].dataset;
    return `${part} ${at + 1 - (part === "list" ? sizes.sample : 0)} of ${sizes[part]}`;
  }

  function fill(strip, ids, name) {
    const list = strip.querySelector("ul");
    list.replaceChildren(
      ...ids.map((id) => others.querySelector(`[data-id="${id}"]`).cloneNode(true)),
    );
    strip.hidden = !ids.length;
    const title = strip.querySelector("b");
    if (title) title.textContent = name;
  }

  function show() {
    const example = examples[at].cloneNode(true);
    const { id, given: label, suggested, near } = example.dataset;
    const row = verdictOf(id);
    const right = row && classOf(row[2]);
    if (row) {
      const said = document.createElement("p");
      said.className = "said";
      said.textContent = `You said: ${row[1]}${right ? `, it is ${right.name}` : ""}`;
      example.querySelector(".words").append(said);
    }
    by("reviewer-example").replaceChildren(example);
    const other = suggested >= 0 ? classes[suggested] : null;
    const suggestion = reviewer.querySelector("[data-verdict=suggested]");
    suggestion.hidden = !other || suggested === label;
    by("reviewer-suggested").textContent = other?.name ?? "";
    fill(by("reviewer-near"), near ? near.split(" ") : []);
    fill(by("reviewer-label"), classes[label]?.typical ?? [], classes[label]?.name);
    fill(by("reviewer-other"), suggestion.hidden ? [] : other.typical, other?.name);
    for (const button of reviewer.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(row?.[1] === button.dataset.verdict && !right));
    }
    for (const button of reviewer.querySelectorAll("[data-class]")) {
      button.setAttribute("aria-pressed", String(right === classes[button.dataset.class]));
    }
    if (by("reviewer-class")) by("reviewer-class").value = "";
    by("reviewer-undo").disabled = !given.length;
    by("reviewer-back").disabled = at === 0;
    by("reviewer-on").disabled = at === examples.length - 1;
    const named = classes[label] ? `: labelled ${classes[label].name}` : "";
    by("reviewer-said").textContent = `${position()}${named}${other ? `, suggested ${other.name}` : ""}`;
    reviewer.scrollTop = 0;
    tell();
  }

  // As byheart reads the column: a name, or else a number.
  function classOf(written) {
    return classes.find((one) => one.written === written) ?? (/^\d+$/.test(written) ? classes[written] : undefined);
  }

  function say(verdict, written = "") {
    const id = examples[at].dataset.id;
    given = [...given.filter((row) => row[0] !== id), [id, verdict, written]];
    keep();
    const open = (one) => !verdictOf(one.dataset.id);
    const next = examples.findIndex((one, i) => i > at && open(one));
    const first = next < 0 ? examples.findIndex(open) : next;
    if (first >= 0) at = first;
    show();
    if (first < 0) by("reviewer-said").textContent = "You reviewed all examples.";
    reviewer.classList.toggle("done", first < 0);
  }

  function choose(number) {
    if (String(number) === examples[at].dataset.given) say("right");
    else say("wrong", classes[number].written);
  }

  function press(verdict) {
    const { suggested, given: label } = examples[at].dataset;
    if (verdict !== "suggested") say(verdict);
    else if (suggested >= 0 && suggested !== label) choose(Number(suggested));
  }

  function undo() {
    const row = given.at(-1);
    if (!row) return;
    given = given.slice(0, -1);
    keep();
    at = Math.max(0, examples.findIndex((one) => one.dataset.id === row[0]));
    show();
  }

  function move(by) {
    at = Math.min(examples.length - 1, Math.max(0, at + by));
    show();
  }

  function open() {
    at = Math.max(0, examples.findIndex((one) => !verdictOf(one.dataset.id)));
    reviewer.showModal();
    show();
  }

  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function save() {
    const rows = given.map(([id, verdict, label]) => [id, verdict, label, review.dataset.key]);
    const text = [COLUMNS, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
    const link = document.createElement("a");
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
    link.download = "reviews.csv";
    link.click();
    for (const next of document.querySelectorAll(".review-next")) next.hidden = false;
  }

  function cellsOf(text) {
    const rows = [[""]];
    for (const [, quote, plain, end] of text.matchAll(/"((?:[^"]|"")*)"|([^",\r\n]+)|(,|\r?\n)/g)) {
      if (end === ",") rows.at(-1).push("");
      else if (end) rows.push([""]);
      else rows.at(-1)[rows.at(-1).length - 1] += quote?.replaceAll('""', '"') ?? plain;
    }
    return rows.filter((row) => row.some(Boolean));
  }

  async function read(file) {
    const [names = [], ...rows] = cellsOf((await file.text()).replace(/^\ufeff/, ""));
    const [id, verdict, label, data] = COLUMNS.map((name) => names.indexOf(name));
    if (id < 0 || verdict < 0) return `${file.name} has no columns id and verdict.`;
    const found = rows
      .filter((row) => row[verdict]?.trim())
      .map((row) => [row[id].trim(), row[verdict].trim().toLowerCase(), row[label]?.trim() ?? ""]);
    const odd = found.find((row) => !/^\d+$/.test(row[0]) || !WORDS.includes(row[1]));
    if (odd) return `${file.name} has the verdict ${odd[1]} on ${odd[0]}: it must be wrong, right or unsure.`;
    const other = rows.find((row) => review.dataset.key && row[data] && row[data] !== review.dataset.key);
    if (other) return `${file.name} reviews another data set.`;
    const ids = new Set(found.map((row) => row[0]));
    given = [...given.filter((row) => !ids.has(row[0])), ...found];
    keep();
    return `Imported ${found.length} verdicts from ${file.name}.`;
  }

  // A letter is typed into a field, and a control key is the browser's.
  function typed(event) {
    return event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input");
  }

  const KEYS = {
    r: () => press("right"),
    w: () => press("wrong"),
    u: () => press("unsure"),
    s: () => press("suggested"),
    z: undo,
    backspace: undo,
    arrowleft: () => move(-1),
    arrowright: () => move(1),
    c: () => by("reviewer-class")?.focus(),
  };
  for (const [number, { key }] of classes.entries()) if (key) KEYS[key] = () => choose(number);

  reviewer.addEventListener("keydown", (event) => {
    const act = KEYS[event.key.toLowerCase()];
    if (!act || typed(event)) return;
    event.preventDefault();
    act();
  });
  reviewer.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-verdict], [data-class]");
    if (button?.dataset.verdict) press(button.dataset.verdict);
    else if (button) choose(Number(button.dataset.class));
  });
  by("reviewer-class")?.addEventListener("change", ({ target }) => {
    if (target.value) choose(Number(target.value));
    target.blur();
  });
  by("reviewer-back").addEventListener("click", () => move(-1));
  by("reviewer-on").addEventListener("click", () => move(1));
  by("reviewer-undo").addEventListener("click", undo);
  by("reviewer-close").addEventListener("click", () => reviewer.close());
  by("review-open").addEventListener("click", open);
  for (const button of document.querySelectorAll(".review-save")) button.addEventListener("click", save);
  by("review-file").addEventListener("change", async ({ target }) => {
    const message = await read(target.files[0]).catch((error) => `Cannot read the file: ${error}`);
    tell(message);
    target.value = "";
  });
  by("review-clear").addEventListener("click", () => {
    if (!confirm(`Delete ${given.length} verdicts from this browser?`)) return;
    given = [];
    keep();
  });
  // Another window of the same page has changed the verdicts.
  addEventListener("storage", (event) => {
    if (event.key !== place) return;
    load();
    if (reviewer.open) show();
    else tell();
  });

  by("review-controls").hidden = false;
  load();
  tell();
}

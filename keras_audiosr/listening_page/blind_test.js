// The blind test's part of the page: its buttons, its log and its downloads.
"use strict";

class BlindTest {
  // shown(): called when the visible state of the player has changed.
  constructor(data, player, shown) {
    Object.assign(this, { data, player, shown, run: null, heard: null, runs: [] });
    this.names = data.signals.map(({ name }) => name);
    fillSelect("abx-a", this.names, this.names.length - 2);
    fillSelect("abx-b", this.names, this.names.length - 1);
    $("abx-setup").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    for (const button of document.querySelectorAll("[data-abx]"))
      button.addEventListener("click", () => this.listen(button.dataset.abx));
    for (const button of document.querySelectorAll("[data-answer]"))
      button.addEventListener("click", () => this.answer(button.dataset.answer));
    for (const button of document.querySelectorAll("[data-export]"))
      button.addEventListener("click", () => this.download(button.dataset.export));
    $("abx-stop").addEventListener("click", () => {
      this.run.stop();
      this.end();
    });
    for (const id of ["abx-a", "abx-b"]) $(id).addEventListener("change", () => this.checkChoice());
  }

  get running() {
    return this.run !== null;
  }

  checkChoice() {
    const same = $("abx-a").selectedIndex === $("abx-b").selectedIndex;
    $("abx-b").setCustomValidity(same ? "Choose two different signals." : "");
  }

  start() {
    this.run = new AbxRun($("abx-a").selectedIndex, $("abx-b").selectedIndex, Number($("abx-trials").value));
    $("abx-bar").max = this.run.trials;
    $("abx-setup").hidden = true;
    $("abx-run").hidden = false;
    this.next();
    $("abx-progress").focus({ preventScroll: true });
  }

  listen(name) {
    if (!this.run) return;
    this.heard = name;
    this.player.select(this.run.signal(name));
    this.press();
    this.shown();
    this.player.play().then(this.shown);
  }

  press() {
    for (const button of document.querySelectorAll("[data-abx]"))
      button.setAttribute("aria-pressed", button.dataset.abx === this.heard);
  }

  progress() {
    const { log, trials, a, b } = this.run;
    $("abx-progress").textContent = `Trial ${log.length + 1} of ${trials}. A is ${this.names[a]}, B is ${this.names[b]}.`;
    $("abx-bar").value = log.length;
  }

  answer(answer) {
    if (!this.run) return;
    this.run.answer(answer);
    if (!this.run.running) return this.end();
    this.next();
  }

  // Each trial begins with A, because a change from the old X to the new one could be heard.
  next() {
    this.listen("a");
    this.run.switches = 0;
    this.progress();
  }

  end() {
    this.runs.push(abxResult(this.run, this.names));
    this.run = this.heard = null;
    $("abx-setup").hidden = false;
    $("abx-run").hidden = true;
    $("abx-results").hidden = false;
    this.press();
    this.report();
    this.shown();
  }

  report() {
    const { right, answered, trials, p_value: p, a, b } = this.runs.at(-1);
    $("abx-verdict").textContent =
      p === null
        ? `The test was stopped after ${answered} of ${trials} trials, so there is no result.`
        : `${right} of ${trials} answers are right (p = ${p.toPrecision(2)}). Guessing alone gives at least as many in ` +
          `${percentage(p)} of all tests. ` +
          (p < 0.05 ? `You hear a difference between ${a} and ${b}.` : `This does not show that ${a} and ${b} sound different to you.`);
    const rows = this.runs.flatMap((run, number) =>
      run.log.map(({ x, answer, seconds, switches }, trial) =>
        [number + 1, trial + 1, `${x.toUpperCase()} (${run[x]})`, answer.toUpperCase(), x === answer ? "right" : "wrong", seconds.toFixed(1), switches],
      ),
    );
    $("abx-log").tBodies[0].replaceChildren(
      ...rows.map((cells) => {
        const row = document.createElement("tr");
        row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
        row.cells[4].className = row.cells[4].textContent === "right" ? "better" : "worse";
        return row;
      }),
    );
    $("abx-verdict").focus({ preventScroll: true });
  }

  download(kind) {
    const { title, start, sampleRate, signals, version } = this.data;
    const text =
      kind === "csv"
        ? abxCsv(this.runs)
        : JSON.stringify({ title, start, duration: this.player.duration, sample_rate: sampleRate, signals, keras_audiosr: version, runs: this.runs }, null, 1);
    saveFile(`abx.${kind}`, text, kind === "csv" ? "text/csv" : "application/json");
  }
}

function percentage(p) {
  const percent = 100 * p;
  return percent < 0.1 ? "less than 0.1 %" : `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

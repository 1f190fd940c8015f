// The rating test's part of the page: its buttons and sliders, its scores and its download.
"use strict";

class RatingTest {
  // shown(): called when the visible state of the player has changed.
  constructor(data, player, shown) {
    Object.assign(this, { data, player, shown, run: null, runs: [], sounds: null, preparing: false });
    $("rating-start").addEventListener("click", () => this.start());
    $("rating-reference").addEventListener("click", () => this.listen(null));
    $("rating-finish").addEventListener("click", () => this.finish());
    $("rating-stop").addEventListener("click", () => this.end());
    $("rating-save").addEventListener("click", () => saveFile("mushra.csv", mushraCsv(this.runs, { ...data, duration: player.duration }), "text/csv"));
  }

  get running() {
    return this.run !== null || this.preparing;
  }

  // Collects the sounds to rate: the signals of the page and the anchors, which are made before the first run.
  async prepare() {
    const { player, data } = this;
    const reference = data.signals.findIndex(({ name }) => name === "lossless");
    const sounds = data.signals.map(({ name, file }, index) => ({ name: index === reference ? "hidden reference" : name, file, index }));
    for (const passBand of ANCHORS) {
      const index = player.add(await anchor(player.buffers[reference], passBand), player.gains[reference]);
      sounds.push({ name: `anchor ${passBand / 1000} kHz`, file: data.signals[reference].file, index });
    }
    Object.assign(this, { sounds, reference });
  }

  async start() {
    this.preparing = true;
    this.shown(); // disables the start of another test in the meantime
    if (!this.sounds) await this.prepare();
    this.preparing = false;
    this.run = new MushraRun(this.sounds);
    $("rating-rows").replaceChildren(...this.sounds.map((_, number) => this.row(number)));
    $("rating-setup").hidden = true;
    $("rating-run").hidden = false;
    this.progress();
    this.listen(null);
    $("rating-progress").focus({ preventScroll: true });
  }

  row(number) {
    const row = Object.assign(document.createElement("div"), { className: "rating-row" });
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: number + 1 });
    button.dataset.sound = number;
    button.setAttribute("aria-label", `Listen to sound ${number + 1}`);
    button.addEventListener("click", () => this.listen(number));
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, step: 1, value: 50 });
    slider.className = "unrated";
    slider.setAttribute("aria-label", `Score of sound ${number + 1}`);
    const shown = Object.assign(document.createElement("output"), { textContent: "–" });
    slider.addEventListener("input", () => {
      slider.className = "";
      shown.textContent = slider.value;
      this.run.rate(number, Number(slider.value));
      this.progress();
    });
    row.append(button, slider, shown);
    return row;
  }

  // number: number of a sound, or null for the reference.
  listen(number) {
    this.player.select(number === null ? this.reference : this.run.listen(number));
    for (const button of document.querySelectorAll("[data-sound]"))
      button.setAttribute("aria-pressed", number !== null && Number(button.dataset.sound) === number);
    $("rating-reference").setAttribute("aria-pressed", number === null);
    this.progress();
    this.shown();
    this.player.play().then(this.shown);
  }

  progress() {
    const { missing } = this.run;
    const left = missing === 1 ? "One sound is" : `${missing} sounds are`;
    $("rating-progress").textContent = missing ? `${left} still to be heard and rated.` : "Everything is rated.";
    $("rating-finish").disabled = missing > 0;
  }

  finish() {
    this.runs.push(this.run.result);
    this.end();
    const hidden = this.runs.at(-1).find(({ name }) => name === "hidden reference").score;
    $("rating-verdict").textContent =
      hidden >= TRUSTED
        ? `The hidden reference received ${hidden} of 100: you recognized it.`
        : `The hidden reference received ${hidden} of 100. BS.1534 leaves out listeners who often rate it below ${TRUSTED}.`;
    const rows = this.runs.flatMap((run, index) => run.map(({ name, score }) => [index + 1, name, score]));
    $("rating-scores").tBodies[0].replaceChildren(
      ...rows.map((cells) => {
        const row = document.createElement("tr");
        row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
        return row;
      }),
    );
    $("rating-results").hidden = false;
    $("rating-verdict").focus({ preventScroll: true });
  }

  end() {
    this.run = null;
    this.player.select(this.reference);
    $("rating-setup").hidden = false;
    $("rating-run").hidden = true;
    this.shown();
  }
}

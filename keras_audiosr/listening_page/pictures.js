// The pictures of the page: spectrograms that zoom together, their difference, and average spectra.
"use strict";

const NARROWEST = 0.05; // s, the shortest span that can be shown

class Pictures {
  constructor(data, player) {
    Object.assign(this, { data, player, levels: [], job: 0 });
    this.view = { from: 0, to: player.duration, low: 0, high: data.sampleRate / 2 };
    this.range = [FLOOR, 0];
    this.panels = data.signals.map(({ name }) => {
      const panel = $("difference").cloneNode(true);
      panel.id = "";
      panel.dataset.name = name;
      panel.querySelector("figcaption").innerHTML = `<b>${name}</b>`;
      panel.querySelector("canvas").setAttribute("aria-label", `Spectrogram of ${name}`);
      $("spectrograms").append(panel);
      return panel;
    });
    this.overlays = [...document.querySelectorAll(".overlay")];
    for (const overlay of this.overlays) this.listen(overlay);
    const names = data.signals.map(({ name }) => name);
    for (const [id, chosen] of [["difference-of", "restored"], ["difference-from", "lossy"]]) {
      fillSelect(id, names, names.findIndex((name) => name.startsWith(chosen)));
      $(id).addEventListener("change", () => this.draw());
    }
    const bands = [[0, Infinity], [0, 5000], [4000, 12000], [10000, Infinity]];
    this.bands = bands.map(([low, high]) => [low, Math.min(high, data.sampleRate / 2)]).filter(([low, high]) => high > low);
    fillSelect("band", this.bands.map(([low, high]) => `${low / 1000} to ${+(high / 1000).toFixed(1)} kHz`), 0);
    $("band").addEventListener("change", () => {
      [this.view.low, this.view.high] = this.bands[$("band").selectedIndex];
      this.draw();
    });
    $("pan").addEventListener("input", () => {
      const width = this.view.to - this.view.from;
      this.show($("pan").value * (player.duration - width), width);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe($("spectrograms"));
  }

  // Computes the average spectra first, because the colour scale depends on the first one's peak.
  async begin() {
    const averages = [];
    for (const buffer of this.player.buffers.slice(0, this.panels.length)) averages.push(await averageSpectrum(buffer));
    this.averages = averages; // set only when complete, because draw() may be called in between
    const peak = Math.max(...this.averages[0]);
    const top = Math.min(0, Math.max(FLOOR + 40, 10 * Math.ceil((peak + 5) / 10)));
    this.range = [Math.max(FLOOR, top - 80), top];
    for (const { name } of this.data.signals) {
      const entry = document.createElement("span");
      Object.assign(entry.dataset, { name });
      entry.textContent = name;
      $("legend").append(entry);
    }
    await this.draw();
  }

  // Draws everything for the current view. A later call cancels an earlier one.
  async draw() {
    if (!this.averages) return;
    const job = ++this.job;
    const { view, range, data } = this;
    const { sampleRate, start } = data;
    const span = [view.from, view.to];
    const columns = columnsOf(this.panels[0].querySelector("canvas"));
    const key = [...span, columns].join();
    for (const [index, panel] of this.panels.entries()) {
      if (this.levels[index]?.key !== key) {
        const values = await levels(this.player.buffers[index], span, columns, () => job !== this.job);
        if (!values) return;
        this.levels[index] = { key, values };
      }
      drawSpectrogram(panel.querySelector("canvas"), this.levels[index].values, view, range, magma, sampleRate, start);
    }
    const [of, from] = ["difference-of", "difference-from"].map((id) => this.levels[$(id).selectedIndex].values);
    const difference = of.map((value, i) => value - from[i]);
    const scale = [-DIFFERENCE, DIFFERENCE];
    drawSpectrogram($("difference").querySelector("canvas"), difference, view, scale, palette(differenceStops()), sampleRate, start);
    drawScale("level-scale", range, MAGMA.map((colour) => "#" + colour), "dB of full scale");
    drawScale("difference-scale", scale, differenceStops(), "dB (orange: louder)");
    this.drawAverages();
    this.mark();
  }

  drawAverages() {
    const spectra = this.data.signals.map(({ name }, index) => ({
      values: this.averages[index],
      colour: css("--" + name.replace(" ", "-")),
      wide: index === this.heard,
    }));
    const top = 10 * Math.ceil(Math.max(...this.averages.map((values) => Math.max(...values))) / 10);
    drawSpectra($("spectra"), spectra, { low: 0, high: this.data.sampleRate / 2 }, [FLOOR, top], this.data.sampleRate);
  }

  // Marks the signal that is heard. index: null if it must stay hidden.
  point(index) {
    this.heard = index;
    this.panels.forEach((panel, each) => panel.classList.toggle("heard", each === index));
    if (this.averages) this.drawAverages();
  }

  // Moves the playhead and the loop on every picture.
  mark() {
    const { from, to } = this.view;
    const percent = (time) => `${(100 * (time - from)) / (to - from)}%`;
    const { position } = this.player;
    const loop = this.drawn || this.player.loop;
    for (const overlay of this.overlays) {
      overlay.querySelector(".playhead").style.left = percent(position);
      const region = overlay.querySelector(".region").style;
      region.display = loop ? "block" : "none";
      if (loop) Object.assign(region, { left: percent(loop[0]), width: `${(100 * (loop[1] - loop[0])) / (to - from)}%` });
    }
  }

  show(from, width) {
    const { duration } = this.player;
    width = Math.min(duration, Math.max(NARROWEST, width));
    from = Math.min(Math.max(0, from), duration - width);
    Object.assign(this.view, { from, to: from + width });
    const rest = duration - width;
    $("pan").disabled = rest < 1e-6;
    $("pan").value = rest > 0 ? from / rest : 0;
    this.mark();
    this.draw();
  }

  // Zooms in if factor is below 1. about: the time in seconds that stays in place, by default that of the playhead if it
  // is visible, and otherwise the middle.
  zoom(factor, about) {
    const { from, to } = this.view;
    const { position } = this.player;
    about ??= position >= from && position <= to ? position : (from + to) / 2;
    this.show(about - (about - from) * factor, (to - from) * factor);
  }

  // A click moves the playhead, and removes the loop if it is outside of it. Dragging makes a loop. Two fingers, or the
  // wheel with Ctrl, zoom.
  listen(overlay) {
    const fingers = new Map();
    const timeAt = (x) => {
      const box = overlay.getBoundingClientRect();
      return this.view.from + ((x - box.left) / box.width) * (this.view.to - this.view.from);
    };
    const spread = () => {
      const [one, two] = [...fingers.values()];
      return { size: Math.max(20, Math.abs(one.x - two.x)), centre: (one.x + two.x) / 2 };
    };
    let pinched = false;
    overlay.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      overlay.setPointerCapture(event.pointerId);
      pinched = fingers.size > 0;
      fingers.set(event.pointerId, { x: event.clientX, began: event.clientX });
    });
    overlay.addEventListener("pointermove", (event) => {
      this.read(overlay, event, timeAt(event.clientX));
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const before = fingers.size === 2 && spread();
      finger.x = event.clientX;
      if (before) {
        this.zoom(before.size / spread().size, timeAt(spread().centre));
      } else if (!pinched && Math.abs(finger.x - finger.began) > 6) {
        this.drawn = [timeAt(finger.began), timeAt(finger.x)].sort((a, b) => a - b);
        this.mark();
      }
    });
    const end = (event) => {
      const finger = fingers.get(event.pointerId);
      if (!fingers.delete(event.pointerId)) return;
      const loop = this.drawn;
      this.drawn = null;
      if (event.type === "pointerup" && !pinched) {
        const time = timeAt(finger.x);
        const [from, to] = this.player.bounds;
        if (loop) this.player.setLoop(loop);
        else if (time < from || time >= to) this.player.setLoop(null);
        if (!loop) this.player.seek(time);
      }
      this.mark();
    };
    overlay.addEventListener("pointerup", end);
    overlay.addEventListener("pointercancel", end);
    overlay.addEventListener(
      "wheel",
      (event) => {
        const along = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
        if (!event.ctrlKey && Math.abs(along) <= Math.abs(event.deltaY) && !event.shiftKey) return; // the page scrolls
        event.preventDefault();
        const width = this.view.to - this.view.from;
        if (event.ctrlKey) this.zoom(2 ** (event.deltaY / 200), timeAt(event.clientX));
        else this.show(this.view.from + (along / overlay.clientWidth) * width, width);
      },
      { passive: false },
    );
  }

  // Shows the time, the frequency and the levels under the pointer.
  read(overlay, event, time) {
    const box = overlay.getBoundingClientRect();
    const { from, to, low, high } = this.view;
    const frequency = high - ((event.clientY - box.top) / box.height) * (high - low);
    const bin = Math.round((frequency / this.data.sampleRate) * FRAME_LENGTH);
    const shown = this.data.signals.map(({ name }, index) => {
      const values = this.levels[index]?.values;
      if (!values) return "";
      const column = Math.floor(((time - from) / (to - from)) * (values.length / BINS));
      return ` · ${name} ${Math.round(values[column * BINS + bin])} dB`;
    });
    if (bin < 0 || bin >= BINS || time < from || time >= to) return;
    $("readout").textContent = `${(time + this.data.start).toFixed(2)} s · ${(frequency / 1000).toFixed(2)} kHz${shown.join("")}`;
  }
}

function drawScale(id, [from, to], stops, unit) {
  const number = (value) => `<span class="number">${value > 0 ? "+" : ""}${String(value).replace("-", "−")}</span>`;
  $(id).innerHTML = `${number(from)}<i></i>${number(to)}<span>${unit}</span>`;
  $(id).querySelector("i").style.background = `linear-gradient(90deg, ${stops.join()})`;
}

// Draws spectrograms of the music before and after, with a common scale. A click in one seeks to this position.
"use strict";

class Spectrograms {
  // panels: a figure for each of the player's buffers; sought(): function that is called after a click.
  constructor(panels, player, sought) {
    Object.assign(this, { panels, player, job: 0, levels: [] });
    this.overlays = panels.map((panel) => panel.querySelector(".overlay"));
    for (const overlay of this.overlays)
      overlay.onclick = (event) => {
        const box = overlay.getBoundingClientRect();
        player.seek(((event.clientX - box.left) / box.width) * player.duration);
        sought();
      };
  }

  // A later call cancels an earlier one.
  async draw() {
    const job = ++this.job;
    const { player, panels } = this;
    const canvases = panels.map((panel) => panel.querySelector("canvas"));
    const columns = columnsOf(canvases[0]);
    if (this.columns !== columns) {
      const found = [];
      for (const buffer of player.buffers) {
        const values = await levels(buffer, [0, player.duration], columns, () => job !== this.job);
        if (!values) return;
        found.push(values);
      }
      Object.assign(this, { levels: found, columns });
    }
    const peak = this.levels[0].reduce((most, level) => Math.max(most, level), FLOOR);
    const top = Math.min(0, Math.max(FLOOR + 40, 10 * Math.ceil(peak / 10)));
    const range = [top - 90, top];
    const view = { from: 0, to: player.duration, low: 0, high: player.sampleRate / 2 };
    canvases.forEach((canvas, each) => drawSpectrogram(canvas, this.levels[each], view, range, magma, player.sampleRate, 0));
    const scale = document.getElementById("level-scale");
    const bar = document.createElement("i");
    bar.style.background = `linear-gradient(90deg, ${MAGMA.map((colour) => "#" + colour).join()})`;
    // The class keeps the number on one line. Its sign is a true minus.
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = `−${-range[0]}`;
    scale.replaceChildren(number, bar, `${top} dB of full scale`.replace("-", "−"));
    this.drawn = true;
    this.mark();
  }

  mark() {
    for (const overlay of this.overlays)
      overlay.querySelector(".playhead").style.left = `${(100 * this.player.position) / this.player.duration}%`;
  }

  point(index) {
    this.panels.forEach((panel, each) => panel.classList.toggle("heard", each === index));
  }
}

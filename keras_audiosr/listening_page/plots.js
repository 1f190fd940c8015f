// Draws spectrograms, their difference and average spectra with axes, at the resolution of the screen.
"use strict";

const MARGIN = { left: 38, right: 10, top: 8, bottom: 22 }; // CSS pixels; page.css has the same margins
const DIFFERENCE = 30; // dB at the ends of the difference scale
const MOST_COLUMNS = 1600;

const MAGMA = "000004 1c1044 4f127b 812581 b5367a e55064 fb8761 fec287 fcfdbf".split(" ");

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hex = (text) => [0, 2, 4].map((i) => parseInt(text.replace("#", "").slice(i, i + 2), 16));

// 256 colours interpolated between evenly spaced stops, each as the 32 bits of a pixel.
function palette(stops) {
  const colours = stops.map(hex);
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    const [r, g, b] = colours[low].map((c, j) => Math.round(c + (at - low) * (colours[low + 1][j] - c)));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}

const magma = palette(MAGMA);
const differenceStops = () => [css("--less"), css("--none"), css("--more")];

// About `count` round numbers in the span, for the ticks of an axis.
function ticks(from, to, count) {
  const raw = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const first = Math.ceil(from / step - 1e-6);
  const found = [];
  for (let i = first; i * step <= to + step * 1e-6; i++) found.push(i * step);
  return { step, found, digits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-6)) };
}

// Sets the canvas to its size on the screen. Returns its context, in CSS pixels, and the box of the plot.
function fit(canvas) {
  const { clientWidth, clientHeight } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(clientWidth * ratio);
  canvas.height = Math.round(clientHeight * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const width = clientWidth - MARGIN.left - MARGIN.right;
  const height = clientHeight - MARGIN.top - MARGIN.bottom;
  return { context, ratio, left: MARGIN.left, top: MARGIN.top, width, height };
}

const columnsOf = (canvas) =>
  Math.min(MOST_COLUMNS, Math.max(1, Math.round((canvas.clientWidth - MARGIN.left - MARGIN.right) * (window.devicePixelRatio || 1))));

// x and y: {from, to, label, count, scale, offset}. The labels show (value + offset) * scale.
function axes({ context, left, top, width, height }, x, y, grid = false) {
  context.font = "11px system-ui, sans-serif";
  context.lineWidth = 1;
  const line = (x0, y0, x1, y1, colour) => {
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  };
  const ink = css("--muted");
  context.fillStyle = ink;
  const place = (axis, value, size) => ((value - axis.from) / (axis.to - axis.from)) * size;
  const marks = (axis) => {
    const { scale = 1, offset = 0 } = axis;
    const { found, digits } = ticks((axis.from + offset) * scale, (axis.to + offset) * scale, axis.count);
    return found.map((value) => ({ value: value / scale - offset, text: value.toFixed(digits) }));
  };
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const { value, text } of marks(y)) {
    const at = Math.round(top + height - place(y, value, height)) + 0.5;
    if (grid) line(left, at, left + width, at, css("--line"));
    else line(left - 4, at, left, at, ink);
    context.fillText(text, left - 6, Math.max(top + 4, at));
  }
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const unit = context.measureText(x.label).width + 8;
  for (const { value, text } of marks(x)) {
    const at = Math.round(left + place(x, value, width)) + 0.5;
    if (grid) line(at, top, at, top + height, css("--line"));
    else line(at, top + height, at, top + height + 4, ink);
    if (at < left + width - unit) context.fillText(text, at, top + height + 16);
  }
  context.textAlign = "right";
  context.fillText(x.label, left + width, top + height + 16);
  context.textAlign = "left";
  context.fillText(y.label, 0, top + height + 16);
}

// values: Float32Array(columns * BINS). view: {from, to, low, high} in seconds and Hz. range: the values of the first
// and the last colour.
function drawSpectrogram(canvas, values, view, range, colours, sampleRate, start) {
  const box = fit(canvas);
  const columns = values.length / BINS;
  const rows = Math.max(1, Math.round(box.height * box.ratio));
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const binWidth = sampleRate / FRAME_LENGTH;
  const scale = 255 / (range[1] - range[0]);
  for (let row = 0; row < rows; row++) {
    // A row that covers several bins shows their mean. Otherwise it is interpolated linearly between two bins.
    const high = (view.high - (row / rows) * (view.high - view.low)) / binWidth;
    const low = (view.high - ((row + 1) / rows) * (view.high - view.low)) / binWidth;
    const first = Math.max(0, Math.ceil(low));
    const last = Math.min(BINS - 1, Math.ceil(high) - 1);
    const under = Math.min(BINS - 2, Math.max(0, Math.floor((low + high) / 2)));
    const part = Math.min(1, Math.max(0, (low + high) / 2 - under));
    for (let column = 0; column < columns; column++) {
      const base = column * BINS;
      let value = 0;
      if (last > first) {
        for (let bin = first; bin <= last; bin++) value += values[base + bin];
        value /= last - first + 1;
      } else {
        value = values[base + under] * (1 - part) + values[base + under + 1] * part;
      }
      pixels[row * columns + column] = colours[Math.max(0, Math.min(255, Math.round((value - range[0]) * scale)))];
    }
  }
  const sheet = new OffscreenCanvas(columns, rows);
  sheet.getContext("2d").putImageData(image, 0, 0);
  box.context.imageSmoothingEnabled = columns === MOST_COLUMNS;
  box.context.drawImage(sheet, box.left, box.top, box.width, box.height);
  axes(
    box,
    { from: view.from, to: view.to, label: "s", count: Math.max(3, box.width / 90), offset: start },
    { from: view.low, to: view.high, label: "kHz", count: 5, scale: 1e-3 },
  );
}

// spectra: [{values: Float32Array(BINS), colour, wide}].
function drawSpectra(canvas, spectra, view, range, sampleRate) {
  const box = fit(canvas);
  axes(
    box,
    { from: view.low, to: view.high, label: "kHz", count: Math.max(4, box.width / 90), scale: 1e-3 },
    { from: range[0], to: range[1], label: "dB", count: 6 },
    true,
  );
  const { context, left, top, width, height } = box;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.lineJoin = "round";
  // The wide line is drawn first, so that the others stay visible on top of it.
  for (const { values, colour, wide } of spectra.toSorted((a, b) => b.wide - a.wide)) {
    context.strokeStyle = colour;
    context.lineWidth = wide ? 3 : 1.25;
    context.beginPath();
    for (let bin = 0; bin < BINS; bin++) {
      const x = left + (((bin * sampleRate) / FRAME_LENGTH - view.low) / (view.high - view.low)) * width;
      const y = top + height - ((values[bin] - range[0]) / (range[1] - range[0])) * height;
      if (bin) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
    context.stroke();
  }
  context.restore();
}

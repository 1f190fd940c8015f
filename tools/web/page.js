// Connects the parts of the page: it decodes, restores, shows, plays and saves a file.
"use strict";

const $ = (id) => document.getElementById(id);
const HEAD_BYTES = 1 << 24; // enough for tags with pictures and the first frames
const buttons = [...$("signals").children];
let restorer, encoder, player, pictures, restored; // restored: {name, channels, sampleRate, tags}
let busy = false;

const clock = (seconds) => {
  const whole = Math.floor(seconds + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

function stage(text, share) {
  $("stage").textContent = text;
  if (share === undefined) $("bar").removeAttribute("value");
  else $("bar").value = share;
}

function fail(text) {
  $("failure").textContent = text;
  $("failure").hidden = !text;
}

function ready() {
  $("drop-title").textContent = player ? "Drop another file here, or choose one" : "Drop a music file here, or choose one";
  $("file").disabled = false;
  document.body.dataset.ready = "yes";
}

// Restores one file at a time. The previous result stays on the page until the next one is complete.
async function take(file) {
  if (busy || !file || !restorer) return;
  busy = true;
  if (player) player.pause();
  shown();
  fail("");
  $("file").disabled = true;
  $("work").hidden = false;
  $("stop").hidden = true;
  delete document.body.dataset.ready;
  try {
    stage(`Reading ${file.name}`);
    const lossy = await decodeFile(file, restorer.sampleRate);
    const gain = encoderGain(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
    $("stop").hidden = false;
    stage("Preparing the model");
    await restorer.ready;
    const began = performance.now();
    stage("Restoring: 0 %", 0);
    const channels = await restorer.restore(channelsOf(lossy).map((channel) => channel.slice()), gain, (share) => {
      const left = (((performance.now() - began) / 1000) * (1 - share)) / share;
      stage(`Restoring: ${Math.round(100 * share)} %, ${left < 1 ? "nearly done" : `about ${clock(Math.ceil(left))} left`}`, share);
    });
    const seconds = (performance.now() - began) / 1000;
    show(file.name, lossy, channels, seconds, await readTags(file));
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  } finally {
    busy = false;
    $("work").hidden = true;
    $("file").value = "";
    ready();
  }
}

function power(channels) {
  let sum = 0;
  for (const channel of channels) for (const sample of channel) sum += sample * sample;
  return sum;
}

function show(name, lossy, channels, seconds, tags) {
  const { sampleRate } = lossy;
  restored = { name: name.replace(/\.[^.]*$/, ""), channels, sampleRate, tags };
  const after = new AudioBuffer({ length: lossy.length, numberOfChannels: channels.length, sampleRate });
  channels.forEach((channel, index) => after.copyToChannel(channel, index));
  // The louder version is lowered to the level of the other, because louder music always seems better.
  const ratio = Math.sqrt(power(channelsOf(lossy)) / power(channels)) || 1;
  const gains = [Math.min(1, 1 / ratio), Math.min(1, ratio)];
  const heard = player ? player.current : 1;
  if (player?.context) player.context.close();
  player = new Player([lossy, after], gains, sampleRate);
  player.setVolume($("volume").value ** 2);
  pictures = new Spectrograms([...document.querySelectorAll("#result .panel")], player, moved);
  const quieter = -20 * Math.log10(Math.min(...gains));
  $("result-title").textContent = name;
  $("facts").textContent =
    `${clock(lossy.duration)}, ${["mono", "stereo"][channels.length - 1] || `${channels.length} channels`}, ${sampleRate / 1000} kHz;` +
    ` restored in ${seconds.toFixed(1)} s (${Math.round(lossy.duration / seconds)} times real time).` +
    (quieter >= 0.05 ? ` “${ratio < 1 ? "After" : "Before"}” is played ${quieter.toFixed(1)} dB lower, so that both are equally loud.` : "");
  const kept = ["TITLE", "ARTIST", "ALBUM"].filter((wanted) => tags.comments.some(([tag]) => tag === wanted)).map((tag) => tag.toLowerCase());
  if (tags.pictures.length) kept.push("cover");
  $("tags").textContent = kept.length
    ? `The FLAC file keeps the tags of the source (${kept.join(", ")}). The WAV files have none.`
    : "The source has no tags that can be kept.";
  $("seek").max = lossy.duration;
  for (const id of ["transport", "result"]) $(id).hidden = false;
  document.body.classList.add("done");
  listen(heard);
  moved();
  pictures.draw();
}

function moved() {
  $("time").textContent = `${clock(player.position)} / ${clock(player.duration)}`;
  $("seek").value = player.position;
  $("seek").ariaValueText = clock(player.position);
  pictures.mark();
}

function frame() {
  moved();
  if (player.playing) requestAnimationFrame(frame);
}

function shown() {
  if (!player) return;
  buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === player.current));
  $("play").classList.toggle("playing", player.playing);
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
}

function listen(index) {
  player.select(index);
  pictures.point(index);
  shown();
}

async function toggle() {
  if (player.playing) player.pause();
  else await player.play();
  shown();
  requestAnimationFrame(frame);
}

// The downloads have different names, so that none replaces another.
const DOWNLOADS = {
  "save-flac": { suffix: "flac", make: ({ channels, sampleRate, tags }) => encoder.encode(channels, sampleRate, marked(tags)) },
  "save-24": { suffix: "wav", make: ({ channels, sampleRate }) => wavFile(channels, sampleRate, "pcm24") },
  "save-float": { suffix: "float.wav", make: ({ channels, sampleRate }) => wavFile(channels, sampleRate, "float") },
};

// Adds a tag that says how the file was restored, as `restore` writes it.
function marked({ comments, pictures }) {
  const { name, version } = restorer.metadata;
  return { comments: [...comments, ["RESTORED_BY", `keras_audiosr ${version} with ${name}, in a browser`]], pictures };
}

async function save(id) {
  const { suffix, make } = DOWNLOADS[id];
  const { name } = restored;
  $(id).disabled = true;
  try {
    const { blob, clipped } = await make(restored);
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}.restored.${suffix}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may still be reading
    fail(clipped ? `${clipped} samples above full scale were clamped; the 32-bit float file keeps them.` : "");
  } catch (error) {
    fail(error.message);
  } finally {
    $(id).disabled = false;
  }
}

const keys = { " ": toggle, 1: () => listen(0), 2: () => listen(1), s: () => listen(1 - player.current) };

function onKey(event) {
  if (!player || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  if (event.key === " " && event.target.closest("button, input[type=file]")) return; // it presses the button
  event.preventDefault();
  keys[event.key]();
}

async function main() {
  $("file").addEventListener("change", () => take($("file").files[0]));
  for (const type of ["dragover", "dragleave", "drop"])
    document.addEventListener(type, (event) => {
      event.preventDefault(); // otherwise the browser would open the file in place of this page
      $("drop").classList.toggle("over", type === "dragover" && !busy);
      if (type === "drop") take(event.dataTransfer.files[0]);
    });
  $("stop").addEventListener("click", () => restorer.stop());
  $("play").addEventListener("click", toggle);
  buttons.forEach((button, index) => button.addEventListener("click", () => listen(index)));
  $("seek").addEventListener("input", () => (player.seek(Number($("seek").value)), moved()));
  $("volume").addEventListener("input", () => player?.setVolume($("volume").value ** 2));
  for (const id of Object.keys(DOWNLOADS)) $(id).addEventListener("click", () => save(id));
  document.addEventListener("keydown", onKey);
  // A button loses the focus after a click with a pointer, so that the space bar still plays and pauses.
  document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  const redraw = () => player && pictures.draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe($("result"));
  restorer = await Restorer.load((share) => ($("drop-title").textContent = `Loading the model: ${Math.round(100 * share)} %`));
  const { name, version } = restorer.metadata;
  $("model").textContent = `Model ${name}, keras_audiosr ${version}, on LiteRT.js.`;
  await restorer.ready;
  encoder = new FlacEncoder();
  await encoder.hand.ready.catch(() => {}); // the WAV downloads work without it
  ready();
}

main().catch((error) => {
  $("drop-title").textContent = "The model could not be loaded";
  fail(error.message);
});

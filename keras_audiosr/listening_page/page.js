// Connects the parts of the page: decodes the sound, updates the controls and handles keys.
"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const names = data.signals.map(({ name }) => name);
let player, pictures, blindTest, ratingTest; // ratingTest stays undefined on pages without a rating test

function fillSelect(id, texts, selected) {
  $(id).replaceChildren(...texts.map((text) => new Option(text)));
  $(id).selectedIndex = selected;
}

function saveFile(name, text, type) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Decodes embedded sound. An offline context needs no user gesture and decodes at the sample rate of the sound.
function decode(element) {
  const bytes = Uint8Array.from(atob(element.src.slice(element.src.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new OfflineAudioContext(1, 1, data.sampleRate).decodeAudioData(bytes.buffer);
}

const clock = (seconds) => {
  const tenths = Math.floor(seconds * 10 + 1e-6); // rounding down avoids 0:60.0 for 59.96 s
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
};

function moved() {
  $("time").textContent = `${clock(player.position + data.start)} / ${clock(player.duration + data.start)}`;
  $("seek").value = player.position;
  $("seek").ariaValueText = clock(player.position + data.start);
  pictures.mark();
}

function frame() {
  moved();
  if (player.playing) requestAnimationFrame(frame);
}

// While a test is running, the page must not show which signal is heard.
const testing = () => blindTest.running || Boolean(ratingTest?.running);

// Shows which signal is heard, unless a test is running.
function shown() {
  const hidden = testing();
  document.body.classList.toggle("testing", hidden);
  for (const id of ["abx-setup", "rating-setup"]) for (const button of $(id)?.querySelectorAll("button") ?? []) button.disabled = hidden;
  [...$("signals").children].forEach((button, index) => {
    button.disabled = hidden;
    button.setAttribute("aria-pressed", !hidden && index === player.current);
  });
  pictures.point(hidden ? null : player.current);
  const before = $("play").classList.contains("playing");
  $("play").classList.toggle("playing", player.playing);
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  $("status").textContent = player.playing && !hidden ? `Playing ${names[player.current]}` : "";
  if (player.playing && !before) requestAnimationFrame(frame);
}

async function toggle() {
  if (player.playing) player.pause();
  else await player.play();
  shown();
}

function listen(index) {
  if (testing() || index >= names.length) return;
  player.select(index);
  shown();
}

const actions = {
  "zoom-in": () => pictures.zoom(0.5),
  "zoom-out": () => pictures.zoom(2),
  "zoom-fit": () => pictures.show(0, player.duration),
  "zoom-loop": () => pictures.show(player.bounds[0], player.bounds[1] - player.bounds[0]),
  "loop-from": () => player.setLoop([player.position, player.loop && player.loop[1] > player.position ? player.loop[1] : player.duration]),
  "loop-to": () => player.setLoop([player.loop && player.loop[0] < player.position ? player.loop[0] : 0, player.position]),
  "loop-off": () => player.setLoop(null),
};

const keys = {
  " ": toggle,
  s: () => listen((player.current + 1) % names.length),
  ArrowLeft: () => player.seek(player.position - 1),
  ArrowRight: () => player.seek(player.position + 1),
  "[": actions["loop-from"],
  "]": actions["loop-to"],
  l: actions["loop-off"],
  "+": actions["zoom-in"],
  "=": actions["zoom-in"],
  "-": actions["zoom-out"],
  0: actions["zoom-fit"],
  a: () => blindTest.listen("a"),
  b: () => blindTest.listen("b"),
  x: () => blindTest.listen("x"),
  A: () => blindTest.answer("a"),
  B: () => blindTest.answer("b"),
};
names.forEach((_, index) => (keys[index + 1] = () => listen(index)));

function onKey(event) {
  const { target } = event;
  if (!$("keys-on").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  // The keys that a focused control handles itself have priority.
  if (target.closest("select, audio, input[type=checkbox]")) return;
  if (event.key === " " && target.closest("button, summary, a")) return;
  if (event.key.startsWith("Arrow") && target.closest("input")) return;
  // With Caps Lock on, letters arrive as capitals. Only Shift distinguishes an answer from a key for listening.
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const name = event.shiftKey && /^[ab]$/i.test(key) ? key.toUpperCase() : key;
  if (!Object.hasOwn(keys, name)) return;
  event.preventDefault();
  keys[name]();
  moved();
}

async function main() {
  const sounds = [...document.querySelectorAll("#sound audio")];
  const buffers = await Promise.all(sounds.map(decode));
  player = new Player(buffers, data.signals.map(({ gain }) => gain), data.sampleRate);
  player.select(names.findIndex((name) => name.startsWith("restored")));
  $("signals").append(
    ...data.signals.map(({ name }, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.dataset.name = name;
      button.setAttribute("aria-keyshortcuts", index + 1);
      button.addEventListener("click", () => listen(index));
      return button;
    }),
  );
  $("signal-keys").innerHTML = names.map((_, index) => `<kbd>${index + 1}</kbd>`).join(" ");
  $("signal-names").textContent = names.join(", ");
  $("sound").hidden = true;
  $("transport").hidden = false;
  $("seek").max = player.duration;

  pictures = new Pictures(data, player);
  blindTest = new BlindTest(data, player, shown);
  if ($("rating")) ratingTest = new RatingTest(data, player, shown);
  $("play").addEventListener("click", toggle);
  $("seek").addEventListener("input", () => (player.seek(Number($("seek").value)), moved()));
  $("volume").addEventListener("input", () => player.setVolume($("volume").value ** 2));
  for (const button of document.querySelectorAll("[data-do]"))
    button.addEventListener("click", () => (actions[button.dataset.do](), moved()));
  document.addEventListener("keydown", onKey);
  // A button that was clicked with a pointer loses the focus, so that the space bar still plays and pauses.
  document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  shown();
  moved();
  await pictures.begin();
  document.body.dataset.ready = "yes";
}

main().catch((error) => {
  $("failure").textContent = `This browser cannot show the page: ${error.message}. You can still play the sounds at the end of the page.`;
  $("failure").hidden = false;
  $("sound").hidden = false;
});

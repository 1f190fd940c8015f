// Plays several signals in step. All sources start at the same instant and always run. Each has a fader, and only one
// fader is open. A switch therefore takes FADE seconds and no signal gets out of step. Playback always loops, over the
// selected region or over the whole excerpt.
"use strict";

const FADE = 0.01; // s; linear, because the signals are nearly equal, so their sum keeps its level
const AHEAD = 0.04; // s from the request to the start, so that every source starts in time
const SHORTEST_LOOP = 0.1; // s

class Player {
  // buffers: AudioBuffers of the same length. gains: one factor for each, which makes all equally loud.
  constructor(buffers, gains, sampleRate) {
    Object.assign(this, { buffers, gains, sampleRate, current: 0, loop: null, deck: null, rest: 0, volume: 1 });
    this.context = null; // created by the first play(), because browsers start one only after a user gesture
  }

  get duration() {
    return this.buffers[0].duration;
  }

  get playing() {
    return this.deck !== null;
  }

  get bounds() {
    return this.loop || [0, this.duration];
  }

  // Seconds from the beginning of the excerpt.
  get position() {
    if (!this.deck) return this.rest;
    const heard = this.context.currentTime - (this.context.outputLatency || 0) - this.deck.when;
    const at = this.deck.offset + Math.max(0, heard);
    const [from, to] = this.bounds;
    return at < to ? at : from + ((at - from) % (to - from));
  }

  async play() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: this.sampleRate });
      this.output = this.context.createGain();
      this.output.gain.value = this.volume;
      this.output.connect(this.context.destination);
    }
    await this.context.resume();
    if (!this.deck) this.start(this.rest);
  }

  pause() {
    if (!this.deck) return;
    this.rest = this.position;
    this.stop();
  }

  // All sources are scheduled for the same time, so all of them begin at the same sample.
  start(offset) {
    const [from, to] = this.bounds;
    if (offset < from || offset >= to) offset = from;
    const when = this.context.currentTime + AHEAD;
    const faders = [];
    const sources = this.buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: true, loopStart: from, loopEnd: to });
      const fader = new GainNode(this.context, { gain: 0 });
      const level = new GainNode(this.context, { gain: this.gains[index] });
      source.connect(fader).connect(level).connect(this.output);
      source.start(when, offset);
      faders.push(fader);
      return source;
    });
    faders[this.current].gain.setValueAtTime(0, when);
    faders[this.current].gain.linearRampToValueAtTime(1, when + FADE);
    this.deck = { sources, faders, when, offset };
  }

  stop() {
    const now = this.context.currentTime;
    for (const fader of this.deck.faders) this.fade(fader, 0);
    for (const source of this.deck.sources) source.stop(now + 2 * FADE);
    this.deck = null;
  }

  fade(fader, target) {
    const now = this.context.currentTime;
    fader.gain.cancelScheduledValues(now);
    fader.gain.setValueAtTime(fader.gain.value, now);
    fader.gain.linearRampToValueAtTime(target, now + FADE);
  }

  select(index) {
    this.current = index;
    if (this.deck) this.deck.faders.forEach((fader, each) => this.fade(fader, each === index ? 1 : 0));
  }

  // Adds a signal of the same length, and returns its index.
  add(buffer, gain) {
    this.rest = this.position;
    this.buffers.push(buffer);
    this.gains.push(gain);
    this.restart();
    return this.buffers.length - 1;
  }

  seek(position) {
    const [from, to] = this.bounds;
    this.rest = Math.min(Math.max(position, from), Math.max(from, to - SHORTEST_LOOP));
    this.restart();
  }

  // loop: [from, to] in seconds, or null for the whole excerpt.
  setLoop(loop) {
    const at = this.position;
    if (loop) {
      const from = Math.max(0, Math.min(loop[0], this.duration - SHORTEST_LOOP));
      loop = [from, Math.min(this.duration, Math.max(loop[1], from + SHORTEST_LOOP))];
    }
    this.loop = loop;
    const [from, to] = this.bounds;
    this.rest = at < from || at >= to ? from : at;
    this.restart();
  }

  // Makes new sources instead of changing the loop points of running ones, which would be changed one after the other,
  // so that two sources could drift apart.
  restart() {
    if (!this.deck) return;
    this.stop();
    this.start(this.rest);
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.output) this.output.gain.setTargetAtTime(volume, this.context.currentTime, FADE);
  }
}

// Plays several signals in step. All sources always run, from one instant on; each has a fader, and one fader is up.
// What is heard changes within FADE seconds and never loses the beat. Playback always loops: the region, or everything.
"use strict";

const FADE = 0.01; // s; linear, since the signals are nearly the same: their sum keeps its level
const AHEAD = 0.04; // s between asking for a start and the start, so that no source is late for it
const SHORTEST_LOOP = 0.1; // s

class Player {
  // buffers: AudioBuffers of one length; gains: factor of each, so that all are equally loud.
  constructor(buffers, gains, sampleRate) {
    Object.assign(this, { buffers, gains, sampleRate, current: 0, loop: null, deck: null, rest: 0, volume: 1 });
    this.context = null; // browsers give one only after a click
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

  // Every source begins at the same sample of the same block: `start` takes a time, not a "now".
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

  // One more signal of the same length; returns its index.
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

  // [from, to] in seconds, or null for everything.
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

  // New sources, not new loop points: changed one after the other, those could let two sources drift apart.
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

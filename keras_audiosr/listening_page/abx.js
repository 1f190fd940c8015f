// A blind test of whether A and B can be told apart. In every trial X is one of them, chosen at random.
"use strict";

// Probability of at least `right` right answers in `trials` trials by guessing, summed exactly in integers.
function guessing(right, trials) {
  let combinations = 1n; // trials over k
  let sum = 0n;
  for (let k = 0n; k <= BigInt(trials); k++) {
    if (k >= BigInt(right)) sum += combinations;
    combinations = (combinations * (BigInt(trials) - k)) / (k + 1n);
  }
  return Number(sum) / 2 ** trials;
}

class AbxRun {
  #x = null; // index of the signal that X is; private, so that nothing on the page can show it
  #began = 0;

  // a, b: indices of signals. trials: number of trials. It is fixed before the first one, because a test that can be
  // stopped after a good result proves nothing.
  constructor(a, b, trials) {
    Object.assign(this, { a, b, trials, log: [], stopped: false, started: new Date().toISOString() });
    this.#draw();
  }

  #draw() {
    this.#x = crypto.getRandomValues(new Uint8Array(1))[0] & 1 ? this.b : this.a;
    this.#began = performance.now();
    this.switches = 0;
  }

  get running() {
    return !this.stopped && this.log.length < this.trials;
  }

  get right() {
    return this.log.filter((trial) => trial.answer === trial.x).length;
  }

  // Null for a run that was stopped early.
  get p() {
    return this.log.length === this.trials ? guessing(this.right, this.trials) : null;
  }

  // Index of the signal to play for "a", "b" or "x".
  signal(name) {
    this.switches++;
    return name === "x" ? this.#x : this[name];
  }

  // answer: "a" or "b".
  answer(answer) {
    if (!this.running) return;
    const seconds = Math.round(performance.now() - this.#began) / 1000;
    this.log.push({ x: this.#x === this.a ? "a" : "b", answer, seconds, switches: this.switches });
    if (this.running) this.#draw();
  }

  stop() {
    this.stopped = true;
  }
}

// One run as plain data. names: names of all signals.
function abxResult(run, names) {
  const { trials, right, p, started, log } = run;
  const complete = log.length === trials;
  return { started, a: names[run.a], b: names[run.b], trials, answered: log.length, complete, right, p_value: p, log };
}

function abxCsv(results) {
  const rows = [["run", "started", "a", "b", "trial", "x", "answer", "right", "seconds", "switches", "run_p_value"]];
  results.forEach((result, index) =>
    result.log.forEach((trial, number) =>
      rows.push([
        index + 1, result.started, result.a, result.b, number + 1, trial.x, trial.answer,
        trial.x === trial.answer ? 1 : 0, trial.seconds, trial.switches, result.p_value ?? "",
      ]),
    ),
  );
  return rows.map((row) => row.join(",") + "\r\n").join("");
}

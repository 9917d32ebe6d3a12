// From logits to an answer: astlib.decisions in TypeScript.

import type { Decision } from "./about";

export function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const largest = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (z) => Math.exp((z - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

export function probabilities(decision: Decision, multiLabel: boolean, logits: ArrayLike<number>): number[] {
  if (multiLabel) {
    return Array.from(logits, (z) => 1 / (1 + Math.exp(-z / decision.temperature)));
  }
  return softmax(logits, decision.temperature);
}

// How much a sound is like any of the classes.
const knownScores = {
  max_logit: (logits: number[]) => Math.max(...logits),
  max_softmax: (logits: number[]) => Math.max(...softmax(logits)),
  energy: (logits: number[]) => {
    const largest = Math.max(...logits);
    return largest + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - largest), 0));
  },
  background: (logits: number[], weights: number[]) => logits.reduce((sum, z, k) => sum + z * weights[k], 0),
};

export function isNone(decision: Decision, logits: ArrayLike<number>): boolean {
  if (decision.none_score === "" || decision.none_threshold === null) {
    return false;
  }
  const score = knownScores[decision.none_score](Array.from(logits), decision.none_weights ?? []);
  return score < decision.none_threshold;
}

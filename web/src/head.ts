// A head for classes of the reader's own, trained on the network's features: astlib.few.fit_head in TypeScript.

export interface Head {
  weights: Float64Array[]; // one row per class
  bias: Float64Array;
}

export interface Taught {
  head: Head;
  right: boolean[]; // for each example: whether a head that had not seen it names it
}

const EPS = 1e-5; // of torch's LayerNorm
const MOST_STEPS = 1000;
const MEMORY = 10; // of L-BFGS: steps that it remembers
const TOLERANCE = 1e-5; // of the largest derivative

// A vector with mean 0 and variance 1.
export function normed(vector: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(vector);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return values.map((value) => (value - mean) / Math.sqrt(variance + EPS));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    sum += a[i] * b[i];
  }
  return sum;
}

// Probabilities of the classes for a vector that is normed already.
export function answer({ weights, bias }: Head, vector: Float64Array): Float64Array {
  const logits = Float64Array.from(weights, (row, k) => dot(row, vector) + bias[k]);
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// Multinomial logistic regression with C = 1 on normed vectors.
export function fit(vectors: Float64Array[], classes: number[], count: number): Head {
  const dim = vectors[0].length;
  // The bias is not penalised, so that the mean may be taken out first and put into the bias afterwards.
  const mean = Float64Array.from({ length: dim }, (_, i) => vectors.reduce((sum, v) => sum + v[i], 0) / vectors.length);
  const centred = vectors.map((vector) => vector.map((value, i) => value - mean[i]));
  // scikit-learn has one row for two classes, the difference of ours: its square is twice the sum of our squares.
  const penalty = count === 2 ? 2 : 1;
  const asHead = (values: Float64Array): Head => ({
    weights: Array.from({ length: count }, (_, k) => values.subarray(k * dim, (k + 1) * dim)),
    bias: values.subarray(count * dim),
  });
  const solution = minimise(new Float64Array(count * (dim + 1)), (values) => {
    const head = asHead(values);
    const slope = values.map((value, i) => (i < count * dim ? penalty * value : 0));
    const down = asHead(slope); // the same memory
    let loss = head.weights.reduce((sum, row) => sum + (penalty * dot(row, row)) / 2, 0);
    centred.forEach((vector, n) => {
      answer(head, vector).forEach((probability, k) => {
        const error = probability - (classes[n] === k ? 1 : 0);
        loss -= classes[n] === k ? Math.log(probability) : 0;
        vector.forEach((value, d) => (down.weights[k][d] += error * value));
        down.bias[k] += error;
      });
    });
    return { loss, slope };
  });
  const { weights, bias } = asHead(solution);
  return { weights, bias: bias.map((value, k) => value - dot(weights[k], mean)) };
}

// L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4), with steps halved until the loss falls.
function minimise(
  start: Float64Array,
  evaluate: (values: Float64Array) => { loss: number; slope: Float64Array },
): Float64Array {
  const pairs: { moved: Float64Array; changed: Float64Array; scale: number }[] = [];
  let values = start;
  let here = evaluate(values);
  for (let i = 0; i < MOST_STEPS && here.slope.some((entry) => Math.abs(entry) > TOLERANCE); i++) {
    const direction = here.slope.map((entry) => -entry);
    const add = (vector: Float64Array, by: number): void => vector.forEach((entry, d) => (direction[d] += by * entry));
    const along = pairs.map(() => 0);
    for (let p = pairs.length - 1; p >= 0; p--) {
      along[p] = pairs[p].scale * dot(pairs[p].moved, direction);
      add(pairs[p].changed, -along[p]);
    }
    const last = pairs.at(-1);
    const length = last ? 1 / (last.scale * dot(last.changed, last.changed)) : 1 / Math.sqrt(dot(here.slope, here.slope));
    direction.forEach((entry, d) => (direction[d] = length * entry));
    pairs.forEach(({ moved, changed, scale }, p) => add(moved, along[p] - scale * dot(changed, direction)));
    const downhill = dot(direction, here.slope);
    for (let step = 1; ; step /= 2) {
      const next = values.map((value, d) => value + step * direction[d]);
      const there = evaluate(next);
      if (there.loss <= here.loss + 1e-4 * step * downhill) {
        const moved = next.map((value, d) => value - values[d]);
        const changed = there.slope.map((entry, d) => entry - here.slope[d]);
        if (dot(moved, changed) > 0) {
          pairs.push({ moved, changed, scale: 1 / dot(moved, changed) });
        }
        if (pairs.length > MEMORY) {
          pairs.shift();
        }
        [values, here] = [next, there];
        break;
      }
      if (step < 1e-10) {
        return values; // no digit of the loss is left to gain
      }
    }
  }
  return values;
}

// Trains on all examples, and once without each.
export function teach(features: Float32Array[], classes: number[], count: number): Taught {
  const vectors = features.map(normed);
  const without = <T>(list: T[], i: number): T[] => list.filter((_, n) => n !== i);
  const right = vectors.map((vector, i) => {
    const shares = answer(fit(without(vectors, i), without(classes, i), count), vector);
    return shares.indexOf(Math.max(...shares)) === classes[i];
  });
  return { head: fit(vectors, classes, count), right };
}

// 95 % interval of a fraction, astlib.metrics.wilson.
export function wilson(fraction: number, clips: number): [number, number] {
  const z2 = 1.959963984540054 ** 2 / clips;
  const middle = fraction + z2 / 2;
  const half = Math.sqrt(z2 * fraction * (1 - fraction) + z2 ** 2 / 4);
  return [Math.max(0, (middle - half) / (1 + z2)), Math.min(1, (middle + half) / (1 + z2))];
}

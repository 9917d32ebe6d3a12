// Attention from queries and keys: the same arithmetic as astlib.explain.attention_weights, one row at a time.

import type { About } from "./about";

export interface Inside {
  queries: Float32Array; // (layers, heads, tokens, dim / heads)
  keys: Float32Array; // of the same shape
}

export interface Row {
  products: Float32Array; // q·k / √d of the query token with every token
  weights: Float32Array; // their softmax
}

export function tokenCount(about: About, inside: Inside): number {
  return inside.queries.length / (about.layers * about.dim);
}

export function attentionRow(about: About, inside: Inside, block: number, head: number, query: number): Row {
  const tokens = tokenCount(about, inside);
  const dim = about.dim / about.heads;
  const start = (block * about.heads + head) * tokens * dim;
  const products = new Float32Array(tokens);
  let largest = -Infinity;
  for (let token = 0; token < tokens; token++) {
    let sum = 0;
    for (let i = 0; i < dim; i++) {
      sum += inside.queries[start + query * dim + i] * inside.keys[start + token * dim + i];
    }
    products[token] = sum / Math.sqrt(dim);
    largest = Math.max(largest, products[token]);
  }
  const weights = products.map((product) => Math.exp(product - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return { products, weights: weights.map((weight) => weight / total) };
}

// A model that hkd exported, on one thread of this device: nothing is sent, nothing comes from another host.
//
//   import { load } from './hkd.js';
//   const model = await load();
//   (await model.predict('a fine film')).predictions[0]       // { label, probability }
import * as ort from './runtime/ort.wasm.min.mjs';

const url = name => new URL(name, import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers (COOP, COEP) that most hosts of pages don't send
ort.env.wasm.wasmPaths = { mjs: url('runtime/ort-wasm-simd-threaded.mjs'),
                           wasm: url('runtime/ort-wasm-simd-threaded.wasm') };

async function get(name) {
  const reply = await fetch(url(name));
  if (!reply.ok) throw new Error(`${name} is not there (${reply.status})`);
  return reply;
}

async function download(name, bytes, progress) {
  const out = new Uint8Array(bytes), reader = (await get(name)).body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > bytes) throw new Error(`${name} has more than ${bytes} bytes; copy the folder again`);
    out.set(value, at);
    progress?.((at += value.length) / bytes);
  }
  if (at < bytes) throw new Error(`${name} has ${at} bytes of ${bytes}; copy the folder again`);
  return out;
}

// --- texts ---

// Tokens of two texts that may stay, by the strategy "longest first" of the tokenizers library
export function lengths(first, second, room) {
  if (first + second <= room) return [first, second];
  const short = Math.min(first, second);
  let long = short > room ? short : Math.max(short, room - short), less = short;
  if (less + long > room) {
    less = Math.floor(room / 2);
    long = less + room % 2;
  }
  return first > second ? [long, less] : [less, long];
}

// Token ids of a text, or of a pair of texts, cut as hkd cuts them
export function tokenIds(tokenizer, settings, text, pair = null) {
  const bare = x => tokenizer.tokenize(x, { add_special_tokens: false });
  const plain = (a, b) => ({ tokens: [...a, ...(b ?? [])] });
  const wrap = (a, b) => tokenizer.post_processor ? tokenizer.post_processor(a, b, true) : plain(a, b);
  const keep = (x, n) => settings.truncation_side === 'left' ? x.slice(x.length - n) : x.slice(0, n);
  let a = bare(text), b = pair === null ? null : bare(pair);
  const room = settings.max_length - wrap([], b && []).tokens.length;
  const [n, m] = b ? lengths(a.length, b.length, room) : [Math.min(a.length, room), 0];
  if (n < a.length) a = keep(a, n);
  if (b && m < b.length) b = keep(b, m);
  const { tokens, token_type_ids: types } = wrap(a, b);
  const ids = tokens.map(t => tokenizer.token_to_id(t) ?? tokenizer.model.unk_token_id);
  return { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: types ?? ids.map(() => 0) };
}

function textInputs(found, names) {
  return Object.fromEntries(names.map(name => {
    if (!(name in found)) throw new Error(`the model has an input ${name}, which this page does not make`);
    const numbers = BigInt64Array.from(found[name], BigInt);
    return [name, new ort.Tensor('int64', numbers, [1, numbers.length])];
  }));
}

// --- images ---

const sinc = x => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
const cubic = x => x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -.5 : 0;
const FILTERS = { // Pillow's numbers of its filters: half their width, and their value
  1: [3, x => Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0],
  2: [1, x => Math.max(0, 1 - Math.abs(x))],
  3: [2, x => cubic(Math.abs(x))],
  4: [.5, x => x > -.5 && x <= .5 ? 1 : 0],
  5: [1, x => Math.abs(x) >= 1 ? 0 : sinc(x) * (.54 + .46 * Math.cos(Math.PI * x))],
};
const BITS = 22; // of a weight's fraction, as in Pillow, so that rounding is the same

// For each new pixel: where its old ones start, and their weights as whole numbers
function weights(before, after, [width, value]) {
  const scale = before / after, wide = Math.max(1, scale), support = width * wide;
  return Array.from({ length: after }, (_, i) => {
    const middle = (i + .5) * scale;
    const start = Math.max(0, Math.trunc(middle - support + .5));
    const end = Math.min(before, Math.trunc(middle + support + .5));
    const w = Array.from({ length: end - start }, (_, k) => value((k + start - middle + .5) * (1 / wide)));
    const sum = w.reduce((s, x) => s + x, 0);
    const whole = w.map(x => {
      const part = (sum === 0 ? x : x / sum) * 2 ** BITS;
      return Math.trunc(part < 0 ? part - .5 : part + .5);
    });
    return [start, whole];
  });
}

function nearest(before, after) {
  let at = before / after / 2;
  return Array.from({ length: after }, () => {
    const old = Math.floor(at);
    at += before / after;
    return [Math.min(old, before - 1), [2 ** BITS]];
  });
}

// Along one axis: `lines` rows or columns, `step` numbers from a pixel to the next one in its line
function pass(data, table, lines, step, lineStep, outStep, outLineStep) {
  const out = new Uint8ClampedArray(table.length * lines);
  for (let line = 0; line < lines; line++) {
    table.forEach(([start, w], i) => {
      let sum = 2 ** (BITS - 1), from = line * lineStep + start * step;
      for (let k = 0; k < w.length; k++, from += step) sum += data[from] * w[k];
      out[line * outLineStep + i * outStep] = Math.floor(sum / 2 ** BITS);
    });
  }
  return out;
}

// One channel, resized as Pillow does it: along rows, rounded to 8 bits, then along columns. Since Pillow 13 columns
// come first where the height shrinks by more than twice as many pixels as the width.
function resizeChannel(data, width, height, newWidth, newHeight, settings) {
  const filter = FILTERS[settings.resample ?? 2];
  const table = (n, m) => filter ? weights(n, m, filter) : nearest(n, m);
  const less = height - newHeight, columnsFirst = settings.columns_first && less > 0 && less > 2 * (width - newWidth);
  const rows = h => { if (newWidth !== width) data = pass(data, table(width, newWidth), h, 1, width, 1, newWidth); };
  const columns = w => { if (newHeight !== height) data = pass(data, table(height, newHeight), w, w, 1, w, 1); };
  if (columnsFirst) { columns(width); rows(newHeight); } else { rows(height); columns(newWidth); }
  return data;
}

function target(width, height, size) {
  if (!size.shortest_edge) return [size.width, size.height];
  const short = size.shortest_edge, long = Math.trunc(short * Math.max(width, height) / Math.min(width, height));
  return width <= height ? [short, long] : [long, short];
}

// The middle of a channel, with black around it where it is smaller
function crop(data, width, height, newWidth, newHeight) {
  const margin = (old, now) => old < now ? -Math.ceil((now - old) / 2) : Math.floor((old - now) / 2);
  const left = margin(width, newWidth), top = margin(height, newHeight);
  const out = new Uint8ClampedArray(newWidth * newHeight);
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const oldX = x + left, oldY = y + top;
      if (oldX >= 0 && oldX < width && oldY >= 0 && oldY < height) out[y * newWidth + x] = data[oldY * width + oldX];
    }
  }
  return out;
}

// What each of the 256 values becomes, in the same order of float32 operations as in Python
function levels(settings, channel) {
  const f = Math.fround;
  return Float32Array.from({ length: 256 }, (_, v) => {
    const x = settings.do_rescale ? f(v * settings.rescale_factor) : v;
    if (!settings.do_normalize) return x;
    const [mean, std] = [settings.image_mean, settings.image_std].map(m => f(m[channel]));
    return f(f(x - mean) / std);
  });
}

// The network's input for a picture { data (RGBA), width, height }: what hkd.images.pixels makes
export function pixels(picture, settings) {
  let { width, height } = picture;
  const old = [width, height], channels = [0, 1, 2].map(c => {
    const one = new Uint8ClampedArray(width * height);
    for (let i = 0; i < one.length; i++) one[i] = picture.data[4 * i + c];
    return one;
  });
  if (settings.do_resize) [width, height] = target(width, height, settings.size);
  const resized = settings.do_resize
    ? channels.map(c => resizeChannel(c, ...old, width, height, settings)) : channels;
  const cut = settings.do_center_crop ? settings.crop_size : { width, height };
  const size = cut.width * cut.height, data = new Float32Array(3 * size);
  resized.forEach((channel, c) => {
    const level = levels(settings, c);
    crop(channel, width, height, cut.width, cut.height).forEach((v, i) => { data[c * size + i] = level[v]; });
  });
  return { data, dims: [1, 3, cut.height, cut.width] };
}

const MOST = 2 ** 24; // pixels: what a canvas holds on a phone

// A file as { data, width, height }: upright, on white, its colors as they are stored
export async function readPicture(blob) {
  const how = { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
  const bitmap = await createImageBitmap(blob, how).catch(() => {
    throw new Error(`${blob.name ?? 'the file'} can't be read as a picture`);
  });
  const less = Math.min(1, Math.sqrt(MOST / (bitmap.width * bitmap.height)));
  const canvas = document.createElement('canvas');
  const width = canvas.width = Math.max(1, Math.trunc(bitmap.width * less));
  const height = canvas.height = Math.max(1, Math.trunc(bitmap.height * less));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

// A picture that hkd.web makes by the same rule
export function pattern(width, height) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[4 * (y * width + x) + c] = (7 * x * x + 13 * y * y + 29 * (c + 1) * x) % 256;
    }
  }
  return { data, width, height };
}

// --- the model ---

function readLogits(z, settings) {
  const { labels, problem_type: kind } = settings;
  if (kind === 'regression' || z.length === 1) return z.map((value, i) => ({ label: labels[i], value }));
  const e = z.map(x => Math.exp(x - Math.max(...z))), sum = e.reduce((s, x) => s + x, 0);
  const p = kind === 'multi_label_classification' ? z.map(x => 1 / (1 + Math.exp(-x))) : e.map(x => x / sum);
  return p.map((probability, i) => ({ label: labels[i], probability })).sort((a, b) => b.probability - a.probability);
}

export async function load({ progress } = {}) {
  const { files, ...settings } = await (await get('hkd.json')).json();
  const isText = settings.modality === 'text';
  const weights = await download(settings.model, files[settings.model].bytes, progress);
  const session = await ort.InferenceSession.create(weights, { executionProviders: ['wasm'] });
  let tokenizer = null;
  if (isText) {
    const { Tokenizer } = await import('./runtime/tokenizers.min.mjs');
    const [spec, config] = await Promise.all(
      ['tokenizer.json', 'tokenizer_config.json'].map(async name => (await get(name)).json()));
    tokenizer = new Tokenizer(spec, config);
  }

  const textOf = (text, pair) => textInputs(tokenIds(tokenizer, settings, text, pair), session.inputNames);
  const imageOf = picture => {
    const { data, dims } = pixels(picture, settings.pixels);
    return { pixel_values: new ort.Tensor('float32', data, dims) };
  };

  async function run(item, pair) {
    if (isText && typeof item !== 'string') throw new TypeError('this model reads a text');
    const start = performance.now();
    const inputs = isText ? textOf(item, pair) : imageOf(item instanceof Blob ? await readPicture(item) : item);
    const { logits } = await session.run(inputs);
    const z = Array.from(logits.data);
    return { logits: z, predictions: readLogits(z, settings), ms: performance.now() - start };
  }

  // A text, or a text and a second one; or a picture: a File, a Blob, or { data, width, height }. One after the other,
  // since a session runs one thing at a time.
  let last = Promise.resolve();
  function predict(item, pair = null) {
    last = last.catch(() => {}).then(() => run(item, pair));
    return last;
  }

  // Are the logits of an example those that Python had?
  async function check() {
    const { text, width, height, logits } = settings.example;
    const found = (await predict(isText ? text : pattern(width, height))).logits;
    const difference = Math.max(...logits.map((z, i) => Math.abs(z - found[i])));
    return { difference, same: difference <= .02 * Math.max(1, ...logits.map(Math.abs)) };
  }
  return { files, settings, tokenizer, predict, check };
}

// The page around the model: a form, the largest classes, time and size. `window.hkd` is there for tests and for you.
import { load } from './hkd.js';

const $ = id => document.getElementById(id);
const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;
const TOP = 5;

const element = (tag, text, kind) => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
};

function bar(share) { // behind a line of the result; the number beside it is what a screen reader reads
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg'), rect = document.createElementNS(space, 'rect');
  svg.setAttribute('aria-hidden', 'true');
  rect.setAttribute('height', '100%');
  rect.setAttribute('width', `${100 * share}%`);
  svg.append(rect);
  return svg;
}

function line(found) {
  const item = document.createElement('li');
  const isValue = found.probability === undefined;
  item.append(element('span', found.label),
              element('span', isValue ? found.value.toFixed(3) : `${(100 * found.probability).toFixed(1)} %`));
  if (!isValue) item.append(bar(found.probability));
  return item;
}

function show({ predictions, ms }) {
  const list = document.createElement('ol');
  list.append(...predictions.slice(0, TOP).map(line));
  const more = predictions.length - TOP;
  const left = more > 0 ? `; ${more} more ${more === 1 ? 'class' : 'classes'}` : '';
  $('result').replaceChildren(list, element('p', `${ms.toFixed(0)} ms on this device${left}`, 'note'));
}

function fail(error, where = $('result')) {
  where.replaceChildren(element('p', `It failed: ${error.message ?? error}`, 'bad'));
}

function facts(model) {
  const { files, settings } = model;
  const all = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
  const weights = files[settings.model].bytes;
  return `Weights of ${settings.bits} bits, ${megabytes(weights)}; the whole page ${megabytes(all)}. ` +
         `Classes: ${settings.labels.slice(0, 8).join(', ')}${settings.labels.length > 8 ? ', ...' : ''}.`;
}

let chosen = null, running = false;

async function classify(model) {
  if (running) return;
  const isText = model.settings.modality === 'text';
  if (!isText && !chosen) return $('image').focus();
  running = true;
  $('go').disabled = true;
  try {
    show(isText ? await model.predict($('text').value, $('pair').value || null) : await model.predict(chosen));
  } catch (error) { fail(error); }
  finally { $('go').disabled = running = false; }
}

function connect(model) {
  const part = model.settings.modality === 'text' ? 'text-part' : 'image-part';
  $(part).hidden = false;
  $('form').addEventListener('submit', event => { event.preventDefault(); classify(model); });
  $('form').addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('form').requestSubmit();
  });
  $('image').addEventListener('change', () => {
    chosen = $('image').files[0] ?? null;
    if ($('preview').src) URL.revokeObjectURL($('preview').src);
    $('preview').hidden = !chosen;
    if (!chosen) return $('preview').removeAttribute('src');
    $('preview').src = URL.createObjectURL(chosen);
    classify(model);
  });
}

async function start() {
  const model = await load({ progress: share => { $('progress').value = share; } });
  document.title = $('name').textContent = model.settings.name;
  $('facts').textContent = facts(model);
  connect(model);
  const check = await model.check(); // the first run, which is slower than the next ones
  $('status').textContent = check.same ? 'Ready. It gives the same answer here as in Python.'
    : `Attention: a logit differs by ${check.difference.toPrecision(2)} from Python's on this device.`;
  $('status').classList.toggle('bad', !check.same);
  $('progress').hidden = true;
  $('go').disabled = false;
  return model;
}

window.hkd = { ready: start() };
window.hkd.ready.then(model => { window.hkd.predict = model.predict; },
                      error => { fail(error, $('status')); $('progress').hidden = true; });

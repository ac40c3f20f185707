"""An exported page in Chromium: bytes, accuracy and time with weights of 8 and 4 bits, into nbs/results/web.json.

`python benchmarks/web.py MODEL [TASK]`, such as `runs/sst2-mpnet/best6 sst2`. MODEL is a checkpoint or an artifact; the runtime of the page must be at hand (see hkd.web.web_runtime)."""
import json, sys, tempfile, time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
from browser import chromium, run_page
from hkd.artifact import load_compressed
from hkd.data import load_task
from hkd.export import OnnxModel
from hkd.manifest import is_artifact
from hkd.models import load_model
from hkd.records import record, row, save_results
from hkd.training import evaluate
from hkd.web import export_web, gzip_bytes

CALLS = 300
SCRIPT = '''
const start = page.performance.now(), model = await page.hkd.ready, texts = %s, ms = [];
const ready = page.performance.now();
for (let i = 0; i < %d; i++) ms.push((await page.hkd.predict(texts[i %% texts.length])).ms);
return { ms, ready };
'''

def in_browser(folder, texts):
    "Milliseconds of each text in Chromium, and from the start of the page until it is ready"
    found, asked = run_page(folder, SCRIPT % (json.dumps(texts), CALLS), timeout=600)
    if elsewhere := [u for u in asked if not u.startswith('/')]: raise RuntimeError(f'it asked for {elsewhere}')
    return found['ms'], found['ready']

def exported(model, task, bits, folder):
    "The row of a page"
    made = export_web(model, folder, bits)
    onnx = OnnxModel(folder/json.loads((folder/'hkd.json').read_text())['model'], model.config, model.processor)
    found = evaluate(onnx, task, task.eval_split)
    texts = task.split(task.eval_split)[task.columns[0]][:100]
    ms, ready = in_browser(folder, list(texts))
    p5, p50, p95 = np.percentile(ms, [5, 50, 95])
    more = dict(page_bytes=made['bytes'], page_gzip_bytes=gzip_bytes(folder), ready_ms=ready, latency_ms_p5=p5,
                logit_difference=made['mean'], logit_size=made['size'])
    return row(f'{bits} bits', 'kd', [found['accuracy']], [0], found['n'], task.name, task.eval_split,
               bytes_on_disk=made['model_bytes'], latency_ms_p50=p50, latency_ms_p95=p95, backend='Chromium', metrics=more)

def main(name, task='sst2'):
    if not chromium(): sys.exit('Chromium is not installed')
    start, task = time.time(), load_task(task)
    model = (load_compressed if is_artifact(name) else load_model)(name)
    found, parameters = evaluate(model, task, task.eval_split), sum(p.numel() for p in model.parameters())
    rows = [row('float', 'kd', [found['accuracy']], [0], found['n'], task.name, task.eval_split, backend='torch',
                parameters=parameters, bytes_on_disk=4*parameters)]
    with tempfile.TemporaryDirectory() as tmp:
        rows += [exported(model, task, bits, Path(tmp)/f'bits{bits}') for bits in (8, 4)]
    about = dict(model=Path(name).name, calls=CALLS)
    save_results(record(rows, ['python', 'benchmarks/web.py', Path(name).name, task.name], about, time.time()-start),
                 ROOT/'nbs/results/web.json')
    for r in rows: print({k: v for k, v in r.items() if v is not None and k not in ('seeds', 'accuracies')})

if __name__ == '__main__': main(*sys.argv[1:])

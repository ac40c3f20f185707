"""`hkd serve` under load: latency at 1, 8 and 32 clients, throughput beside the backend's own, memory, malformed requests and stops, into nbs/results/serve.json.

`python benchmarks/serve.py [MODEL] [TASK]`: an artifact for texts; left out, a student of 11 million parameters with random weights (the shape of `recipes/sst2-mpnet.toml`), which takes the time of a trained one. The server runs on one core, its clients on another."""
import json, os, random, statistics, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
from clients import Served, load, malformed, raw

CORE, OTHER = '0', 1   # of the server; of the clients
ROUNDS, STOPS, MALFORMED = 3, 5, 1000
REQUESTS = {1: 80, 8: 40, 32: 12}   # clients -> requests of each

BATCHES = '''import json, resource, sys, time
from hkd.light import load_light
texts, model = json.load(sys.stdin), load_light(sys.argv[1])
found = {}
for size in (8, 16, 64):
    model.predict(texts[:64], size)
    start = time.perf_counter()
    model.predict(texts, size)
    found[size] = len(texts)/(time.perf_counter()-start)
print(json.dumps(found))'''

STUDENT = '''import sys, torch
from hkd.artifact import save_compressed, load_compressed
from hkd.data import load_task
from hkd.models import load_model
from hkd.prune import remove_neurons
from hkd.vocab import trim_vocab
task = load_task(sys.argv[1])
model = load_model('minilm-l6-h384-uncased', task)
model, model.processor = trim_vocab(model, model.processor, task.split('train')[task.columns[0]], verbose=False, size=9700, common=0)
model = remove_neurons(model, .5)
torch.manual_seed(0)
for p in model.parameters():
    if p.dim() == 2: torch.nn.init.normal_(p, std=.02)
model.config.hkd_max_length = 128
save_compressed(model, sys.argv[2])'''

def own_process(code, *words, texts=None):
    "What a Python program prints, on the server's core"
    done = subprocess.run(['taskset', '-c', CORE, sys.executable, '-c', code, *map(str, words)], capture_output=True, text=True,
                          input=texts and json.dumps(texts), env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)})
    if done.returncode: sys.exit(done.stderr)
    return done.stdout

def timed(served, bodies, clients):
    "Latencies in ms and requests a second"
    load(served, bodies, clients, 3)
    ms, counts, seconds = load(served, bodies, clients, REQUESTS[clients])
    assert not counts['lost'] and not counts['closed'], counts
    return ms, len(ms)/seconds

def speed(model, texts, bodies):
    "(latencies, requests a second) by clients, and texts a second of the backend's best batch, round by round"
    served = Served(model, '--backend', 'onnx', cores=CORE)
    ms, rates, batches = {n: [] for n in REQUESTS}, {n: [] for n in REQUESTS}, []
    for _ in range(ROUNDS):   # they take turns, so that a slower moment of the machine hits both
        for n in REQUESTS:
            found, rate = timed(served, bodies, n)
            ms[n] += found
            rates[n].append(rate)
        batches.append(json.loads(own_process(BATCHES, model, texts=texts[:240])))
    health, memory = served.health(), served.memory()
    assert served.stop()[0] == 0
    return ms, rates, batches, health, memory

def survived(model, bodies):
    "Statuses of malformed requests, by kind, and of a good one afterwards"
    served, rng, found = Served(model, '--backend', 'onnx', cores=CORE), random.Random(0), Counter()
    for _ in range(MALFORMED):
        kind, data = malformed(rng)
        found[kind, raw(served, data)] += 1
    good = served.ask('POST', '/predict', bodies[0])[0]
    memory, (code, printed) = served.memory(), served.stop()
    assert code == 0 and printed.count('\n') == 1, printed
    return found, good, memory

def stopped(model, bodies):
    "Counts of requests around a SIGTERM, with 32 clients"
    served = Served(model, '--backend', 'onnx', cores=CORE)
    _, counts, _ = load(served, bodies, 32, stop_after=200)
    return dict(counts, code=served.stop()[0])

def memory_of(model, bodies, backend):
    "Peak MB of a server after some requests, and of Python with the libraries only"
    served = Served(model, '--backend', backend, cores=CORE)
    load(served, bodies, 32, 10)
    peak, torch = served.memory()[0], served.loads('libtorch')
    served.stop()
    return peak, torch

LIBRARIES = '''import re
import fastapi, numpy, onnxruntime, tokenizers, uvicorn, hkd.light, hkd.serve
print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])*1024/1e6)'''

def main(model=None, task='sst2'):
    start = time.time()
    os.sched_setaffinity(0, {OTHER})
    with tempfile.TemporaryDirectory() as tmp:
        os.environ['HKD_CACHE'] = f'{tmp}/cache'
        name = Path(model).name if model else 'student of 11 M parameters, random weights'
        if not model: own_process(STUDENT, task, model := f'{tmp}/student')
        rows = measured(str(model), task)
    from hkd.records import record, save_results
    about = dict(model=name, rounds=ROUNDS, requests=REQUESTS, threads=1)
    save_results(record(rows, ['python', 'benchmarks/serve.py', *sys.argv[1:]], about, time.time()-start),
                 ROOT/'nbs/results/serve.json')
    for r in rows: print({k: v for k, v in r.items() if v is not None and k not in ('seeds', 'accuracies')})

def measured(model, task):
    "All rows"
    from hkd.data import load_task
    from hkd.light import onnx_folder
    from hkd.manifest import check_files, find_artifact
    from hkd.records import row
    task = load_task(task)
    texts = list(task.split(task.eval_split)[task.columns[0]])
    bodies = [json.dumps(dict(text=t)).encode() for t in texts]
    Served(model, '--backend', 'onnx').stop()   # builds the ONNX file
    file = (onnx_folder(check_files(find_artifact(model)))/'model-int8.onnx').stat().st_size
    ms, rates, batches, health, (peak, _) = speed(model, texts, bodies)
    best = [max(b.values()) for b in batches]
    make = lambda name, n, metrics, **fields: row(name, 'untrained', [], [], n, task.name, task.eval_split, metrics=metrics,
                                                  backend='onnx', bytes_on_disk=file, **fields)
    rows = [make('own batches', len(texts), dict(throughput=statistics.median(best), best_batch=int(Counter(
                max(b, key=b.get) for b in batches).most_common(1)[0][0])))]
    for n in REQUESTS:
        p50, p95 = np.percentile(ms[n], [50, 95])
        shares = [a/b for a, b in zip(rates[n], best)]
        rows.append(make(f'{n} client{"s" if n > 1 else ""}', len(ms[n]), dict(throughput=statistics.median(rates[n]),
            share_of_own=statistics.median(shares), least_share=min(shares)), latency_ms_p50=p50, latency_ms_p95=p95))
    libraries = float(own_process(LIBRARIES))
    torch_peak, has_torch = memory_of(model, bodies, 'torch')
    onnx_peak, no_torch = memory_of(model, bodies, 'onnx')
    rows.append(make('memory', health['requests'], dict(peak_mb=peak, short_peak_mb=onnx_peak, libraries_mb=libraries, torch_peak_mb=torch_peak,
                torch_loaded=int(no_torch), over_file_mb=peak-file/1e6)))
    found, good, (bad_peak, _) = survived(model, bodies)
    refused = sum(n for (_, status), n in found.items() if status and 400 <= status < 500)
    rows.append(make('malformed', MALFORMED, dict(refused=refused, healthy=int(good == 200), peak_mb=bad_peak, kinds=len({k for k, _ in found}))))
    stops = [stopped(model, bodies) for _ in range(STOPS)]
    rows.append(make('stops', sum(s['answered'] for s in stops), dict(stops=STOPS, clients=32, lost=sum(s['lost'] for s in stops),
                exit_0=sum(s['code'] == 0 for s in stops))))
    return rows

if __name__ == '__main__': main(*sys.argv[1:])

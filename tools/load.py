"""Much data: `python tools/load.py [TEXTS] [IMAGES]` (part of `make torture`; by default 1,000,000 texts and 200,000 images).

Texts in a TSV file and drawn leaves in a folder are read, prepared, trained on for a few steps, and asked about: 10,000 of them, a tenth, and all, each in a process of its own. The process that trains may take 64 MB more than with 10,000 rows and no more, in memory of its own (files that it maps are not counted: the system drops them where it needs room). With ten times the rows no stage may take more than 20 times as long. The process that reads the source is measured too: its memory grows with the rows.
"""
import json, os, resource, subprocess, sys, tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ENV = {**os.environ, 'HF_HUB_OFFLINE': '1', 'HF_DATASETS_OFFLINE': '1', 'OMP_NUM_THREADS': '1', 'TOKENIZERS_PARALLELISM': 'false', 'PYTHONPATH': str(HERE), 'PYTHONWARNINGS': 'ignore'}
TIMES, SHORT = 20, .3                       # ten times the rows may take so many times as long; what is over sooner than SHORT seconds is not compared
GROWTH, FEW = 64, 10_000                    # megabytes that training may take beyond those with FEW rows
STEPS, ASKED = 20, 2000                     # of training; how many examples are predicted

def write_texts(file, n, seed=0):
    "Random words of the demo's grammar, no text twice"
    import numpy as np
    from hkd.demo import demo_tokenizer
    words = sorted(w for w in demo_tokenizer().get_vocab() if w.isalpha() and len(w) > 1)
    rng = np.random.default_rng(seed)
    with open(file, 'w', encoding='utf-8') as f:
        f.write('sentence\tlabel\n')
        for start in range(0, n, 10_000):
            picks, lengths = rng.integers(len(words), size=(10_000, 12)), rng.integers(3, 13, size=10_000)
            f.writelines(f"{' '.join(words[w] for w in p[:k])} {i}\t{i%2}\n" for i, p, k in zip(range(start, min(n, start+10_000)), picks, lengths))

def write_images(folder, n, seed=0):
    "Drawn leaves, a folder for each of three classes"
    import numpy as np
    from hkd.demo import draw_leaf
    names = ['healthy', 'rust', 'spot']
    for c in names: (folder/c).mkdir(parents=True)
    for i in range(n): draw_leaf(np.random.RandomState([seed, i]), names[i%3]).save(folder/names[i%3]/f'{i:07}.png')

def first_of(whole, part, n):
    "The first examples, beside the whole"
    if whole.is_file():
        with open(whole, encoding='utf-8') as f, open(part, 'w', encoding='utf-8') as g: g.writelines(l for l, _ in zip(f, range(n+1)))
        return
    for f in whole.rglob('*.png'):
        if int(f.stem) < n:
            (part/f.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(f, part/f.parent.name/f.name)

def own_memory():
    "Megabytes of this process without mapped files"
    line = next(line for line in open('/proc/self/status') if line.startswith('RssAnon'))
    return int(line.split()[1])/2**10

class Peak(threading.Thread):
    "The most memory since the start, looked at every 5 ms"
    def __init__(self):
        super().__init__(daemon=True)
        self.start_mb = self.mb = own_memory()
        self.start()
    def run(self):
        while True:
            self.mb = max(self.mb, own_memory())
            time.sleep(.005)

def measure(source):
    "Seconds of each stage and megabytes beyond the imports, as JSON; runs in a process of its own"
    from hkd.batches import prepare
    from hkd.data import load_task
    from hkd.stages import demo_model
    from hkd.training import finetune, predict
    peak, seconds = Peak(), {}
    def timed(stage, f):
        start = time.time()
        out = f()
        seconds[stage] = time.time()-start
        return out
    task = timed('read', lambda: load_task(source))
    model = demo_model('demo-student', task)
    timed('prepare', lambda: prepare(task, 'train', model.processor))
    timed('train', lambda: finetune(model, task, views=1, max_steps=STEPS, eval_strategy='no', save_strategy='no', bf16=False, disable_tqdm=True))
    some = task.splits['train'].select(range(min(ASKED, len(task.splits['train']))))
    timed('predict', lambda: predict(model, some[task.columns[0]][:]))
    reader = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**10
    print(json.dumps(dict(rows=sum(map(len, task.splits.values())), seconds=seconds, mb=peak.mb-peak.start_mb, reader_mb=reader)))

def apart(source):
    "What `measure` says of a file or folder"
    r = subprocess.run([sys.executable, __file__, '--measure', str(source)], env=ENV | {'HKD_CACHE': str(source.parent/'cache')}, capture_output=True, text=True)
    if r.returncode: sys.exit(f'{source.name}: {r.stderr.strip() or r.returncode}')
    return json.loads(r.stdout.strip().splitlines()[-1])

def load(kind, n, home):
    "Measure one kind at three sizes; what is wrong, as a list"
    end = '.tsv' if kind == 'texts' else ''
    whole, start = home/f'{kind}{end}', time.time()
    (write_texts if kind == 'texts' else write_images)(whole, n)
    print(f'{n:,} {kind}, made in {time.time()-start:.0f} s', flush=True)
    found = {}
    for rows in dict.fromkeys((FEW, n//10, n)):
        part = whole if rows == n else home/f'{kind}-{rows}{end}'
        if rows < n: first_of(whole, part, rows)
        found[rows] = apart(part)
        seconds = ', '.join(f'{stage} {s:.1f} s' for stage, s in found[rows]['seconds'].items())
        print(f"  {rows:9,} rows: {found[rows]['mb']:4.0f} MB, the process that reads {found[rows]['reader_mb']:,.0f} MB; {seconds}", flush=True)
    wrong = [f"{kind}: {rows:,} rows take {f['mb']:.0f} MB, {FEW:,} take {found[FEW]['mb']:.0f} MB: at most {GROWTH} MB more"
             for rows, f in found.items() if f['mb'] > found[FEW]['mb']+GROWTH]
    for stage, small in found[n//10]['seconds'].items():
        large = found[n]['seconds'][stage]
        if large > TIMES*max(small, SHORT): wrong.append(f'{kind}: {stage} takes {large/small:.1f} times as long with ten times the rows, at most {TIMES}')
    return wrong

def main(texts=1_000_000, images=200_000):
    with tempfile.TemporaryDirectory() as home:
        wrong = [w for kind, n in (('texts', texts), ('images', images)) if n for w in load(kind, n, Path(home))]
    print(*wrong or ['nothing grows faster than the data'], sep='\n')
    return bool(wrong)

if __name__ == '__main__':
    sys.path.insert(0, str(HERE))
    if sys.argv[1:2] == ['--measure']: measure(sys.argv[2])
    else: sys.exit(main(*map(int, sys.argv[1:])))

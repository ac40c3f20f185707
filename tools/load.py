"""Much data: `python tools/load.py [TEXTS] [IMAGES]` (part of `make torture`; by default 1,000,000 texts and 100,000 images).

Texts in a TSV file and drawn leaves in a folder are read, prepared, trained on for a few steps, and asked about; a tenth of them first and then all, each in a process of its own. With ten times the rows no stage may take more than 13 times as long, and memory may grow by so many bytes a row and no more: otherwise some step is quadratic, or something is kept that needn't be.
"""
import json, os, resource, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ENV = {**os.environ, 'HF_HUB_OFFLINE': '1', 'HF_DATASETS_OFFLINE': '1', 'OMP_NUM_THREADS': '1', 'TOKENIZERS_PARALLELISM': 'false', 'PYTHONPATH': str(HERE), 'PYTHONWARNINGS': 'ignore'}
TIMES, SHORT = 13, .3                       # ten times the rows may take so many times as long; what is over sooner than SHORT seconds is not compared
BYTES = dict(texts=3000, images=9000)       # that a row may cost at the peak
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

def a_tenth(whole, part, n):
    "The first tenth, beside the whole"
    if whole.is_file():
        with open(whole, encoding='utf-8') as f, open(part, 'w', encoding='utf-8') as g: g.writelines(l for l, _ in zip(f, range(n//10+1)))
        return
    for f in whole.rglob('*.png'):
        if int(f.stem) < n//10:
            (part/f.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(f, part/f.parent.name/f.name)

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform == 'darwin' else 2**10)

def measure(source):
    "Seconds of each stage and megabytes beyond the imports, as JSON; runs in a process of its own"
    from hkd.batches import prepare
    from hkd.data import load_task
    from hkd.stages import demo_model
    from hkd.training import finetune, predict
    before, seconds = peak(), {}
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
    print(json.dumps(dict(rows=sum(map(len, task.splits.values())), seconds=seconds, mb=peak()-before)))

def apart(source):
    "What `measure` says of a file or folder"
    r = subprocess.run([sys.executable, __file__, '--measure', str(source)], env=ENV, capture_output=True, text=True)
    if r.returncode: sys.exit(f'{source.name}: {r.stderr.strip() or r.returncode}')
    return json.loads(r.stdout.strip().splitlines()[-1])

def load(kind, n, home):
    "Measure one kind at both sizes; what is wrong, as a list"
    whole, part = home/(f'{kind}.tsv' if kind == 'texts' else kind), home/(f'few-{kind}.tsv' if kind == 'texts' else f'few-{kind}')
    start = time.time()
    (write_texts if kind == 'texts' else write_images)(whole, n)
    a_tenth(whole, part, n)
    print(f'{n:,} {kind}, made in {time.time()-start:.0f} s', flush=True)
    few, all_ = apart(part), apart(whole)
    wrong = []
    for stage, small in few['seconds'].items():
        large = all_['seconds'][stage]
        print(f"  {stage:8} {small:8.2f} s  {large:8.2f} s  {large/small:5.1f} times", flush=True)
        if large > TIMES*max(small, SHORT): wrong.append(f'{kind}: {stage} takes {large/small:.1f} times as long with ten times the rows, at most {TIMES}')
    each = (all_['mb']-few['mb'])*2**20/(all_['rows']-few['rows'])
    print(f"  memory   {few['mb']:8.0f} MB {all_['mb']:8.0f} MB {each:6,.0f} bytes a row", flush=True)
    if each > BYTES[kind]: wrong.append(f'{kind}: a row costs {each:,.0f} bytes of memory, at most {BYTES[kind]:,}')
    return wrong

def main(texts=1_000_000, images=100_000):
    with tempfile.TemporaryDirectory() as home:
        wrong = [w for kind, n in (('texts', texts), ('images', images)) if n for w in load(kind, n, Path(home))]
    print(*wrong or ['nothing grows faster than the data'], sep='\n')
    return bool(wrong)

if __name__ == '__main__':
    sys.path.insert(0, str(HERE))
    if sys.argv[1:2] == ['--measure']: measure(sys.argv[2])
    else: sys.exit(main(*map(int, sys.argv[1:])))

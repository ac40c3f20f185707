"""Do the automatic epochs and learning rate come near the best of a small grid? `python benchmarks/tables.py`, into nbs/results/tables.json

Tables of 200 to 60,000 rows are drawn from three data sets. A teacher (MiniLM, six layers) is trained on 3,000 rows with
the defaults. A student of three of its layers is distilled from it on 200, 600 and 3,000 of these rows with the defaults,
with those of hkd before they were automatic, and at each point of the grid; on 60,000 rows it is trained on labels only,
to save time. The record has the data set's own metric on its own validation split: accuracy, for CoLA Matthews'
correlation (in percent), since 69 % of its sentences are of one class.
Every finished training is a line of runs/tables/done.jsonl, so a stopped benchmark resumes. What the record holds is not
trained again, on another machine either.
Data and models are found as hkd finds them (`$HKD_DATA`, `$HKD_MODELS`).
"""
import csv, json, os, statistics, sys, time, warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
WORK = HERE/'runs/tables'
OUT = HERE/'nbs/results/tables.json'
os.environ |= dict(HF_HUB_OFFLINE='1', TOKENIZERS_PARALLELISM='false')
os.environ.setdefault('HKD_CACHE', str(WORK/'cache'))
sys.path.insert(0, str(HERE))

MODEL, LAYERS, MAX_LENGTH = 'minilm-l6-h384-uncased', 3, 64
SIZES = dict(sst2=(200, 600, 3000, 60_000), go_emotions=(200, 600, 3000), cola=(200, 600, 3000))
SEEDS = {200: (0, 1, 2), 600: (0, 1), 3000: (0,), 60_000: (0,)}   # a small table needs several
GRID = ((1/3, 1), (1/3, 3), (1, 3))      # beside the default: times its epochs, times its learning rate
LARGE_GRID = ((1/3, 1), (1/3, 3))        # for 60,000 rows
BEFORE = dict(num_train_epochs=3, learning_rate=5e-5)
METRIC = dict(sst2='accuracy', go_emotions='accuracy', cola='matthews')
EMOTIONS = ('admiration', 'gratitude', 'anger', 'sadness', 'joy', 'curiosity', 'amusement', 'love')   # large classes of go_emotions

# The tables

def emotions(split):
    "The rows of go_emotions with one label, which is one of EMOTIONS"
    from hkd.files import data_dir
    folder = data_dir()/'go_emotions'
    names = (folder/'labels.txt').read_text().split()
    rows = csv.reader(open(folder/f"{dict(train='train', validation='dev')[split]}.tsv", encoding='utf-8'), delimiter='\t', quoting=csv.QUOTE_NONE)
    found = [(text, names[int(label)]) for text, label, _ in rows if label.isdigit()]
    return [r for r in found if r[1] in EMOTIONS]

def rows_of(data, split):
    "Texts with their labels, of a data set's own split"
    from hkd.files import data_dir
    from hkd.tables import read_table
    if data == 'go_emotions': return emotions(split)
    table = read_table(data_dir()/data/f'{split}.tsv')
    return list(zip(table['sentence'], table['label']))

def table_of(data, n):
    "A folder of two tables, as a user has them: n rows drawn from train, and the whole validation split"
    import numpy as np
    folder = WORK/f'{data}-{n}'
    if (folder/'validation.csv').is_file(): return folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(data, 'train')
    drawn = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:n]]
    for split, part in (('train', drawn), ('validation', rows_of(data, 'validation'))):
        with open(folder/f'{split}.csv', 'w', encoding='utf-8', newline='') as f: csv.writer(f).writerows([('text', 'label'), *part])
    return folder

# The trainings

def point(n_train, epochs, rate, model):
    "The default times something, as training arguments; a checkpoint is chosen as the default chooses it"
    from hkd.training import default_epochs, default_lr
    usual = default_epochs(n_train)
    last = dict(eval_strategy='no', save_strategy='no') if usual > 10 else {}
    return dict(num_train_epochs=max(1, round(usual*epochs)), learning_rate=rate*default_lr(model), **last)

def settings(data, n):
    "Name -> what makes training arguments of the number of training rows and the model"
    out = dict(default=lambda *_: {})
    if n <= 3000: out['before'] = lambda *_: BEFORE
    for e, r in LARGE_GRID if n > 3000 else GRID: out[f'{e:.2g} x epochs, {r} x lr'] = lambda k, m, e=e, r=r: point(k, e, r, m)
    return out

def say(text): print(time.strftime('%H:%M:%S'), text, file=sys.stderr, flush=True)

def task_of(data, n):
    "The task of n rows, with the data set's own metric"
    from hkd.data import load_task
    return load_task(table_of(data, n), metric=METRIC[data])

def teacher_of(data):
    "The teacher, trained on 3,000 rows with the defaults"
    from hkd.training import finetune
    return finetune(MODEL, task_of(data, 3000), WORK/f'teacher-{data}', max_length=MAX_LENGTH, seed=0, disable_tqdm=True)

def one(data, n, name, make, seed, task, teacher):
    "One student: its metrics on validation, its steps and its learning rate"
    from hkd.models import load_model, student_from_teacher
    from hkd.training import default_lr, distill, finetune
    student = student_from_teacher(load_model(MODEL, task, reset_head=True, seed=seed), LAYERS)
    given = make(len(task.splits['train']), student)
    rate = given.get('learning_rate') or default_lr(student)
    start = time.process_time()
    common = dict(max_length=MAX_LENGTH, seed=seed, disable_tqdm=True, **given)
    done = distill(student, teacher.model, task, **common) if teacher else finetune(student, task, **common)
    scores, metric = done.metrics['validation'], METRIC[data]
    return dict(data=data, rows=n, setting=name, seed=seed, **{m: scores[m] for m in dict.fromkeys(('accuracy', metric))},
                steps=done.steps, lr=rate, seconds=done.seconds, cpu_seconds=time.process_time()-start,
                teacher=teacher and teacher.metrics['validation'][metric], n=scores['n'])

def lines(file): return [json.loads(l) for l in file.read_text().splitlines()] if file.is_file() else []

def recorded_runs(): return json.loads(OUT.read_text())['runs'] if OUT.is_file() else []

def done():
    "The trainings of the record and of this folder, each once; with the record another machine can go on"
    recorded = [r for r in recorded_runs() if METRIC[r['data']] in r]
    key = lambda r: (r['data'], r['rows'], r['setting'], r['seed'])
    return list({key(r): r for r in [*recorded, *lines(WORK/'done.jsonl')]}.values())

def train_all(sizes, names):
    "Every training that isn't done yet, of some sizes and data sets, seed after seed"
    file = WORK/'done.jsonl'
    for seed, n, data in ((s, n, d) for s in range(3) for n in sizes for d in names if n in SIZES[d] and s in SEEDS[n]):
        have = {(r['data'], r['rows'], r['setting'], r['seed']) for r in done()}
        todo = {name: make for name, make in settings(data, n).items() if (data, n, name, seed) not in have}
        if not todo: continue
        task = task_of(data, n)
        teacher = teacher_of(data) if n <= 3000 else None
        for name, make in todo.items():
            row = one(data, n, name, make, seed, task, teacher)
            with open(file, 'a') as f: f.write(json.dumps(row)+'\n')
            say(f"{data}, {n:,} rows, {name}, seed {seed}: {METRIC[data]} {row[METRIC[data]]:.1f} after {row['steps']} steps at {row['lr']:.1e}, {row['seconds']:.0f} s")
    return done()

# The record

def summary(rows):
    "A line a table: the mean of each setting over its seeds, and how far the default is behind the best of the grid"
    out = []
    for data, n in dict.fromkeys((r['data'], r['rows']) for r in rows):
        mine = [r for r in rows if (r['data'], r['rows']) == (data, n)]
        of = {name: [r for r in mine if r['setting'] == name] for name in dict.fromkeys(r['setting'] for r in mine)}
        mean = {name: statistics.mean(r[METRIC[data]] for r in rs) for name, rs in of.items()}
        grid = {k: v for k, v in mean.items() if k != 'before'}
        best = max(grid, key=grid.get)
        out.append(dict(data=data, rows=n, validation=mine[0]['n'], seeds=len(of['default']), metric=METRIC[data],
                        teacher=mine[0]['teacher'], best=best, score=mean, behind=mean[best]-mean['default'],
                        steps={k: rs[0]['steps'] for k, rs in of.items()},
                        lr={k: rs[0]['lr'] for k, rs in of.items()}))
    return out

def main(words):
    """Without words everything, then the record. With `sst2 600` only these data sets and sizes and no record, so that several processes can
    share the work; with `record` the record of what is done"""
    sizes = [n for n in (200, 600, 3000, 60_000) if str(n) in words] or [200, 600, 3000, 60_000]
    names = [d for d in SIZES if d in words] or list(SIZES)
    from hkd.files import atomic_write
    from hkd.records import record
    warnings.simplefilter('ignore')
    WORK.mkdir(parents=True, exist_ok=True)
    if words and words != ['record']: return train_all(sizes, names)
    made = {k: record([], 'python benchmarks/tables.py').data[k] for k in ('command', 'commit', 'dirty', 'versions', 'hardware')}   # of the code as it starts
    rows = done() if words else train_all(sizes, names)
    config = dict(model=MODEL, layers=LAYERS, max_length=MAX_LENGTH, grid=GRID, large_grid=LARGE_GRID, before=BEFORE, emotions=EMOTIONS)
    atomic_write(OUT, json.dumps(made | dict(config=config, seconds=sum(r['seconds'] for r in rows), tables=summary(rows), runs=rows), indent=1)+'\n')

if __name__ == '__main__': main(sys.argv[1:])

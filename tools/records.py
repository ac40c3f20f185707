"""Makes the records of real runs in `nbs/results`: `make records`, or `python tools/records.py NAME...`.

Each runs what is missing in `runs/` by `hkd run recipes/RECIPE.toml`, the command that its record names. A few get more
than a recipe can say: trials on the tuning split only, ensembles, the predictions of each row (so that a page can show
errors without a model), and two small splits counted as one.
"""
import json, shutil, sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
RUNS, RESULTS, IMAGES = HERE/'runs', HERE/'nbs/results', HERE/'nbs/images'
RECORDS = {   # record: its recipe
    'sst2-minilm': 'sst2-minilm', 'sst2-mpnet': 'sst2-mpnet', 'sst2-mpnet-short': 'sst2-mpnet-short', 'beans-vit-tiny': 'beans-vit-tiny', 'bert': 'sst2-ladder', 'vit': 'beans-ladder',
    'bert-transfer': 'sst2-transfer', 'vit-224': 'beans-224', 'bert-teachers': 'sst2-teachers',
    'vit-224-deep': 'beans-224-deep', 'wnut17': 'wnut17', 'sts-embeddings': 'sts-embeddings'}
HYBRIDS = 'sst2-minilm', 'beans-vit-tiny', 'wnut17', 'sts-embeddings'   # as `hkd run` leaves them
PAIR = {'bert': ('teacher', 'kd3'), 'vit-224': ('teacher', 'kd3')}  # whose errors the pages compare
TOGETHER = {'bert': ('teacher', 'teacher-1', 'reader'), 'bert-teachers': ('teacher', 'teacher-high')}  # all their ensembles
# What was tried, on one seed: (what, the recipe, the stage that shows it, settings)
TRIED = dict(
    bert=[('3 layers: temperature 4, the teacher weighs .9', 'sst2-ladder', 'kd3', ('kd3.temperature=4', 'kd3.alpha=.9')),
          ('3 layers: the same and 60,000 perturbed training texts', 'sst2-ladder', 'kd3',
           ('kd3.temperature=4', 'kd3.alpha=.9', "kd3.transfer='perturbed'", 'kd3.max_transfer=60000', 'kd3.steps=1862')),
          ('4 layers: 100,000 unlabeled reviews, both teachers, T 2', 'sst2-ladder', 'kd4',
           ("kd4.teacher=['teacher','teacher-1']", 'kd4.temperature=2', 'kd4.alpha=.9',
            "kd4.transfer='imdb_unlabelled/sentences.txt.gz'", 'kd4.max_transfer=100000', 'kd4.steps=2490'))],
    vit=[('3 layers: 0, 6, 11 instead of 0, 1, 2', 'beans-ladder', 'kd3', ('start3.layers=[0,6,11]',)),
         ('3 layers: temperature 2, the labels weigh as much', 'beans-ladder', 'kd3', ('kd3.temperature=2', 'kd3.alpha=.5')),
         ('3 layers: 4 views instead of 16', 'beans-ladder', 'kd3', ('kd3.views=4',))])

def recipe(name):
    from hkd.recipe import read_recipe
    return read_recipe(HERE/'recipes'/f'{RECORDS.get(name, name)}.toml')


# What was tried

def take_over(r, base, where):
    "Stages that a trial doesn't touch are those of the ladder"
    from hkd.space import needed
    for s in r.stages:
        done, to = RUNS/base.name/s.name, where/s.name
        if done.is_dir() and not to.exists() and needed(r, s.name).stages == needed(base, s.name).stages: shutil.copytree(done, to)

def tried(name):
    "Accuracy and loss on tuning of each trial; validation and test are not looked at"
    from hkd.pipeline import run_jobs
    from hkd.data import load_task
    from hkd.jobs import plan
    from hkd.recipe import with_overrides
    from hkd.space import needed
    task, out = load_task(recipe(name).task, **recipe(name).data), []
    for i, (what, of, stage, settings) in enumerate(TRIED[name]):
        base = recipe(of)
        r = replace(needed(with_overrides(base, *settings), stage), name=f'{RECORDS[name]}-try', seeds=[0])
        where = RUNS/r.name/str(i)
        take_over(r, base, where)
        run_jobs(plan(r, where), task, print)
        m = json.loads((where/stage/'metrics.json').read_text())
        out.append(dict(what=what, stage=stage, settings=list(settings), steps=m['steps'], seconds=m['seconds'], tuning=m['metrics']['tuning']))
    return out

def on_tuning(r):
    "Accuracy on tuning of each trained stage, seed by seed"
    from hkd.jobs import plan
    out = {}
    for job in plan(r, RUNS/r.name):
        f = job.dir/'metrics.json'
        if f.is_file() and (m := json.loads(f.read_text())['metrics']): out.setdefault(job.name, []).append(m['tuning']['accuracy'])
    return out

def together(r, task, names):
    "Accuracy of all ensembles of these rows, on tuning and on the reported split"
    from itertools import combinations
    from hkd.multiagent import TeacherEnsemble
    out = []
    for group in (g for k in range(2, len(names)+1) for g in combinations(names, k)):
        e = TeacherEnsemble([RUNS/r.name/n for n in group])
        out.append(dict(teachers=list(group), **{s: e.evaluate(task, s)['accuracy'] for s in ('tuning', task.eval_split)}))
    return out


# What each row answers

def answers(r, task):
    "split -> row -> the class of each example as a digit, for the first seed; and the true ones"
    from hkd.jobs import plan
    from hkd.pipeline import eval_splits, judged
    from hkd.measure import load
    from hkd.teachers import predict_logits
    out = {s: dict(label=''.join(map(str, task.splits[s]['label']))) for s in eval_splits(task)}
    for row in judged(plan(r, RUNS/r.name), r.seeds[0]):
        model = load(row.job.dir, row.backend, task)
        for s, said in out.items(): said[row.name] = ''.join(map(str, predict_logits(model, task, s, max_length=row.job.max_length).argmax(-1)))
    return out

def sharpness(r, task, sides=(256, 224, 160, 112)):
    "Side in pixels -> accuracy of the teacher on validation and test together, of images downsampled to that side"
    from hkd.images import open_image
    from hkd.models import load_model
    from hkd.teachers import predict_logits
    teacher, rows = load_model(RUNS/r.name/'teacher', task), [row for s in ('validation', 'test') for row in task.splits[s]]
    labels = [row['label'] for row in rows]
    def downsampled(side):
        images = (open_image(row['image']) for row in rows)
        return [dict(id=i, image=image.resize((side, side)).resize(image.size)) for i, image in enumerate(images)]
    return {side: 100*float((predict_logits(teacher, task, downsampled(side)).argmax(-1) == labels).mean())
            for side in sides}

def differences(task, predictions, teacher, student):
    "Where the predictions of a student and its teacher differ, with the texts"
    split = task.eval_split
    pairs = zip(predictions[split][teacher], predictions[split][student])
    texts = task.columns if task.modality == 'text' else ()
    return [dict(at=i, **{column: task.splits[split][column][i] for column in texts})
            for i, (a, b) in enumerate(pairs) if a != b]

def draw(task, predictions, found, teacher, student, path):
    "The first images that only one of the two has right"
    from matplotlib import pyplot as plt
    from hkd.images import open_image
    split = task.eval_split
    predicted, true = predictions[split], predictions[split]['label']
    short = [label.replace('_leaf_spot', '').replace('bean_', '') for label in task.labels]
    groups = [[d['at'] for d in found if predicted[who][d['at']] == true[d['at']]][:3] for who in (teacher, student)]
    fig, axs = plt.subplots(2, 3, figsize=(7.2, 5.6), facecolor='white', layout='constrained')
    for ax in axs.flat: ax.axis('off')
    for row, ats in zip(axs, groups):
        for ax, i in zip(row, ats):
            right, by_teacher, by_student = (short[int(p[i])] for p in (true, predicted[teacher], predicted[student]))
            ax.imshow(open_image(task.splits[split]['image'][i]).resize((160, 160)))
            ax.set_title(f'{right}\nteacher: {by_teacher}; student: {by_student}', fontsize=9)
    fig.savefig(path, dpi=75, pil_kwargs=dict(quality=85))
    plt.close(fig)


# The record

SAME = ('parameters', 'nonzero_parameters', 'bytes_on_disk', 'latency_ms_p50', 'latency_ms_p95', 'backend', 'model',
        'source')

def pooled(rec, splits=('validation', 'test')):
    "Rows of two small splits as one: accuracies are those of all their examples"
    from hkd.records import row
    out = []
    for a in (r for r in rec.rows if r.split == splits[0]):
        b = rec[a.name, splits[1]]
        accuracies = [(x*a.n+y*b.n)/(a.n+b.n) for x, y in zip(a.accuracies, b.accuracies)]
        teacher = out[0] if out and a.method != 'teacher' else None   # the first row is the teacher
        conditions = {k: a[k] for k in ('device', 'threads', 'batch_size') if k in a}
        out.append(row(a.name, a.method, accuracies, a.seeds, a.n+b.n, a.task, '+'.join(splits), metrics=conditions,
                       teacher=teacher, **{k: a[k] for k in SAME}))
    return out

def main(name):
    "Run a record's recipe and write the record"
    from hkd.data import load_task
    from hkd.pipeline import run
    from hkd.records import save_results
    r = recipe(name)
    task = load_task(r.task, **r.data)
    rec = run(r, RUNS, command=f'hkd run recipes/{RECORDS[name]}.toml')
    if name not in HYBRIDS:
        rec.data['tuning'] = on_tuning(r)
        if r.task == 'beans': rec.data['rows'] += pooled(rec)
    if name == 'vit-224': rec.data['sharpness'] = sharpness(r, task)
    if name in PAIR:
        predictions = answers(r, task)
        found = differences(task, predictions, *PAIR[name])
        if r.task == 'beans': draw(task, predictions, found, *PAIR[name], IMAGES/'beans-mistakes.jpg')
        rec.data |= dict(answers=predictions, differences=found)
    if name in TRIED: rec.data['tried'] = tried(name)
    if name in TOGETHER: rec.data['together'] = together(r, task, TOGETHER[name])
    print(save_results(rec, RESULTS/f'{name}.json'))

if __name__ == '__main__':
    if unknown := set(sys.argv[1:])-set(RECORDS):
        sys.exit(f"no record {min(unknown)!r}; choose from {', '.join(RECORDS)}")
    for name in sys.argv[1:] or RECORDS: main(name)

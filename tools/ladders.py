"""The runs of the results pages: six, four and three layers of MiniLM on SST-2, what unlabeled reviews add, and another teacher; twelve to three layers of ViT-Tiny on Beans, and three and twelve that see larger images.

`make ladders` runs whatever is missing in `runs/` and writes the records in `nbs/results`: bert, bert-transfer, bert-teachers, vit, vit-224, vit-224-deep. Beside what `hkd run` measures, a ladder's record gets what was tried before its recipe was settled, and each row's answers, so that a page can count confusions and show mistakes without a model.
"""
import json, shutil, sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
RUNS, RESULTS, IMAGES = HERE/'runs', HERE/'nbs/results', HERE/'nbs/images'
LADDERS = {'bert': 'sst2-ladder', 'vit': 'beans-ladder', 'bert-transfer': 'sst2-transfer', 'vit-224': 'beans-224',
           'bert-teachers': 'sst2-teachers', 'vit-224-deep': 'beans-224-deep'}
PAIR = {'bert': ('teacher', 'kd3'), 'vit-224': ('teacher', 'kd3')}  # whose differences the pages show
TOGETHER = {'bert': ('teacher', 'teacher-1', 'reader'), 'bert-teachers': ('teacher', 'teacher-high')}  # heard as one, in all combinations
# What was tried, on one seed: (what, the recipe, the stage that shows it, settings)
TRIED = dict(
    bert=[('3 layers: temperature 4, the teacher weighs .9', 'sst2-ladder', 'kd3', ('kd3.T=4', 'kd3.alpha=.9')),
          ('3 layers: the same and 60,000 perturbed training texts', 'sst2-ladder', 'kd3', ('kd3.T=4', 'kd3.alpha=.9', "kd3.transfer='perturbed'", 'kd3.max_transfer=60000', 'kd3.steps=1862')),
          ('4 layers: 100,000 reviews heard from both teachers, T 2', 'sst2-ladder', 'kd4', ("kd4.teacher=['teacher','teacher-1']", 'kd4.T=2', 'kd4.alpha=.9', "kd4.transfer='imdb_unlabelled/sentences.txt.gz'", 'kd4.max_transfer=100000', 'kd4.steps=2490'))],
    vit=[('3 layers: 0, 6, 11 instead of 0, 1, 2', 'beans-ladder', 'kd3', ('start3.layers=[0,6,11]',)),
         ('3 layers: temperature 2, the labels weigh as much', 'beans-ladder', 'kd3', ('kd3.T=2', 'kd3.alpha=.5')),
         ('3 layers: 4 views instead of 16', 'beans-ladder', 'kd3', ('kd3.views=4',))])

def recipe(name):
    from hkd.recipe import read_recipe
    return read_recipe(HERE/'recipes'/f'{LADDERS.get(name, name)}.toml')


# What was tried

def only(r, name):
    "A recipe cut down to one stage and what it needs"
    from hkd.recipe import inputs
    needs, todo = set(), [name]
    while todo:
        if (n := todo.pop()) in r: needs.add(n); todo += inputs(r[n])
    return replace(r, stages=[s for s in r.stages if s.name in needs])

def take_over(r, base, where):
    "Stages that a trial doesn't touch are those of the ladder"
    for s in r.stages:
        done, to = RUNS/base.name/s.name, where/s.name
        if done.is_dir() and not to.exists() and only(r, s.name).stages == only(base, s.name).stages: shutil.copytree(done, to)

def tried(name):
    "Accuracy and loss on tuning of each trial; validation and test are not looked at"
    from hkd.pipeline import run_jobs
    from hkd.data import load_task
    from hkd.jobs import plan
    from hkd.recipe import with_overrides
    task, out = load_task(recipe(name).task, **recipe(name).data), []
    for i, (what, of, stage, settings) in enumerate(TRIED[name]):
        base = recipe(of)
        r = replace(only(with_overrides(base, *settings), stage), name=f'{LADDERS[name]}-try', seeds=[0])
        where = RUNS/r.name/str(i)
        take_over(r, base, where)
        run_jobs(plan(r, where), task, print)
        m = json.loads((where/stage/'metrics.json').read_text())
        out.append(dict(what=what, stage=stage, settings=list(settings), steps=m['steps'], seconds=m['seconds'], tuning=m['metrics']['tuning']))
    return out

def on_select(r):
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
    "Side in pixels -> accuracy of the teacher on validation and test together, of images that were shrunk to that side before it saw them"
    from hkd.images import open_image
    from hkd.models import load_model
    from hkd.teachers import predict_logits
    teacher, rows = load_model(RUNS/r.name/'teacher', task), [row for s in ('validation', 'test') for row in task.splits[s]]
    shrunk = lambda side: [dict(id=i, image=(im := open_image(row['image'])).resize((side, side)).resize(im.size)) for i, row in enumerate(rows)]
    return {side: 100*float((predict_logits(teacher, task, shrunk(side)).argmax(-1) == [row['label'] for row in rows]).mean()) for side in sides}

def differences(task, said, teacher, student):
    "Where a student and its teacher differ, with the texts"
    s = task.eval_split
    at = [i for i, (a, b) in enumerate(zip(said[s][teacher], said[s][student])) if a != b]
    texts = task.columns if task.modality == 'text' else ()
    return [dict(at=i, **{c: task.splits[s][c][i] for c in texts}) for i in at]

def draw(task, said, found, teacher, student, path):
    "The first images that only one of the two has right"
    from matplotlib import pyplot as plt
    from hkd.images import open_image
    s = task.eval_split
    true, short = said[s]['label'], [l.replace('_leaf_spot', '').replace('bean_', '') for l in task.labels]
    groups = [[d['at'] for d in found if said[s][who][d['at']] == true[d['at']]][:3] for who in (teacher, student)]
    fig, axs = plt.subplots(2, 3, figsize=(7.2, 5.6), facecolor='white', layout='constrained')
    for ax in axs.flat: ax.axis('off')
    for row, ats in zip(axs, groups):
        for ax, i in zip(row, ats):
            ax.imshow(open_image(task.splits[s]['image'][i]).resize((160, 160)))
            ax.set_title(f"{short[int(true[i])]}\nteacher: {short[int(said[s][teacher][i])]}; student: {short[int(said[s][student][i])]}", fontsize=9)
    fig.savefig(path, dpi=75, pil_kwargs=dict(quality=85))
    plt.close(fig)


# The record

def pooled(rec, splits=('validation', 'test')):
    "Rows of two small splits as one: accuracies are those of all their examples"
    from hkd.records import row
    out, teacher = [], {}
    for a in [r for r in rec.rows if r.split == splits[0]]:
        b = rec[a.name, splits[1]]
        accs = [(x*a.n+y*b.n)/(a.n+b.n) for x, y in zip(a.accuracies, b.accuracies)]
        kept = {k: a[k] for k in ('parameters', 'nonzero_parameters', 'bytes_on_disk', 'latency_ms_p50', 'latency_ms_p95', 'backend', 'model', 'source')}
        same = {k: a[k] for k in ('device', 'threads', 'batch_size') if k in a}
        q = row(a.name, a.method, accs, a.seeds, a.n+b.n, a.task, '+'.join(splits), metrics=same, **kept)
        first = teacher.setdefault('first', q)
        out.append(q if q.method == 'teacher' else row(a.name, a.method, accs, a.seeds, a.n+b.n, a.task, '+'.join(splits), metrics=same, teacher=first, **kept))
    return out

def main(name):
    from hkd.data import load_task
    from hkd.pipeline import run
    from hkd.records import save_results
    r = recipe(name)
    task = load_task(r.task, **r.data)
    rec = run(r, RUNS, command=f'hkd run recipes/{LADDERS[name]}.toml')
    rec.data['tuning'] = on_select(r)
    if r.task == 'beans': rec.data['rows'] += pooled(rec)
    if name == 'vit-224': rec.data['sharpness'] = sharpness(r, task)
    if name in PAIR:
        said = answers(r, task)
        found = differences(task, said, *PAIR[name])
        if r.task == 'beans': draw(task, said, found, *PAIR[name], IMAGES/'beans-mistakes.jpg')
        rec.data |= dict(answers=said, differences=found)
    if name in TRIED: rec.data['tried'] = tried(name)
    if name in TOGETHER: rec.data['together'] = together(r, task, TOGETHER[name])
    print(save_results(rec, RESULTS/f'{name}.json'))

if __name__ == '__main__':
    for name in sys.argv[1:] or LADDERS: main(name)

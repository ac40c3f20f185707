"""The ladder that nbs/results/bert.json will hold: on SST-2 six, four and three layers of MiniLM.

`make ladders` runs whatever is missing in `runs/` and writes the record. Beside what `hkd run` measures, a record gets what was tried before its recipe was settled, and each row's answers, so that a page can count confusions and show mistakes without a model.
"""
import json, sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
RUNS, RESULTS = HERE/'runs', HERE/'nbs/results'
LADDERS = dict(bert='sst2-ladder')
PAIR = dict(bert=('teacher', 'kd3'))  # whose differences the pages show
# What was tried, on one seed: (what, the stage that shows it, settings of the recipe)
TRIED = dict(
    bert=[('layers 0, 1, 2 instead of 0, 2, 5, one epoch', 'alone3', ('start3.layers=[0,1,2]', 'alone3.epochs=1')),
          ('layers 0, 2, 5, one epoch', 'alone3', ('alone3.epochs=1',)),
          ('temperature 4, teacher weighs .9', 'kd3', ('kd3.T=4', 'kd3.alpha=.9')),
          ('the same and 60,000 perturbed training texts, as many steps', 'kd3', ('kd3.T=4', 'kd3.alpha=.9', "kd3.transfer='perturbed'", 'kd3.transfer_most=60000', 'kd3.steps=1862'))])

def recipe(name):
    from hkd.recipe import read_recipe
    return read_recipe(HERE/'recipes'/f'{LADDERS[name]}.toml')


# What was tried

def only(r, name):
    "A recipe cut down to one stage and what it needs"
    from hkd.recipe import _named
    needs, todo = set(), [name]
    while todo:
        if (n := todo.pop()) in r: needs.add(n); todo += _named(r[n])
    return replace(r, stages=[s for s in r.stages if s.name in needs])

def tried(name):
    "Accuracy and loss on select of each trial; validation and test are not looked at"
    from hkd.pipeline import _train
    from hkd.data import load_task
    from hkd.recipe import changed, folder
    task, out = load_task(recipe(name).task), []
    for i, (what, stage, settings) in enumerate(TRIED[name]):
        r = replace(only(changed(recipe(name), *settings), stage), name=f'{LADDERS[name]}-try', seeds=[0])
        _train(r, task, RUNS/r.name/str(i), print)
        m = json.loads((RUNS/r.name/str(i)/folder(r[stage], 0)/'metrics.json').read_text())
        out.append(dict(what=what, stage=stage, settings=list(settings), steps=m['steps'], seconds=m['seconds'], select=m['metrics']['select']))
    return out


# What each row answers

def answers(r, task):
    "split -> row -> the class of each example as a digit, for the first seed; and the true ones"
    from hkd.pipeline import _judged, _max_length, _splits
    from hkd.report import load_any
    from hkd.training import predict_logits
    out = {s: dict(label=''.join(map(str, task.splits[s]['label']))) for s in _splits(task)}
    for j in _judged(r, RUNS/r.name, r.seeds[0]):
        model = load_any(j.where, j.engine, task)
        for s, said in out.items(): said[j.name] = ''.join(map(str, predict_logits(model, task, s, max_length=_max_length(r, j.stage)).argmax(-1)))
    return out

def differences(r, task, said, teacher, student):
    "The texts on which a student and its teacher differ"
    s = task.report_split
    at = [i for i, (a, b) in enumerate(zip(said[s][teacher], said[s][student])) if a != b]
    return [dict(at=i, **{c: task.splits[s][c][i] for c in task.columns}) for i in at] if task.modality == 'text' else []

def main(name):
    from hkd.data import load_task
    from hkd.pipeline import run
    from hkd.report import save_results
    r = recipe(name)
    task = load_task(r.task, **r.data)
    rec = run(r, RUNS, command=f'hkd run recipes/{LADDERS[name]}.toml')
    said = answers(r, task)
    rec.data |= dict(tried=tried(name), answers=said, differences=differences(r, task, said, *PAIR[name]))
    print(save_results(rec, RESULTS/f'{name}.json'))

if __name__ == '__main__':
    for name in sys.argv[1:] or LADDERS: main(name)

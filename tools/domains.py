"""Does a teacher help in another domain? `python tools/domains.py [--seeds 3] [--steps 931]`, after `hkd run recipes/sst2-mpnet.toml`, into nbs/results/domains.json.

The teacher knows film reviews (SST-2). Students that start alike learn its predictions on SST-2's phrases and on nothing else, on 40,000 sentences of reviews, or on 40,000 comments of Reddit (GoEmotions) without their labels; one has no teacher. All take as many steps. They are tested on SST-2's validation split and on comments of GoEmotions' other splits whose emotions are all positive or all negative (the groups of Demszky et al. 2020, arXiv:2005.00547). Students that are done are found again.
"""
import argparse, time
from pathlib import Path
from links import ROOT
import pandas as pd
from hkd.data import load_task
from hkd.files import data_dir
from hkd.models import load_model
from hkd.records import record, row, save_results
from hkd.scores import is_right, labels_of
from hkd.stats import mcnemar
from hkd.teachers import predict_logits
from hkd.training import distill, finetune

POSITIVE = 'admiration amusement approval caring desire excitement gratitude joy love optimism pride relief'.split()
NEGATIVE = 'anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness'.split()
MOST = 40_000

def comments(split, names):
    "The comments of a split of GoEmotions, and which are positive, negative, or neither"
    table = pd.read_csv(data_dir()/'go_emotions'/f'{split}.tsv', sep='\t', header=None, quoting=3, names=['sentence', 'labels', 'id'])
    groups = [{names[int(i)] for i in str(labels).split(',')} for labels in table.labels]
    table['label'] = ['positive' if g <= {*POSITIVE} else 'negative' if g <= {*NEGATIVE} else '' for g in groups]
    return table[['sentence', 'label']]

def other_domain(task, names):
    "Comments with a clear sentiment as a task with SST-2's labels"
    test = pd.concat([comments('dev', names), comments('test', names)]).query("label != ''").drop_duplicates('sentence')
    test['label'] = (test.label == 'positive').astype(int)
    few = task.splits['train'].select(range(2000)).to_pandas()[['sentence', 'label']]   # a task has a train split; it is not used
    return load_task(dict(train=few, test=test), labels=task.labels)

def main(seeds, steps, run):
    start, task, folder = time.time(), load_task('sst2'), ROOT/'runs/domains'
    names = (data_dir()/'go_emotions/labels.txt').read_text().split()
    tasks = {'reviews': (task, 'validation'), 'comments': (other_domain(task, names), 'test')}
    transfer = {'no teacher': None, 'phrases': {}, 'phrases and reviews': dict(transfer='imdb_unlabelled/sentences.txt.gz'),
                'phrases and comments': dict(transfer=comments('train', names).sentence.tolist())}
    how = dict(steps=steps, lr=1.2e-4, batch_size=64, eval_strategy='no', save_strategy='steps', save_steps=steps)
    models, right = {('teacher', 0): load_model(run/'teacher', task)}, {}
    for name, kd in transfer.items():
        for seed in range(seeds):
            place = folder/f'{name}-{seed}'.replace(' ', '-')
            student = load_model(run/'start6', task)
            if kd is None: done = finetune(student, task, output_dir=place, seed=seed, **how)
            else: done = distill(student, run/'teacher', task, output_dir=place, seed=seed, alpha=.9, temperature=1, bf16=True, **how,
                                 **kd | (dict(max_transfer=MOST) if kd else {}))
            models[name, seed] = done.model
            print(name, seed, done.metrics['validation'], flush=True)
    rows = []
    for where, (t, split) in tasks.items():
        for name in ('teacher', *transfer):
            of = [seed for n, seed in models if n == name]
            for seed in of: right[where, name, seed] = is_right(t, predict_logits(models[name, seed], t, split), labels_of(t, split))
            found = [100*float(right[where, name, seed].mean()) for seed in of]
            rows.append(row(name, 'teacher' if name == 'teacher' else 'baseline' if name == 'no teacher' else 'kd', found, of, len(t.splits[split]), where, split))
            print(f'{where:10}{name:24}{sum(found)/len(found):.2f}')
    pairs = [('phrases and comments', 'phrases and reviews'), ('phrases and comments', 'phrases'), ('phrases and reviews', 'phrases')]
    tests = [dict(name=a, than=b, task=where, seed=seed, p=mcnemar(right[where, a, seed], right[where, b, seed]).p) for where in tasks for a, b in pairs for seed in range(seeds)]
    config = dict(seeds=seeds, steps=steps, most=MOST, **{k: v for k, v in how.items() if k in ('lr', 'batch_size')})
    rec = record(rows, ['python', 'tools/domains.py'], config, time.time()-start)
    rec.data['comparisons'] = tests
    save_results(rec, ROOT/'nbs/results/domains.json')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--steps', type=int, default=931)
    p.add_argument('--run', type=Path, default=ROOT/'runs/sst2-mpnet')
    main(**vars(p.parse_args()))

"""Do words teach pictures? `python tools/words.py` writes nbs/results/words.json, in about two hours of one core; `--quick` takes two steps each.

Three layers of ViT-Tiny learn PlantVillage's 15 classes from 10, 50 or 150 photos each, with right labels or with half
of them wrong, under targets that a text encoder (MPNet) makes of descriptions, and under controls of equal entropy.
Every student has the same start, photos, views and steps. What is done is kept in runs/words and found again.
"""
import json, sys, time, tomllib
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
RUNS, RESULT, CLASSES = HERE/'runs/words', HERE/'nbs/results/words.json', HERE/'tools/plantvillage-classes.toml'
ENCODER, MODEL, LAYERS = 'all-mpnet-base-v2', 'vit-tiny-p16-112', [0, 1, 2]
STEPS = {10: 120, 50: 240, 150: 360}   # by photos of a class
SEEDS, WRONG = (0, 1, 2), (0., .5)
TRAINING = dict(learning_rate=5e-4, per_device_train_batch_size=32, views=8, eval_strategy='no', save_strategy='no')
# arm: the control and how it teaches; None: labels only
SOFT, ANCHOR = dict(alpha=1., temperature=1.), dict(alpha=0., intermediate='anchor', beta=.5)
ARMS = dict(labels=None, smooth=(dict(smooth=True), SOFT), words=({}, SOFT), exchanged=(dict(shuffle=0), SOFT),
            anchor=({}, ANCHOR), exchanged_anchor=(dict(shuffle=0), ANCHOR))
HELD_OUT = ['bell_pepper_bacterial_spot', 'potato_late_blight', 'tomato_mosaic_virus', 'tomato_septoria_leaf_spot']

def few(task, n, wrong, seed, without=()):
    "The task with n photos of each class to learn from, a share of them with a wrong label"
    rng, train = np.random.default_rng([seed, n]), task.splits['train']
    y = np.array(train['label'])
    left_out = [task.labels.index(name) for name in without]
    rows = [rng.permutation(np.flatnonzero(y == c))[:n] for c in range(len(task.labels)) if c not in left_out]
    rows = np.sort(np.concatenate(rows))
    given = y[rows].copy()
    spoiled = rng.permutation(len(rows))[:round(wrong*len(rows))]
    given[spoiled] = (given[spoiled]+rng.integers(1, len(task.labels), len(spoiled))) % len(task.labels)
    part = train.select(rows).remove_columns('label').add_column('label', given.tolist(), feature=train.features['label'])
    return replace(task, splits={**task.splits, 'train': part})

def trained(task, teachers, arm, n, seed, **kw):
    "A student of one arm"
    from hkd.models import load_model, student_from_teacher
    from hkd.training import distill, finetune
    model = student_from_teacher(load_model(MODEL, task, reset_head=True, seed=seed), LAYERS)
    args = dict(TRAINING, max_steps=STEPS[n], seed=seed, **kw)
    if ARMS[arm] is None: return finetune(model, task, **args).model
    return distill(model, teachers[arm], task, **ARMS[arm][1], **args).model

def states(model, task, split):
    "What the head reads of each image"
    from hkd.batches import Collator, prepare
    import torch
    kept, read = [], prepare(task, split, model.processor)
    hook = model.classifier.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with torch.no_grad():
        for i in range(0, len(read), 64):
            batch = Collator(model.processor)([read[j] for j in range(i, min(i+64, len(read)))])
            model(pixel_values=batch['pixel_values'])
    hook.remove()
    return torch.cat(kept).numpy()

def named_unseen(model, task, learned, vectors):
    "Percent of photos of classes it never saw that are nearest to their own text, among the four texts"
    from sklearn.linear_model import Ridge
    y = np.array(learned.splits['train']['label'])
    to_text = Ridge(alpha=10.).fit(states(model, learned, 'train'), vectors[y])
    held = [task.labels.index(name) for name in HELD_OUT]
    test = np.array(task.splits['test']['label'])
    mine = np.isin(test, held)
    told = to_text.predict(states(model, task, 'test')[mine])
    unit = lambda v: v/np.linalg.norm(v, axis=1, keepdims=True)
    nearest = (unit(told-vectors[y].mean(0)) @ unit(vectors[held]-vectors[y].mean(0)).T).argmax(1)
    return 100*float((np.array(held)[nearest] == test[mine]).mean())

def kept(name, make):
    "A result by name, made once"
    file = RUNS/f'{name}.json'
    if file.is_file(): return json.loads(file.read_text())
    start = time.time()
    found = make()
    RUNS.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    print(f'{name}: {time.time()-start:.0f} s', flush=True)
    return found

def predictions(task, teachers, n, wrong, seed):
    "Arm -> predicted class of each test photo"
    from hkd.teachers import predict_logits
    part = few(task, n, wrong, seed)
    def of(arm):
        model = trained(part, teachers, arm, n, seed)
        return dict(test=predict_logits(model, task, 'test').argmax(1).tolist())
    return {arm: kept(f'{arm}-{n}-{round(100*wrong)}-{seed}', lambda: of(arm))['test'] for arm in ARMS}

def summary(task, found):
    "Accuracy and the share of errors within the plant, seed by seed"
    y = np.array(task.splits['test']['label'])
    plant = np.array([name.split('_')[0] for name in task.labels])
    def of(p):
        p = np.array(p)
        bad = p != y
        return dict(accuracy=100*float((~bad).mean()), same_plant=100*float((plant[p[bad]] == plant[y[bad]]).mean()))
    return {arm: [of(each[arm]) for each in found] for arm in ARMS}

def main(quick=False):
    from hkd.data import load_task
    from hkd.embeddings import embed, load_encoder, text_teacher
    from hkd.files import atomic_write, data_dir
    from hkd.records import record
    global STEPS, RUNS
    start, sizes, seeds, wrong = time.time(), list(STEPS), SEEDS, WRONG
    if quick: sizes, seeds, wrong, STEPS, RUNS = [10], (0,), (0.,), {10: 2}, RUNS.with_name('words-quick')   # apart from real results
    made = {k: record([], 'python tools/words.py').data[k] for k in ('command', 'commit', 'dirty', 'versions', 'hardware')}
    task, said, encoder = load_task(data_dir()/'plantvillage'), tomllib.loads(CLASSES.read_text()), load_encoder(ENCODER)
    read = cache(lambda texts: embed(encoder, list(texts)))
    def teachers_of(seed):
        "A teacher for each arm; another seed exchanges the classes in another way"
        controls = {arm: dict(how[0], **({'shuffle': seed} if 'shuffle' in how[0] else {})) for arm, how in ARMS.items() if how}
        return {arm: text_teacher(lambda texts: read(tuple(texts)), said, **control) for arm, control in controls.items()}
    table, teachers = {}, teachers_of(0)
    for n, share in product(sizes, wrong):
        found = [predictions(task, teachers_of(seed), n, share, seed) for seed in seeds]
        table[f'{n}-{round(100*share)}'] = summary(task, found)
    vectors = teachers['words'].for_task(task)[1]
    drawn = {'words': vectors, 'random': np.random.default_rng(0).normal(size=vectors.shape)}
    unseen = {arm: [] for arm in ('labels', 'words', 'random')}
    n = sizes[-1]
    for seed in seeds:
        learned = few(task, n, 0., seed, HELD_OUT)
        for arm in ('labels', 'words'):
            def of():
                model = trained(learned, teachers, arm, n, seed)
                return {k: named_unseen(model, task, learned, v) for k, v in drawn.items()}
            told = kept(f'unseen-{arm}-{n}-{seed}', of)
            unseen[arm].append(told['words'])
            if arm == 'words': unseen['random'].append(told['random'])
    out = dict(made, seconds=time.time()-start, config=dict(steps=STEPS, seeds=list(seeds), training=TRAINING, layers=LAYERS, model=MODEL, encoder=ENCODER,
               arms={arm: how and [*how] for arm, how in ARMS.items()}, held_out=HELD_OUT), n=len(task.splits['test']),
               labels=task.labels, targets=teachers['words'].for_task(task)[0].tolist(), table=table, unseen=unseen)
    if quick: return print(json.dumps(dict(table=table, unseen=unseen), indent=1))
    print(atomic_write(RESULT, json.dumps(out, indent=1)+'\n'))

if __name__ == '__main__': main('--quick' in sys.argv[1:])

"""The real runs of the spine: does a teacher help a 3-layer student on SST-2, and is MobileNetV2 a teacher on Beans?

`make spine` runs whatever is missing in `runs/spine/` and writes `nbs/results/spine.json`. `tools/spine.py NAME...` runs single ones, so that two processes can share the work.
Learning rates are chosen on `tuning`, the same number of trials with and without a teacher; validation and test only report.
"""
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
RUNS, RECORD = HERE/'runs/spine', HERE/'nbs/results/spine.json'
TEACHER, LAYERS, SEEDS = 'minilm-l6-h384-uncased', [0, 2, 5], (0, 1, 2)
TEACHERS = ((3e-5, 3), (5e-5, 3), (8e-5, 3), (3e-5, 2), (5e-5, 2))  # learning rate, epochs
LRS, BATCH, EPOCHS = (6e-5, 1.2e-4), 64, 3                          # of the students
KD = dict(alpha=.9, temperature=4.)


@cache
def sst2():
    from hkd.data import load_task
    return load_task('sst2')

@cache
def sst2_teacher(lr, epochs):
    "MiniLM-L6 fine-tuned on SST-2"
    from hkd.training import finetune
    return finetune(TEACHER, sst2(), RUNS/f'teacher-{lr:g}-{epochs}', learning_rate=lr, num_train_epochs=epochs, seed=0)

def best(trials): return max(trials, key=lambda t: t.metrics['tuning']['accuracy'])  # the first of equals

@cache
def teacher(): return best([sst2_teacher(*t) for t in TEACHERS])

@cache
def student(kind, lr, seed):
    "Three layers of the pretrained MiniLM, fine-tuned with the teacher or without"
    from hkd.models import load_model, student_from_teacher
    from hkd.training import distill, finetune
    args = dict(output_dir=RUNS/f'{kind}-{lr:g}-seed{seed}', learning_rate=lr, per_device_train_batch_size=BATCH, num_train_epochs=EPOCHS, seed=seed)
    s = student_from_teacher(load_model(TEACHER, sst2(), seed=seed), LAYERS)
    return distill(s, teacher().model, sst2(), **KD, **args) if kind == 'kd' else finetune(s, sst2(), **args)

@cache
def best_lr(kind): return max(LRS, key=lambda lr: student(kind, lr, SEEDS[0]).metrics['tuning']['accuracy'])

@cache
def beans(seed=0):
    "MobileNetV2 fine-tuned on Beans"
    from hkd.training import finetune
    return finetune('mobilenet_v2_1.0_224', 'beans', RUNS/'beans', learning_rate=5e-4, num_train_epochs=5, seed=seed)


JOBS = {**{f'teacher-{t[0]:g}-{t[1]}': lambda t=t: sst2_teacher(*t) for t in TEACHERS},
        **{f'{k}-{lr:g}-seed{SEEDS[0]}': lambda k=k, lr=lr: student(k, lr, SEEDS[0]) for lr in LRS for k in ('baseline', 'kd')},
        **{f'{k}-seed{s}': lambda k=k, s=s: student(k, best_lr(k), s) for s in SEEDS[1:] for k in ('baseline', 'kd')},
        'beans': beans}


# What is written down

def size(folder): return sum(f.stat().st_size for f in Path(folder).iterdir() if f.name != 'metrics.json')

def rows(name, method, runs, task, splits, source=None, teachers=None):
    "One row a split for runs that differ by the seed"
    from hkd.models import content_hash, count_parameters
    from hkd.records import row
    n = count_parameters(runs[0].model)['total']
    return [row(name, method, [r.metrics[s]['accuracy'] for r in runs], list(SEEDS[:len(runs)]), runs[0].metrics[s]['n'], task, s, source=source, teacher=(teachers or {}).get(s),
                parameters=n, nonzero_parameters=sum(int(p.count_nonzero()) for p in runs[0].model.parameters()), bytes_on_disk=size(runs[0].output_dir), model=content_hash(runs[0].model)[:16]) for s in splits]

def right(run, task, split):
    "Which examples a model has right"
    import numpy as np
    from hkd.teachers import predict_logits
    return predict_logits(run.model, task, split).argmax(-1) == np.asarray(task.splits[split]['label'])

def comparison(kd, no_kd, task, split='validation'):
    "KD minus its control: paired over seeds, and McNemar's test seed by seed"
    from hkd.stats import mcnemar, paired
    p = paired([r.metrics[split]['accuracy'] for r in kd], [r.metrics[split]['accuracy'] for r in no_kd])
    tests = [mcnemar(right(b, task, split), right(a, task, split)) for a, b in zip(kd, no_kd)]
    return dict(split=split, mean=p.mean, sd=p.sd, interval=p.interval, mcnemar=[dict(seed=s, only_kd=t.b01, only_no_kd=t.b10, p=t.p) for s, t in zip(SEEDS, tests)])

def what_it_adds(task, teacher):
    "How much more than the labels the teacher's answers say on train: the less, the less KD can give"
    import numpy as np
    from hkd.teachers import teacher_logits
    out = {}
    for split in ('train', 'tuning'):
        z, y = np.asarray(teacher_logits(teacher.model, task, split), dtype=np.float64), np.asarray(task.splits[split]['label'])
        p = np.exp(z-z.max(-1, keepdims=True)); p /= p.sum(-1, keepdims=True)
        out[split] = dict(accuracy=100*float((z.argmax(-1) == y).mean()), certain=100*float((p.max(-1) > .99).mean()), n=len(y))
    return out

def write():
    "Everything into nbs/results/spine.json"
    from hkd.records import record, save_results
    from hkd.report import table
    t = teacher()
    runs = {k: [student(k, best_lr(k), s) for s in SEEDS] for k in ('baseline', 'kd')}
    at = ('validation', 'tuning')
    teachers = rows('MiniLM-L6', 'teacher', [t], 'sst2', at)
    by_split = dict(zip(at, teachers))
    out = teachers + rows('3 layers, no KD', 'baseline', runs['baseline'], 'sst2', at, 'MiniLM-L6', by_split) + rows('3 layers, KD', 'kd', runs['kd'], 'sst2', at, 'MiniLM-L6', by_split)
    leaf = beans()
    out += rows('MobileNetV2', 'teacher', [leaf], 'beans', ('test', 'validation', 'tuning'))
    trials = {**{f'teacher, lr {t[0]:g}, {t[1]} epochs': sst2_teacher(*t) for t in TEACHERS}, **{f'{k}, lr {lr:g}': student(k, lr, SEEDS[0]) for k in runs for lr in LRS}}
    done = [*trials.values(), *runs['baseline'][1:], *runs['kd'][1:], leaf]
    config = dict(teacher=TEACHER, layers=LAYERS, epochs=EPOCHS, kd=KD, teachers=TEACHERS, learning_rates=LRS, batch_size=BATCH, chosen={k: best_lr(k) for k in runs})
    r = record(out, 'make spine', config, sum(d.seconds for d in done))
    r.data.update(teacher_answers=what_it_adds(sst2(), t), comparison=comparison(runs['kd'], runs['baseline'], sst2()), comparison_on_tuning=comparison(runs['kd'], runs['baseline'], sst2(), 'tuning'), trials={k: dict(tuning=v.metrics['tuning']['accuracy'], validation=v.metrics['validation']['accuracy'], seconds=v.seconds, steps=v.steps) for k, v in trials.items()})
    save_results(r, RECORD)
    print(table(r))
    print(r.data['comparison'])


if __name__ == '__main__':
    for name in sys.argv[1:] or JOBS:
        if name not in JOBS: sys.exit(f"unknown run {name!r}; choose from {', '.join(JOBS)}")
        print(name, JOBS[name](), flush=True)
    if not sys.argv[1:]: write()

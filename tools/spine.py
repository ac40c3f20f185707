"""The real runs of the spine: does a teacher help a 3-layer student on SST-2, and is MobileNetV2 a teacher on Beans?

`make spine` runs whatever is missing in `runs/spine/` and writes `nbs/results/spine.json`. `tools/spine.py NAME...` runs single ones, so that two processes can share the work.
Learning rates are chosen on `select`, the same number of trials with and without a teacher; validation and test only report.
"""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
RUNS, RECORD = HERE/'runs/spine', HERE/'nbs/results/spine.json'
TEACHER, LAYERS, SEEDS = 'minilm-l6-h384-uncased', [0, 2, 5], (0, 1, 2)
TEACHER_LRS, LRS = (3e-5, 5e-5), (5e-5, 1e-4)
EPOCHS, KD = 3, dict(alpha=.9, T=4.)


def sst2_teacher(lr):
    "MiniLM-L6 fine-tuned on SST-2"
    from hkd.training import finetune
    return finetune(TEACHER, 'sst2', RUNS/f'teacher-{lr:g}', learning_rate=lr, num_train_epochs=EPOCHS, seed=0)

def best(trials): return max(trials, key=lambda t: t.metrics['select']['accuracy'])  # the first of equals

def teacher(): return best([sst2_teacher(lr) for lr in TEACHER_LRS])

def student(kind, lr, seed):
    "Three of the teacher's layers, trained with it or without"
    from hkd.models import student_from_teacher
    from hkd.training import distill, finetune
    t = teacher().model
    args = dict(output_dir=RUNS/f'{kind}-{lr:g}-seed{seed}', learning_rate=lr, num_train_epochs=EPOCHS, seed=seed)
    s = student_from_teacher(t, LAYERS)
    return distill(s, t, 'sst2', **KD, **args) if kind == 'kd' else finetune(s, 'sst2', **args)

def best_lr(kind): return max(LRS, key=lambda lr: student(kind, lr, SEEDS[0]).metrics['select']['accuracy'])

def beans(seed=0):
    "MobileNetV2 fine-tuned on Beans"
    from hkd.training import finetune
    return finetune('mobilenet_v2_1.0_224', 'beans', RUNS/f'beans-seed{seed}', learning_rate=1e-3, num_train_epochs=8, seed=seed)


JOBS = {**{f'teacher-{lr:g}': lambda lr=lr: sst2_teacher(lr) for lr in TEACHER_LRS},
        **{f'{k}-{lr:g}-seed{SEEDS[0]}': lambda k=k, lr=lr: student(k, lr, SEEDS[0]) for lr in LRS for k in ('no-kd', 'kd')},
        **{f'{k}-seed{s}': lambda k=k, s=s: student(k, best_lr(k), s) for s in SEEDS[1:] for k in ('no-kd', 'kd')},
        'beans': beans}

if __name__ == '__main__':
    for name in sys.argv[1:] or JOBS:
        if name not in JOBS: sys.exit(f"unknown run {name!r}; choose from {', '.join(JOBS)}")
        print(name, JOBS[name](), flush=True)

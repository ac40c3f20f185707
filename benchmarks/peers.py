"""Do others' students become as good? TextBrewer, torchdistill and hkd on the same work, into nbs/results/peers.json.

`python benchmarks/peers.py TEACHER [--examples 6400] [--seeds 3]`: TEACHER is a fine-tuned checkpoint for SST-2; three of its layers are the student. The contenders are those of training.py, tuned: the same models, examples, steps, learning rate and temperature; each takes the order of examples and the schedule that it has by default. The students are judged by hkd, on the whole validation split.
"""
import argparse, io, tempfile, time, warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import training as bench   # first: it sets what must be set before torch is imported
import torch
from hkd.architecture import copy_model
from hkd.data import load_task
from hkd.models import load_model, student_from_teacher
from hkd.records import record, row, save_results
from hkd.training import distill, evaluate
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
NAMES = {'d2': 'TextBrewer', 'e2': 'torchdistill', 'g': 'hkd'}

def student_of(key, world, seed):
    "A student that a contender has trained"
    model = copy_model(world.student)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as tmp, warnings.catch_warnings(action='ignore'), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        if key != 'g': bench.CONTENDERS[key].train(world, model, tmp)
        else: distill(model, world.teacher, world.task, alpha=bench.ALPHA, temperature=bench.temperature, epochs=1, batch_size=bench.BATCH, lr=bench.LR, bf16=bench.BF16,
                      max_length=bench.LENGTH, eval_strategy='no', save_strategy='no', seed=seed)
    return model.eval()

def main(teacher, examples, seeds):
    start, task = time.time(), load_task(bench.TASK)
    teacher = load_model(teacher, task).requires_grad_(False)
    base = SimpleNamespace(task=task, teacher=teacher, student=student_from_teacher(teacher, bench.LAYERS),
                           whole=[bench.prepare(task, s, teacher.processor, bench.LENGTH) for s in ('train', 'tuning')])
    lost = bench.missing({bench.CONTENDERS[k].peer for k in NAMES} - {None})
    world, rows = bench.world(base, examples), []
    split = task.eval_split
    best = evaluate(teacher, task, split)
    rows.append(row('teacher', 'teacher', [best['accuracy']], [0], best['n'], task.name, split))
    for key, name in NAMES.items():
        if bench.CONTENDERS[key].peer in lost: print(f'{name}: {lost[bench.CONTENDERS[key].peer]}'); continue
        found = [evaluate(student_of(key, world, seed), task, split)['accuracy'] for seed in range(seeds)]
        rows.append(row(name, 'kd', found, [*range(seeds)], best['n'], task.name, split))
        print(f"{name:14}{', '.join(f'{x:.1f}' for x in found)}", flush=True)
    config = dict(examples=examples, steps=world.steps, batch_size=bench.BATCH, learning_rate=bench.LR, temperature=bench.temperature, alpha=bench.ALPHA)
    save_results(record(rows, ['python', 'benchmarks/peers.py'], config, time.time()-start), ROOT/'nbs/results/peers.json')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('teacher')
    p.add_argument('--examples', type=int, default=6400)
    p.add_argument('--seeds', type=int, default=3)
    main(**vars(p.parse_args()))

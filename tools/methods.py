"""The real runs of the methods, one seed each: a chain, an ensemble, QLoRA, pruning, on SST-2 and on Beans, each beside its control at equal steps.

`make methods` runs whatever is missing in `runs/methods/` and writes `nbs/results/methods.json`. `tools/methods.py NAME...` runs single ones. It builds on the runs of `tools/spine.py`.
Nothing is chosen here on validation or test: settings are the spine's, or the defaults.
"""
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
import spine

HERE = Path(__file__).resolve().parent.parent
RUNS, RECORD = HERE/'runs/methods', HERE/'nbs/results/methods.json'
SEED = 0


@dataclass(frozen=True)
class Ladder:
    "One task's models: who teaches, who learns, and for how long"
    name: str          # of the task
    split: str         # that reports
    assistant: tuple   # layers of the pretrained model in the middle of the chain
    student: tuple     # and of the student
    lr: float
    batch: int
    steps: int         # of each student, and of a whole chain
    more: int          # of each later stage: recovery, adapters, and their control

SST2 = Ladder('sst2', 'validation', (0, 1, 3, 5), tuple(spine.LAYERS), None, spine.BATCH, 2793, 931)
BEANS = Ladder('beans', 'test', (0, 2, 4, 7, 9, 11), (0, 6, 11), 5e-4, 32, 1200, 300)

@cache
def task(l):
    from hkd.data import load_task
    return load_task(l.name)

@cache
def pretrained(l):
    from hkd.models import load_model
    return load_model(spine.TEACHER if l is SST2 else 'vit-tiny-p16-112', task(l), seed=SEED)

def cut(l, layers):
    from hkd.models import student_from_teacher
    return student_from_teacher(pretrained(l), list(layers))

def args(l, steps, **kw): return dict(learning_rate=l.lr or spine.best_lr('kd'), per_device_train_batch_size=l.batch, max_steps=steps, eval_strategy='steps', eval_steps=steps//3, save_strategy='steps', save_steps=steps//3, seed=SEED, **kw)
def out(l, name): return RUNS/l.name/name

@cache
def teacher(l):
    from hkd.training import finetune
    if l is SST2: return spine.teacher()
    return finetune(cut(l, range(12)), task(l), out(l, 'teacher'), **args(l, 990))

@cache
def other_teacher(l):
    "A second opinion: another trial of the same model for SST-2, another architecture for Beans"
    if l is BEANS: return spine.beans()
    return max((t for t in map(lambda t: spine.sst2_teacher(*t), spine.TEACHERS) if t.output_dir != teacher(l).output_dir), key=lambda t: t.metrics['select']['accuracy'])

@cache
def alone(l):
    from hkd.training import finetune
    if l is SST2: return spine.student('no-kd', spine.best_lr('no-kd'), SEED)
    return finetune(cut(l, l.student), task(l), out(l, 'alone'), **args(l, l.steps))

@cache
def student(l):
    from hkd.training import distill
    if l is SST2: return spine.student('kd', spine.best_lr('kd'), SEED)
    return distill(cut(l, l.student), teacher(l).model, task(l), output_dir=out(l, 'student'), **spine.KD, **args(l, l.steps))

@cache
def chain(l):
    from hkd.successive import distill_chain
    return distill_chain(teacher(l).model, [cut(l, l.assistant), cut(l, l.student)], task(l), output_dir=out(l, 'chain'), **spine.KD, **args(l, l.steps//2))

@cache
def ensemble(l):
    from hkd.multiagent import TeacherEnsemble
    return TeacherEnsemble([teacher(l).output_dir, other_teacher(l).output_dir])

@cache
def multi(l):
    from hkd.training import distill
    return distill(cut(l, l.student), ensemble(l), task(l), output_dir=out(l, 'multi-agent'), **spine.KD, **args(l, l.steps))


# What is done to the student afterwards: each stage trains for `more` steps under the teacher, and so does the control, dense and in float

def later(l, lr=None): return {**args(l, l.more), 'learning_rate': lr or (l.lr or spine.best_lr('kd'))/2}

@cache
def longer(l):
    "The control: the same student, dense, trained on for as many steps"
    from hkd.training import distill, _load
    return distill(_load(student(l).output_dir, task(l)), teacher(l).model, task(l), output_dir=out(l, 'longer'), **spine.KD, **later(l))

@cache
def pruned(l):
    from hkd.prune import prune_and_recover
    return prune_and_recover(fresh(l), task(l), .3, teacher=teacher(l).model, output_dir=out(l, 'prune'), **spine.KD, **later(l))

def fresh(l, run=student):
    from hkd.training import _load
    return _load(run(l).output_dir, task(l))

@cache
def adapted(l, run=student, name='qlora'):
    from hkd.qlora import qlora
    return qlora(fresh(l, run), task(l), teacher=teacher(l).model, output_dir=out(l, name), **spine.KD, **later(l, 5e-4))

def adapted_pruned(l): return adapted(l, pruned, 'prune+qlora')

def small(l):
    "Half the neurons and a quarter of the heads are gone"
    from hkd.prune import remove_heads, remove_neurons
    return remove_heads(remove_neurons(fresh(l), .5), .25)

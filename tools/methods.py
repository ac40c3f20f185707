"""The real runs of the methods, one seed each: a chain, an ensemble, QLoRA, pruning, on SST-2 and on Beans, each beside its control at equal steps.

`make methods` runs whatever is missing in `runs/methods/` and writes `nbs/results/methods.json`. `tools/methods.py NAME...` runs single ones. It builds on the runs of `tools/spine.py`.
Nothing is chosen here on validation or test: settings are the spine's, or the defaults.
"""
import copy, os, sys, time
from dataclasses import asdict, dataclass
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

SST2 = Ladder('sst2', 'validation', (0, 1, 3, 5), tuple(spine.LAYERS), None, spine.BATCH, 2793, 465)
BEANS = Ladder('beans', 'test', (0, 2, 4, 7, 9, 11), (0, 6, 11), 5e-4, 32, 750, 150)

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

def lr(l): return l.lr or spine.best_lr('kd')
def args(l, steps, **kw): return dict(learning_rate=lr(l), per_device_train_batch_size=l.batch, max_steps=steps, eval_strategy='steps', eval_steps=steps//3, save_strategy='steps', save_steps=steps//3, seed=SEED, **kw)
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
    return max((t for t in map(lambda t: spine.sst2_teacher(*t), spine.TEACHERS) if t.output_dir != teacher(l).output_dir), key=lambda t: t.metrics['tuning']['accuracy'])

@cache
def baseline(l):
    from hkd.training import finetune
    if l is SST2: return spine.student('baseline', spine.best_lr('baseline'), SEED)
    return finetune(cut(l, l.student), task(l), out(l, 'baseline'), **args(l, l.steps))

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

def later(l, rate=None): return {**args(l, l.more), 'learning_rate': rate or lr(l)/2}

@cache
def longer(l):
    "The control: the same student, dense, trained on for as many steps"
    from hkd.training import distill
    return distill(fresh(l), teacher(l).model, task(l), output_dir=out(l, 'dense-control'), **spine.KD, **later(l))

@cache
def pruned(l):
    from hkd.prune import prune_and_finetune
    return prune_and_finetune(fresh(l), task(l), .3, teacher=teacher(l).model, output_dir=out(l, 'prune'), **spine.KD, **later(l))

def fresh(l, run=student):
    from hkd.models import load_model
    return load_model(run(l).output_dir, task(l))

@cache
def adapted(l, run=student, name='qlora'):
    from hkd.qlora import qlora
    return qlora(fresh(l, run), task(l), teacher=teacher(l).model, output_dir=out(l, name), **spine.KD, **later(l, 5e-4))

def adapted_pruned(l): return adapted(l, pruned, 'prune+qlora')

@cache
def small(l):
    "Half the neurons and a quarter of the heads removed (a third where there are three), by Taylor"
    from hkd.prune import importance, remove_heads, remove_neurons
    m = fresh(l)
    scores = importance(m, task(l), 'taylor')
    return remove_heads(remove_neurons(m, .5, scores), .25 if l is SST2 else 1/3, scores)

@cache
def recovered(l):
    from hkd.training import distill
    return distill(copy.deepcopy(small(l)), teacher(l).model, task(l), output_dir=out(l, 'removed'), **spine.KD, **later(l))

@cache
def recovered_baseline(l):
    from hkd.training import finetune
    return finetune(copy.deepcopy(small(l)), task(l), out(l, 'removed-alone'), **later(l))

STAGES = dict(teacher=teacher, baseline=baseline, student=student, chain=chain, multi=multi, longer=longer, pruned=pruned, adapted=adapted, adapted_pruned=adapted_pruned, recovered=recovered, recovered_baseline=recovered_baseline)
JOBS = {f'{l.name}-{k}':lambda l=l, f=f: f(l) for l in (BEANS, SST2) for k,f in STAGES.items()}


# What is written down

def judged(l, model):
    from hkd.training import evaluate
    return evaluate(model, task(l), l.split)

def row(l, name, method, model, source, accuracy, bytes_on_disk=None, steps=0, seconds=None, teacher_row=None, **kw):
    from hkd.models import content_hash
    from hkd.records import row as report_row
    from hkd.measure import measure
    sizes = measure(model, speed=False, power=False)   # packed weights count as what they stand for
    n = sizes.parameters
    return report_row(name, method, [accuracy], [SEED], len(task(l).splits[l.split]), l.name, l.split, source=source, teacher=teacher_row, parameters=n,
                      nonzero_parameters=sizes.nonzero_parameters,
                      bytes_on_disk=bytes_on_disk, model=content_hash(model)[:16], metrics=dict(steps=steps, seconds=seconds), **kw)

def trained(l, name, method, t, source, **kw):
    return row(l, name, method, t.model, source, t.metrics[l.split]['accuracy'], spine.size(t.output_dir), t.steps, t.seconds, **kw)

def latency(models, l, runs=51):
    "Milliseconds of one example (32 tokens, or one image), p50 and p95; the models take turns"
    import numpy as np, torch
    size = 112 if l is BEANS else 32
    x = dict(pixel_values=torch.zeros(1, 3, size, size)) if l is BEANS else dict(input_ids=torch.randint(999, 20000, (1, size)), attention_mask=torch.ones(1, size, dtype=torch.long))
    def ms(m):
        start = time.perf_counter()
        with torch.inference_mode(): m(**x)
        return 1000*(time.perf_counter()-start)
    for m in models: ms(m), ms(m)
    times = np.array([[ms(m) for m in models] for _ in range(runs)])
    return [dict(latency_ms_p50=float(a), latency_ms_p95=float(b), backend='torch') for a,b in zip(np.percentile(times, 50, 0), np.percentile(times, 95, 0))]

def rows(l):
    "All rows of a task"
    from hkd.masks import mask_sparsity
    from hkd.prune import prune, sparsity
    from hkd.qlora import quantize_nf4
    layers = f'{len(l.student)} layers'
    top = trained(l, 'teacher', 'teacher', teacher(l), None)
    kw = dict(teacher_row=top)
    one_shot, removed = prune(fresh(l), .3), small(l)
    both = adapted_pruned(l)
    assert abs(sparsity(both.model)-.3) < .001 and mask_sparsity(both.model) == sparsity(both.model), 'the merge lost zeros'
    times = dict(zip(('student', 'zeros', 'removed'), latency([student(l).model, one_shot, removed], l)))
    def nf4(name, method, m, source):
        q = quantize_nf4(m)
        return row(l, name, method, q, source, judged(l, q)['accuracy'], bytes_of(q), **kw)
    kd, zeros, gone = f'{layers}, KD', '30 % zeros', 'neurons and heads removed'
    return [top,
        trained(l, f'{layers}, no KD', 'baseline', baseline(l), None, **kw),
        trained(l, kd, 'kd', student(l), 'teacher', **kw, **times['student']),
        trained(l, 'chain, first link', 'successive', chain(l)[0], 'teacher', **kw),
        trained(l, 'chain, second link', 'successive', chain(l)[1], 'chain, first link', **kw),
        trained(l, 'two teachers', 'multi-agent', multi(l), 'teacher', **kw),
        trained(l, f'{kd}, trained on', 'dense-control', longer(l), kd, **kw),
        row(l, zeros, 'prune', one_shot, kd, judged(l, one_shot)['accuracy'], bytes_of(one_shot), **kw, **times['zeros']),
        trained(l, f'{zeros}, trained on', 'prune', pruned(l), zeros, **kw),
        nf4('NF4', 'qlora', fresh(l), kd),
        trained(l, 'QLoRA, merged', 'qlora', adapted(l), kd, **kw),
        nf4('QLoRA, merged, NF4', 'qlora', adapted(l).model, 'QLoRA, merged'),
        trained(l, f'{zeros}, QLoRA, merged', 'prune+qlora', both, f'{zeros}, trained on', **kw),
        nf4(f'{zeros}, QLoRA, merged, NF4', 'prune+qlora', both.model, f'{zeros}, QLoRA, merged'),
        row(l, gone, 'prune', removed, kd, judged(l, removed)['accuracy'], bytes_of(removed), **kw, **times['removed']),
        trained(l, f'{gone}, trained on', 'prune', recovered(l), gone, **kw),
        trained(l, f'{gone}, trained on, no KD', 'dense-control', recovered_baseline(l), gone, **kw)]

def bytes_of(model):
    "On disk, as transformers saves it, with tokenizer or image processor"
    import tempfile
    from hkd.models import quiet, processor_of
    with tempfile.TemporaryDirectory() as d, quiet():
        model.save_pretrained(d), processor_of(model).save_pretrained(d)
        return spine.size(d)

def write():
    "Everything into nbs/results/methods.json"
    from hkd.records import record, save_results
    from hkd.report import table
    found = [r for l in (SST2, BEANS) for r in rows(l)]
    config = dict(kd=spine.KD, ladders={l.name:asdict(l) for l in (SST2, BEANS)}, latency='one example, one thread' if os.environ.get('OMP_NUM_THREADS') == '1' else 'one example')
    r = record(found, 'make methods', config, sum(x['seconds'] or 0 for x in found))
    save_results(r, RECORD)
    print(table(r))


if __name__ == '__main__':
    for name in sys.argv[1:] or JOBS:
        if name not in JOBS: sys.exit(f"unknown run {name!r}; choose from {', '.join(JOBS)}")
        print(name, JOBS[name](), flush=True)
    if not sys.argv[1:]: write()

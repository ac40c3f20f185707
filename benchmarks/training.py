"""How many examples a second distillation takes: hkd, the textbook loop, TextBrewer and torchdistill.

`python benchmarks/training.py [--rounds 5] [--examples 640] [--only a,g,h]` trains the same student under the same teacher on the same examples of SST-2, the contenders in turns. The time goes from the first look at the data to the end of the last optimizer step: tokenizing, evaluation and saving are outside it. Data and models are found as hkd finds them (`$HKD_DATA`, `$HKD_MODELS`).
"""
import argparse, gc, io, os, shutil, subprocess, sys, tempfile, time, types, warnings
from collections import namedtuple
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent/'.venv/peers'
os.environ |= dict(HF_HUB_OFFLINE='1', TOKENIZERS_PARALLELISM='false')
sys.path.insert(0, str(HERE.parent))

from hkd import teachers, trainer, training   # first: it silences what others say on import
from hkd.batches import prepare
from hkd.data import load_task
from hkd.architecture import copy_model
from hkd.models import load_model, student_from_teacher
import datasets, torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, RandomSampler
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, default_data_collator, get_linear_schedule_with_warmup

MODEL, TASK, LAYERS = 'minilm-l6-h384-uncased', 'sst2', 3
temperature, ALPHA, LR, BATCH, LENGTH = 4., .9, 5e-5, 32, 128
DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device('cpu')
BF16, ON_CPU = training.has_bf16(), DEVICE.type == 'cpu'

# The other libraries

def install():
    "Put the peers into a folder of their own, once for each text of requirements.txt; what went wrong, if anything did"
    want, kept = HERE/'requirements.txt', PEERS/'requirements.txt'
    if not kept.is_file() or kept.read_text() != want.read_text():
        shutil.rmtree(PEERS, ignore_errors=True)
        done = subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', str(PEERS), '-r', str(want)], capture_output=True, text=True)
        if done.returncode: print(done.stderr, file=sys.stderr); return 'pip could not install it'   # pip's own words name addresses, which no record needs
        shutil.copy(want, kept)
    if str(PEERS) not in sys.path: sys.path.append(str(PEERS))   # last: what hkd's environment has comes first

@contextmanager
def no_torchvision():
    "A stand-in for torchvision while torchdistill is imported"
    # There is no torchvision for every build of torch. torchdistill asks it for a list of data sets and for four parts of CIFAR models, and nothing here uses them.
    names = [n for n in map('torchvision'.__add__, ('', '.datasets', '.models', '.models.densenet', '.models.resnet')) if n not in sys.modules]
    sys.modules.update(dict.fromkeys(names, types.SimpleNamespace(BasicBlock=object, conv1x1=None, _DenseBlock=None, _Transition=None)))
    try: yield
    finally:
        for n in names: del sys.modules[n]

def missing(peers):
    "Peer -> why it is not there"
    wrong, out = install() if peers else None, {}
    for name in sorted(peers):
        try:
            with no_torchvision(), warnings.catch_warnings(action='ignore'): import_module(dict(torchdistill='torchdistill.core.distillation').get(name, name))
        except ImportError as e: out[name] = wrong or str(e)
    return out

# What all have in common

def models_and_task():
    "Teacher, student and task; `whole` is all that the task has to read"
    task = load_task(TASK)
    teacher = load_model(MODEL, task, reset_head=True).to(DEVICE).requires_grad_(False)
    whole = [prepare(task, s, teacher.processor, LENGTH) for s in ('train', 'tuning')]
    return types.SimpleNamespace(task=task, teacher=teacher, student=student_from_teacher(teacher, LAYERS), whole=whole)

def world(base, n):
    "The same with `n` examples, as hkd wants them, padded to the end and padded to the longest of a batch"
    few, tok = base.task.splits['train'].shuffle(seed=0).select(range(n)), base.teacher.processor
    def rows(**kw):
        f = lambda b: dict(tok(b['sentence'], truncation=True, max_length=LENGTH, **kw), labels=b['label'])
        return few.map(f, batched=True, remove_columns=few.column_names, keep_in_memory=True)
    pad = DataCollatorWithPadding(tok)
    return types.SimpleNamespace(**vars(base) | dict(n=n, steps=-(-n//BATCH), task=replace(base.task, splits=dict(train=few, tuning=base.task.splits['tuning'].select(range(2)))),
        padded=(rows(padding='max_length'), default_data_collator), dynamic=(rows(), lambda r: dict(pad(r)))))   # TextBrewer takes a dict for a dict only if it is no subclass

def cast(on): return torch.autocast(DEVICE.type, torch.bfloat16, enabled=on)

def under(model, bf16):
    "A model whose forward runs under autocast"
    if bf16: model = copy_model(model); model.forward = cast(True)(model.forward)
    return model

@contextmanager
def clock(steps):
    "The moments of the first look at the data and of the end of the last step, in the same way for all"
    times, done, look = [], [], DataLoader.__iter__
    def now():
        if not ON_CPU: torch.accelerator.synchronize()
        times.append(time.perf_counter())
    def start(data):
        if not times: now()
        return look(data)
    def step(*_):
        done.append(1)
        if len(done) == steps: now()
    hook = register_optimizer_step_post_hook(step)
    try:
        with patch.object(DataLoader, '__iter__', start): yield times
    finally: hook.remove()
    if len(done) != steps: raise RuntimeError(f'{len(done)} optimizer steps instead of {steps}')

# The contenders: each trains `m` on the examples of `w`, and gives the seconds that come on top of what the clock sees

def textbook(w, m, tmp, rows, bf16=False, order='random'):
    "Hugging Face's Trainer with a loss that asks the teacher in every step"
    class KD(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kw):
            with torch.no_grad(), cast(bf16): z_t = w.teacher(**inputs).logits.float()   # Trainer casts the student alone
            out = model(**inputs)
            kd = F.kl_div(F.log_softmax(out.logits/temperature, -1), F.softmax(z_t/temperature, -1), reduction='batchmean')*temperature**2
            return ALPHA*kd + (1-ALPHA)*out.loss
    data, collate = getattr(w, rows)
    args = TrainingArguments(tmp, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=LR, bf16=bf16, train_sampling_strategy=order, use_cpu=ON_CPU, eval_strategy='no', save_strategy='no', report_to='none', disable_tqdm=True)
    KD(m, args, data_collator=collate, train_dataset=data).train()

def brewed(w, m, tmp, rows, bf16=False):
    "TextBrewer, as its SST-2 notebook has it, with logits in the place of hidden states"
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
    (data, collate), m, teacher = getattr(w, rows), under(m, bf16), under(w.teacher, bf16)
    loader = DataLoader(data, BATCH, sampler=RandomSampler(data), collate_fn=collate, pin_memory=not ON_CPU)
    # Its notebook takes AdamW from transformers, which has none any more: torch's, fused, as Trainer and hkd have it.
    opt = torch.optim.AdamW(m.parameters(), lr=LR, fused=True)
    answer = lambda batch, out: dict(logits=out.logits.float(), losses=out.loss)
    # No log_dir, no TensorBoard. It saves once, after the last step. Its KD loss is a cross-entropy without T², which costs the same; see `same_loss`.
    distiller = GeneralDistiller(TrainingConfig(output_dir=tmp, device=DEVICE), DistillationConfig(temperature=temperature, kd_loss_weight=ALPHA, hard_label_weight=1-ALPHA), teacher, m, answer, answer)
    with distiller: distiller.train(opt, loader, num_epochs=1, scheduler_class=get_linear_schedule_with_warmup, scheduler_args=dict(num_warmup_steps=int(.1*w.steps), num_training_steps=w.steps))

def boxed(w, m, tmp, rows, bf16=False):
    "torchdistill's box, as its GLUE example and configuration have it"
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.core.interfaces.registry import register_forward_proc_func
    from torchdistill.datasets.registry import register_collate_func
    from torchdistill.optim.registry import register_scheduler
    data, collate = getattr(w, rows)
    @register_forward_proc_func(key='logits')
    def logits(model, batch, *args, **kw):
        with cast(bf16): return model(**batch).logits.float()
    register_collate_func(key='pad')(collate)
    register_scheduler(get_linear_schedule_with_warmup)
    side = dict(student_module_path='.', student_module_io='output', teacher_module_path='.', teacher_module_io='output')
    config = dict(num_epochs=1, teacher=dict(forward_proc='logits', requires_grad=False), student=dict(forward_proc='logits'),
        train_data_loader=dict(dataset_id='train', collate_fn='pad', requires_supp=False, sampler=dict(class_or_func=RandomSampler), kwargs=dict(batch_size=BATCH, num_workers=0, pin_memory=not ON_CPU)),
        optimizer=dict(key='AdamW', kwargs=dict(lr=LR, fused=True), max_grad_norm=1.), scheduler=dict(key='get_linear_schedule_with_warmup', kwargs=dict(num_warmup_steps=0, num_training_steps=w.steps), scheduling_step=1),
        criterion=dict(key='WeightedSumLoss', kwargs=dict(sub_terms=dict(kd=dict(weight=1., criterion=dict(key='KDLoss', kwargs=dict(**side, temperature=temperature, alpha=1-ALPHA, beta=ALPHA)))))))
    # Its example hands over an Accelerator, of which it asks `use_fp16`, gone from accelerate: without one, batches are moved here. The labels are given as targets too, without which KDLoss drops alpha and T².
    box = get_distillation_box(w.teacher, m, dict(train=data), config, DEVICE, None, False, 1)
    box.pre_epoch_process(epoch=0)
    for batch in box.train_data_loader:
        batch = {k: v.to(DEVICE) for k, v in batch.items()}
        box.post_forward_process(loss=box.forward_process(batch, targets=batch['labels']))

def ours(w, m, tmp, teacher=True, cold=False, off=()):
    "hkd's own `distill` and `finetune`, without the check of the teacher, whose head is new, and without final metrics; `off` names what hkd is to do without"
    kw = dict(num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=LR, bf16=BF16, eval_strategy='no', save_strategy='no', logging_steps=500, disable_tqdm=True)   # bf16 for the teacher too
    used, spent = training.used_rows, 0
    if cold:
        shutil.rmtree(teachers.cache_dir(), ignore_errors=True)
        begin = time.perf_counter()
        teachers.teacher_logits(w.teacher, w.task, max_length=LENGTH, bf16=BF16)   # with tokenizing, hashing and writing
        spent = time.perf_counter()-begin
    # A few examples use few words: the student keeps those of the whole task, as in a run on all of it.
    rows = (lambda *_: nullcontext()) if 'used_rows' in off else (lambda m, args, parts: used(m, args, w.whole))
    attention = patch.object(trainer, '_plain_attention', lambda *_: nullcontext()) if '_plain_attention' in off else nullcontext()
    lengths = patch.object(teachers.TrainSet, 'lengths', None) if 'lengths' in off else nullcontext()
    with lengths, attention, patch.object(teachers, 'check_teacher', lambda *_: None), patch.multiple(training, _metrics=lambda *_: {}, used_rows=rows):
        if teacher: training.distill(m, w.teacher, w.task, alpha=ALPHA, temperature=temperature, max_length=LENGTH, **kw)
        else: training.finetune(m, w.task, max_length=LENGTH, **kw)
    return spent

Contender = namedtuple('Contender', 'name train peer bf16 what')
_bf16 = 'bf16' if BF16 else 'float32 (no bf16 here)'
CONTENDERS = dict(
    a=Contender('textbook loop', partial(textbook, rows='padded'), None, False, f'Trainer with compute_loss, padded to {LENGTH}, float32, teacher in every step'),
    b=Contender('textbook, dynamic padding', partial(textbook, rows='dynamic'), None, False, 'a, padded to the longest of a batch'),
    c=Contender('textbook, bf16', partial(textbook, rows='dynamic', bf16=BF16), None, BF16, f'b in {_bf16}'),
    c0=Contender('textbook, bf16, grouped', partial(textbook, rows='dynamic', bf16=BF16, order='group_by_length'), None, BF16, "c with Trainer's own grouping by length"),
    d=Contender('TextBrewer', partial(brewed, rows='padded'), 'textbrewer', False, f'GeneralDistiller as its notebook has it, padded to {LENGTH}, float32; its KD loss omits T²'),
    d2=Contender('TextBrewer, tuned', partial(brewed, rows='dynamic', bf16=BF16), 'textbrewer', BF16, f'd with dynamic padding, in {_bf16}'),
    e=Contender('torchdistill', partial(boxed, rows='dynamic'), 'torchdistill', False, 'DistillationBox as its GLUE example has it, which pads dynamically, float32'),
    e2=Contender('torchdistill, tuned', partial(boxed, rows='dynamic', bf16=BF16), 'torchdistill', BF16, f'e in {_bf16}'),
    c1=Contender("c, teacher's answers kept", partial(ours, off=('lengths', 'used_rows', '_plain_attention')), None, BF16, "g without what c2, c3 and g add"),
    c2=Contender('c1, grouped by length', partial(ours, off=('used_rows', '_plain_attention')), None, BF16, 'texts of like length meet in a batch'),
    c3=Contender('c2, only the rows in use', partial(ours, off=('_plain_attention',)), None, BF16, "the word embeddings have the rows that the task's texts use"),
    f=Contender('hkd, first epoch', partial(ours, cold=True), None, BF16, "the teacher's answers are computed, tokenized for, hashed and kept, in the time"),
    g=Contender('hkd, later epochs', ours, None, BF16, "c3 with attention by its formula: the teacher's answers are read from the cache"),
    h=Contender('hkd, no teacher', partial(ours, teacher=False), None, BF16, 'plain fine-tuning'))

def run(key, w):
    "Examples a second of one contender, with a fresh student"
    m = copy_model(w.student)
    gc.collect()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as tmp, warnings.catch_warnings(action='ignore'), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        with clock(w.steps) as times: spent = CONTENDERS[key].train(w, m, tmp) or 0
    return w.n/(times[1]-times[0]+spent)

# Do they compute the same?

def expected(w):
    "The loss of the first step by the formula: KD, KD as TextBrewer defines it, and none"
    rows, pad = w.dynamic
    batch = {k: v.to(DEVICE) for k, v in pad(list(rows)).items()}
    with torch.no_grad(): (ce, z_s), z_t = w.student(**batch)[:2], w.teacher(**batch).logits
    p, q = F.softmax(z_t/temperature, -1), F.log_softmax(z_s/temperature, -1)
    cross, entropy = -(p*q).sum(-1).mean(), -(p*p.log()).sum(-1).mean()
    return ((1-ALPHA)*ce + ALPHA*temperature**2*(cross-entropy)).item(), ((1-ALPHA)*ce + ALPHA*cross).item(), ce.item()

def same_loss(base, keys):
    "Contender -> (loss of its first step, as the formula has it), on one batch, without dropout"
    teacher, student = copy_model(base.teacher), copy_model(base.student)
    for m in (teacher, student): m.classifier.weight.data.mul_(100)   # new heads say next to nothing, and any mix of nothings is alike
    for d in student.modules():
        if isinstance(d, torch.nn.Dropout): d.p = 0.
    w = world(types.SimpleNamespace(**vars(base) | dict(teacher=teacher, student=student)), 16)
    kd, brew, ce = expected(w)
    out, backward = {}, torch.Tensor.backward
    for k in keys:
        first = []
        def spy(loss, *args, **kw): first.append(loss.item()); return backward(loss, *args, **kw)
        with patch.object(torch.Tensor, 'backward', spy): run(k, w)
        out[k] = first[0], ce if k == 'h' else brew if CONTENDERS[k].peer == 'textbrewer' else kd
        if abs(first[0]/out[k][1]-1) > (.02 if CONTENDERS[k].bf16 else 1e-3): raise ValueError(f'{k}: the first loss is {first[0]:.4f} instead of {out[k][1]:.4f}: the contenders do not train alike')
    return out

# Where the time goes

GROUPS = {'matrix products': ('mm', 'addmm', 'bmm', 'scaled_dot_product', 'linear'), 'filling, clipping and updating weights': ('fill_', 'zero_', 'adamw', 'vector_norm', 'embedding_dense_backward', 'foreach'),
          'element by element': ('gelu', 'dropout', 'bernoulli', 'softmax', 'layer_norm', 'copy_', 'mul', 'add', 'div', 'sum', 'where', 'native', 'cat', 'tanh', 'embedding', 'index')}

def profile(base, keys, n=320):
    "Contender -> share of the time by kind of work, by PyTorch's profiler; what it doesn't know is Python and the data"
    from torch.profiler import ProfilerActivity, profile as profiler
    w, out = world(base, n), {}
    for k in keys:
        run(k, w)
        with profiler(activities=[ProfilerActivity.CPU]) as found: rate = run(k, w)
        shares = dict.fromkeys(GROUPS, 0)
        for e in found.key_averages():
            if group := next((g for g, names in GROUPS.items() if any(x in e.key for x in names)), None): shares[group] += e.self_cpu_time_total/1e6*rate/n
        out[k] = shares | {'Python and data': max(0, 1-sum(shares.values()))}
    return out

# Does bfloat16 learn the same?

# The table

def ratios(speed, best):
    "Name -> how many times as fast the one is as the other"
    pairs = {'g/a': 'ga', 'g/better of d, e': ('g', best), 'time g/time h': 'hg', 'g/c': 'gc', 'f/c': 'fc', 'f/c0': ('f', 'c0'), 'g/c0': ('g', 'c0'), 'g/d2': ('g', 'd2'), 'g/e2': ('g', 'e2')}
    return {n: speed[x]/speed[y] for n, (x, y) in pairs.items() if x in speed and y in speed}

def measure(rounds=5, examples=640, only=None):
    "Median examples a second of each contender, every round, ratios, versions and notes"
    say = partial(print, file=sys.stderr, flush=True)
    only = [k.strip() for k in only.split(',')] if isinstance(only, str) else list(only or CONTENDERS)
    if bad := [k for k in only if k not in CONTENDERS]: raise ValueError(f"unknown contender {bad[0]!r}; there are {', '.join(CONTENDERS)}")
    gone = missing({CONTENDERS[k].peer for k in only} - {None})
    keys = [k for k in CONTENDERS if k in only and CONTENDERS[k].peer not in gone]
    if not keys: raise ValueError(f'none of {", ".join(only)} can be measured: {gone}')
    notes = [f"{torch.cuda.get_device_name() if DEVICE.type == 'cuda' else DEVICE.type}, {torch.get_num_threads()} threads, {_bf16}"] + [f'{p} is left out: {why}' for p, why in gone.items()]
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, HKD_CACHE=cache):
        base, rates = models_and_task(), {k: [] for k in keys}
        say('first losses (by the formula): ' + ', '.join(f'{k} {x:.4f} ({y:.4f})' for k, (x, y) in same_loss(base, keys).items()))
        warm, w = world(base, min(160, examples)), world(base, examples)
        for k in keys: run(k, warm)
        for r in range(rounds):
            for k in keys[r % len(keys):]+keys[:r % len(keys)]:
                rates[k].append(run(k, w))
                say(f'round {r+1} of {rounds}: {CONTENDERS[k].name} ({k}) {rates[k][-1]:.1f} examples/s')
        shares = profile(base, [k for k in ('a', 'c', 'c2', 'g') if k in keys]) if ON_CPU else {}
    speed = {k: median(v) for k, v in rates.items()}
    best = max((k for k in 'de' if k in speed), key=speed.get, default=None)
    if best: notes.append(f'the better of d and e, the peers as advised, is {best}' if {'d', 'e'} <= speed.keys() else f'of d and e only {best} was measured')
    notes += [f'{examples} examples a round; first losses are those of the formulas', 'not measured: TextBrewer\'s BasicDistiller can keep logits and batches in memory (is_caching_logits)']
    versions = {p: metadata.version(p) for p in ('torch', 'transformers', *sorted({CONTENDERS[k].peer for k in keys} - {None}))}
    return dict(contenders=[dict(key=k, name=CONTENDERS[k].name, examples_per_s=speed[k], rounds=rates[k], what=CONTENDERS[k].what) for k in keys], ratios=ratios(speed, best), profile=shares, versions=versions, notes=notes)

def show(found):
    "The result as a table"
    wide = max(len(c['name']) for c in found['contenders'])
    print(f"{'':3}{'contender':{wide}}  examples/s  (lowest to highest)  what")
    for c in found['contenders']: print(f"{c['key']:3}{c['name']:{wide}}  {c['examples_per_s']:10.1f}  {'({:.1f} to {:.1f})'.format(min(c['rounds']), max(c['rounds'])):19}  {c['what']}")
    for k, v in found['ratios'].items(): print(f'{k:20}{v:6.2f}')
    for k, v in found['profile'].items(): print(f'{k:3}', ', '.join(f'{name} {100*x:.0f} %' for name, x in v.items()))
    print(', '.join(f'{k} {v}' for k, v in found['versions'].items()), *found['notes'], sep='\n')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--examples', type=int, default=640)
    p.add_argument('--only', help='contenders by their letters, such as a,g,h')
    show(measure(**vars(p.parse_args())))

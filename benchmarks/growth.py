"""What grows with the data and with the teachers: peak memory of a run on 100 and on 67,000 examples, under one and under four teachers, and the time of an epoch."""
import json, os, statistics, sys, tempfile, time
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent.parent
STEPS = 8
BASE = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=30522)

def sentences(start, end):
    "Different texts of a dozen words, with labels"
    words = 'film plot cast ending music script pacing dialogue hero camera'.split()
    return [f"the {words[i%10]} of number {i} is {('dull', 'fine')[i%2]} , and so is its {words[i//10%10]}" for i in range(start, end)], [('negative', 'positive')[i%2] for i in range(start, end)]

def big_task(n):
    "n examples to train on, and 40 to select and to report by"
    from hkd.data import make_task
    cuts = dict(train=(80, 80+n), tuning=(0, 40), validation=(40, 80))
    return make_task(f'{n} sentences', 'text', ('sentence',), {s: (dict(sentence=x), y, s) for s, c in cuts.items() for x, y in [sentences(*c)]})

def peak(n, teachers):
    "Peak memory of this process after a few steps on n examples under so many teachers of BERT-base's shape"
    from hkd import teachers as kept
    from hkd.demo import demo_config, demo_tokenizer
    from hkd.models import model_from_config
    from hkd.measure import resident_peak
    from hkd.teachers import MeanEnsemble
    from hkd.training import distill, finetune
    kept.check_teacher = lambda *args: None    # these know nothing
    task, tok = big_task(n), demo_tokenizer()
    student = model_from_config(demo_config('text', 'student'), task, tok)
    few = dict(max_steps=STEPS, bf16=False, eval_strategy='no', save_strategy='no')
    if not teachers: finetune(student, task, **few)
    else: distill(student, MeanEnsemble([Path(os.environ['HKD_TEACHERS'])/str(i) for i in range(teachers)]), task, **few)
    return resident_peak()

def in_a_process(n, teachers, folder):
    "The same in a process that inherits no other's peak"
    from hkd.measure import in_new_process
    code = "import sys; sys.path.insert(0, sys.argv[1]); from growth import peak; print(peak(int(sys.argv[2]), int(sys.argv[3])))"
    with patch.dict(os.environ, HKD_CACHE=f'{folder}/cache-{n}-{teachers}', HKD_TEACHERS=str(folder)): return in_new_process(code, HERE/'benchmarks', n, teachers)

def make_teachers(folder, k):
    from transformers import BertConfig
    from hkd.demo import demo_tokenizer
    from hkd.models import model_from_config, save_model
    for i in range(k): save_model(model_from_config(BertConfig(**BASE), big_task(100), demo_tokenizer(), seed=i), Path(folder)/str(i))

def epoch_seconds(sizes=(960, 1920, 3840), rounds=5):
    "Seconds of an epoch under kept answers, of the same 960 sentences taken once, twice, four times; on one thread, medians of the rounds"
    from transformers import BertConfig, PrinterCallback, TrainerCallback
    from hkd.batches import prepare
    from hkd.demo import demo_tokenizer
    from hkd.models import model_from_config
    from hkd.teachers import KD
    from hkd.teachers import TeacherLogits, TrainSet
    from hkd.trainer import KDTrainer
    from hkd.training import training_arguments
    import numpy as np, torch
    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kw): self.start = time.perf_counter()
        def on_train_end(self, *args, **kw): self.seconds = time.perf_counter()-self.start
    torch.set_num_threads(1)
    task, tok = big_task(sizes[0]), demo_tokenizer()
    part = prepare(task, 'train', tok)
    def seconds(k):
        student = model_from_config(BertConfig(vocab_size=len(tok), hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512), task, tok)
        data, clock = TrainSet([part]*k), Clock()
        answers = TeacherLogits([[np.zeros((len(part), 2), np.float32)]*k])
        with tempfile.TemporaryDirectory() as d:
            args = training_arguments(task, len(data), d, num_train_epochs=1, bf16=False, eval_strategy='no', save_strategy='no', disable_tqdm=True, logging_steps=10**6)
            trainer = KDTrainer(student, args, task, data, answers, KD(alpha=.9), callbacks=[clock])
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return clock.seconds
    seconds(1)
    return {n: statistics.median(times) for n, times in zip(sizes, zip(*[[seconds(n//sizes[0]) for n in sizes] for _ in range(rounds)]))}

def measure(most=67_000, say=lambda text: print(text, file=sys.stderr, flush=True)):
    with tempfile.TemporaryDirectory() as folder:
        say('growth: memory by examples')
        by_examples = {n: in_a_process(n, 0, folder) for n in (100, most)}
        say('growth: memory by teachers')
        make_teachers(folder, 4)
        by_teachers = {k: in_a_process(100, k, folder) for k in (1, 4)}
    say('growth: time of an epoch')
    times = epoch_seconds()
    per = {n: 1000*s/n for n, s in times.items()}
    return dict(memory_mb_by_examples=by_examples, memory_mb_by_teachers=by_teachers, epoch_seconds=times, ms_an_example=per,
                ratios=dict(more_mb_for_examples=by_examples[most]-by_examples[100], more_mb_for_teachers=by_teachers[4]-by_teachers[1], spread_of_ms_an_example=max(per.values())/min(per.values())-1))

if __name__ == '__main__': print(json.dumps(measure(), indent=1))

"""What bfloat16 changes in what is learned: `python benchmarks/bench.py precision`"""
import io, sys, warnings
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from hkd import training
from hkd.teachers import predict_logits
from hkd.architecture import copy_model
import numpy as np
from training import BF16, models_and_task

def measure(seeds=(0, 1, 2), n=2560):
    "Seed by seed, after an epoch of n examples: accuracy on tuning by precision, by how much a logit differs, and in how many answers"
    if not BF16: return {}
    base = models_and_task()
    few = replace(base.task, splits=base.task.splits | dict(train=base.task.splits['train'].shuffle(seed=1).select(range(n))))
    y = np.asarray(few.splits['tuning']['label'])
    def logits(seed, bf16):
        trained = training.finetune(copy_model(base.student), few, num_train_epochs=1, learning_rate=1e-4, seed=seed, bf16=bf16, eval_strategy='no', save_strategy='no', disable_tqdm=True).model
        return predict_logits(trained, few, 'tuning', bf16=bf16)
    with warnings.catch_warnings(action='ignore'), redirect_stdout(io.StringIO()), patch.object(training, '_metrics', lambda *_: {}):
        pairs = [(logits(s, False), logits(s, True)) for s in seeds]
    if any((a == b).all() for a, b in pairs): raise RuntimeError('both precisions gave the same logits: was bfloat16 on?')
    accuracy = {name: [100*float((p[i].argmax(1) == y).mean()) for p in pairs] for i, name in enumerate(('float32', 'bfloat16'))}
    return dict(accuracy=accuracy, logit_difference=[float(np.abs(a-b).mean()) for a, b in pairs], other_answers=[int((a.argmax(1) != b.argmax(1)).sum()) for a, b in pairs], n=len(y))

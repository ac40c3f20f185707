"""What an artifact is worth: latency of one example and throughput of 32, beside BERT-base and ViT-B, for sentences of 32 tokens and images of 112 and 224 pixels.

Random weights serve for time. Where a run of `recipes/sst2-ladder.toml` or `recipes/beans-ladder.toml` is at hand, its artifact is measured, and its accuracy is that of each backend.
"""
import copy, sys, tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from transformers import BertConfig, ViTConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from hkd.export import OnnxModel, export_onnx
from hkd.artifact import load_compressed, save_compressed
from hkd.data import demo_task, load_task
from hkd.demo import demo_tokenizer
from hkd.models import load_model, model_from_config
from hkd.prune import remove_heads, remove_neurons
from hkd.records import row
from hkd.measure import latency
from hkd.training import evaluate

HERE = Path(__file__).resolve().parent.parent
MINILM = dict(hidden_size=384, num_attention_heads=12, intermediate_size=1536)
TINY = dict(hidden_size=192, num_attention_heads=3, intermediate_size=768)

class Cast(nn.Module):
    "A model in another precision, which is given what it was given before"
    def __init__(self, model, dtype):
        super().__init__()
        self.model, self.config, self.processor = copy.deepcopy(model).to(dtype), model.config, model.processor
    def forward(self, **x): return SimpleNamespace(logits=self.model(**{k: v.to(self.model.dtype) if v.is_floating_point() else v for k, v in x.items()}).logits.float())

def text_model(layers, vocab=30522, **shape):
    return model_from_config(BertConfig(vocab_size=vocab, num_hidden_layers=layers, **shape), demo_task('text'), demo_tokenizer())

def image_model(layers, size, **shape):
    return model_from_config(ViTConfig(num_hidden_layers=layers, image_size=size, **shape), demo_task('image'), ViTImageProcessorPil(size=dict(height=size, width=size)))

def trained(recipe):
    "The student, its artifact and their task from a run, or None"
    at = HERE/'runs'/recipe
    if not (at/'artifact3/manifest.json').is_file(): return None
    task = load_task(dict(sst2='sst2', beans='beans')[recipe.split('-')[0]])
    return load_model(at/'qlora3', task), at/'artifact3', task

def narrowed(model, folder):
    "Half of its neurons and a third of its heads removed, and made an artifact"
    return save_compressed(remove_heads(remove_neurons(copy.deepcopy(model), .5), 1/3), folder)

def plain_int8(model, folder):
    "What ONNX Runtime's own tools make of a model by their defaults"
    from onnxruntime.quantization import quantize_dynamic
    export_onnx(model, folder)
    quantize_dynamic(folder/'model.onnx', folder/'plain-int8.onnx')
    return OnnxModel(folder/'plain-int8.onnx', model.config, model.processor)

def contenders(big, name, student, artifact, tmp, cuda):
    "(name, model, backend) of all that take turns"
    narrow = narrowed(student, tmp/'narrow')
    out = [(name, big, 'torch'), ('student, float32', student, 'torch'), ('student, bfloat16', Cast(student, torch.bfloat16), 'torch'), ('artifact', load_compressed(artifact), 'torch'),
           ('artifact', load_compressed(artifact, 'bnb'), 'bnb'), ('artifact, narrower', load_compressed(narrow), 'torch')]
    if cuda: return [(n, m.to('cuda'), e) for n, m, e in out]   # ONNX Runtime is the CPU's
    return out+[(f'{name}, int8 by its own tools', plain_int8(big, tmp/'big'), 'onnx'), ('student, int8 by its own tools', plain_int8(student, tmp/'onnx'), 'onnx'), ('artifact', load_compressed(artifact, 'onnx'), 'onnx'), ('artifact, narrower', load_compressed(narrow, 'onnx'), 'onnx')]

def table(what, big, name, student, artifact=None, task=None, cuda=False, runs=50):
    "Rows of one comparison, all models in turns"
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        where = artifact or save_compressed(student, tmp/'artifact')
        found = contenders(big, name, student, where, tmp, cuda)
        one, many = (latency([m for _, m, _ in found], batch_size=b, runs=n, warmup=2) for b, n in ((1, runs), (32, 5)))
        right = {e: evaluate(m, task)['accuracy'] for n, m, e in found if task and n == 'artifact'}
        return [row(n if e == 'torch' else f'{n}, {e}', 'qlora+prune' if 'artifact' in n and artifact else 'dense-control', [right[e]] if e in right and n == 'artifact' else [], [0] if e in right and n == 'artifact' else [],
                    len(task.split(task.eval_split)) if task else 1, task.name if task else 'random weights', what, backend=e, latency_ms_p50=a['latency_ms_p50'], latency_ms_p95=a['latency_ms_p95'],
                    metrics=dict(throughput_32=b['throughput'], threads=a['threads'], device=a['device'])) for (n, m, e), a, b in zip(found, one, many)]

def measure(runs=50, say=lambda text: print(text, file=sys.stderr, flush=True)):
    "All comparisons, and by what the best backend is faster; on one thread, since an backend's waiting threads would disturb the next one's turn"
    torch.set_num_threads(1)
    cuda, rows, ratios = torch.cuda.is_available(), [], {}
    for what, big, name, student, recipe in (
            ('32 tokens', lambda: text_model(12, hidden_size=768, num_attention_heads=12, intermediate_size=3072), 'BERT-base', lambda: text_model(3, 9700, **MINILM), 'sst2-ladder'),
            ('112 pixels', lambda: image_model(12, 112), 'ViT-B', lambda: image_model(3, 112, **TINY), None),
            ('224 pixels', lambda: image_model(12, 224), 'ViT-B', lambda: image_model(3, 224, **TINY), 'beans-ladder')):
        say(f'backends: {what}')
        model, artifact, task = (recipe and trained(recipe)) or (student(), None, None)
        got = table(what, big(), name, model, artifact, task, cuda, runs)
        best = min((r for r in got if r.name in ('artifact', 'artifact, bnb', 'artifact, onnx')), key=lambda r: r.latency_ms_p50)
        ratios[what] = dict(best=best.backend, than_big=got[0].latency_ms_p50/best.latency_ms_p50)
        if plain := [r for r in got if r.name.startswith('student, int8')]: ratios[what] |= dict(than_plain_int8=plain[0].latency_ms_p50/best.latency_ms_p50, than_plain_int8_of_32=best.throughput_32/plain[0].throughput_32)
        if large := [r for r in got if r.name.startswith(f'{name}, int8')]: ratios[what]['than_big_int8'] = large[0].latency_ms_p50/best.latency_ms_p50
        rows += got
    return dict(rows=rows, ratios=ratios)

if __name__ == '__main__':
    found = measure(*map(int, sys.argv[1:2]))
    for r in found['rows']: print(f"{r.split:11}{r.name:32}{r.latency_ms_p50:9.2f}{r.latency_ms_p95:9.2f} ms{r.throughput_32:9.1f} /s  {r.accuracy or ''}")
    print(found['ratios'])

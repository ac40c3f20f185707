"""What an artifact's formats weigh and how many examples each has right, into nbs/results/formats.json.

`python benchmarks/formats.py [ARTIFACT TASK [STUDENT]]` (default: artifacts/sst2 and sst2). The artifact in PyTorch is the first row. The next are files made of it, run by their
own runtimes on the whole validation split. With the student that was packed there are the files that other tools make of it: float16 in safetensors, and the int8 file of ONNX
Runtime's `quantize_dynamic`. One thread, one text at a time for the latency, all in turn.
"""
import copy, sys, tempfile, time
from pathlib import Path

import numpy as np
import torch
from hkd.artifact import artifact_bytes, load_compressed
from hkd.data import load_task
from hkd.export import OnnxModel, export_onnx
from hkd.heads import decision_threshold
from hkd.measure import classification_metrics, latency
from hkd.models import load_model
from hkd.openvino import OpenVINOModel, export_openvino
from hkd.records import record, row, save_results
from hkd.scores import decisions
from hkd.teachers import predict_logits

ROOT = Path(__file__).resolve().parent.parent

def files(model, tmp):
    "{name: (runtime, file, its bytes)}"
    found = {}
    for bits in (8, 4):
        made = export_onnx(model, tmp/f'onnx{bits}', bits)[f'model-int{bits}.onnx']['path']
        found[f'ONNX Runtime, {bits} bits'] = OnnxModel, made, made.stat().st_size
        made = export_openvino(model, tmp/f'openvino{bits}', bits)['path']
        found[f'OpenVINO, {bits} bits'] = OpenVINOModel, made, sum(made.with_suffix(end).stat().st_size for end in ('.xml', '.bin'))
    return found

def of_others(student, tmp):
    "{name: (model, bytes)} of a student's files as other tools make them"
    from onnxruntime.quantization import quantize_dynamic
    model = load_model(student)
    copy.deepcopy(model).half().save_pretrained(tmp/'half')
    made = tmp/'dynamic.onnx'
    quantize_dynamic(export_onnx(model, tmp/'plain')['model.onnx']['path'], made)
    half = load_model(student)
    half.load_state_dict({k: x.half().float() for k, x in half.state_dict().items()})
    return {'transformers, float16': (half, (tmp/'half/model.safetensors').stat().st_size),
            "ONNX Runtime's quantize_dynamic": (OnnxModel(made, model.config, model.processor), made.stat().st_size)}

def main(artifact=ROOT/'artifacts/sst2', task='sst2', student=None):
    torch.set_num_threads(1)
    start, task, model = time.time(), load_task(task), load_compressed(artifact)
    split = task.eval_split
    with tempfile.TemporaryDirectory() as d:
        found = files(model, Path(d))
        models = {'artifact, PyTorch': model} | {k: runtime(f, model.config, model.processor) for k, (runtime, f, _) in found.items()}
        sizes = {'artifact, PyTorch': artifact_bytes(artifact)} | {k: size for k, (*_, size) in found.items()}
        if student:
            others = of_others(student, Path(d))
            models |= {k: m for k, (m, _) in others.items()}
            sizes |= {k: size for k, (_, size) in others.items()}
        times, rows, first = dict(zip(models, latency(list(models.values()), length=32, runs=100))), [], None
        for k, m in models.items():
            z, threshold = predict_logits(m, task, split), decision_threshold(model)
            q = classification_metrics(task, split, z, threshold)
            first = decisions(task, z, threshold) if first is None else first
            same = 100*float(np.mean(decisions(task, z, threshold) == first))
            rows.append(row(k, 'dense-control', [q['accuracy']], [0], q['n'], task.name, split, backend=getattr(m, 'backend', 'torch'), bytes_on_disk=sizes[k],
                            latency_ms_p50=times[k]['latency_ms_p50'], latency_ms_p95=times[k]['latency_ms_p95'],
                            metrics=dict(same_predictions=same, than_artifact=sizes[k]/sizes['artifact, PyTorch'], length=32, threads=1, batch_size=1, device='cpu')))
            print(f'{k:32}{sizes[k]/1e6:7.2f} MB  {q["accuracy"]:.2f} %  {same:.1f} % the same  {times[k]["latency_ms_p50"]:.1f} ms')
    command = ['python', 'benchmarks/formats.py']
    save_results(record(rows, command, dict(artifact=Path(artifact).name, task=task.name), time.time()-start), ROOT/'nbs/results/formats.json')

if __name__ == '__main__': main(*sys.argv[1:])

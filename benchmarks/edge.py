"""What a text model costs in the runtimes for small devices: time and bytes of each file, into nbs/results/edge.json.

`python benchmarks/edge.py [MODEL]`: MODEL has the shape of the student (default: $HKD_MODELS/minilm-l6-h384-uncased). Half of its neurons are removed and its head is random,
since time does not depend on the values of the weights. One text at a time, one thread. All files take turns, so that a busy moment of the machine affects all of them, and
each time is divided by that of plain int8 in the same round. Plain int8 is what ONNX Runtime's `quantize_dynamic` makes by its defaults.
"""
import os, sys, tempfile, time
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from hkd.artifact import artifact_bytes, logit_difference, save_compressed
from hkd.data import demo_task
from hkd.export import OnnxModel, export_onnx, float_model, no_log
from hkd.measure import example_batch
from hkd.models import load_model
from hkd.openvino import OpenVINOModel, export_openvino
from hkd.prune import remove_neurons
from hkd.records import record, row, save_results

ROOT = Path(__file__).resolve().parent.parent
LENGTHS, ROUNDS, PLAIN = (8, 32, 128), 200, 'ONNX Runtime, plain int8'

def student(name):
    torch.manual_seed(0)
    return float_model(remove_neurons(load_model(name, demo_task('text'), reset_head=True), .5))

def fused(file, config, out):
    "ONNX Runtime's own optimizer, then int8 as hkd makes it"
    from onnxruntime.quantization import QuantType
    options = FusionOptions('bert')
    found = optimizer.optimize_model(str(file), 'bert', num_heads=config.num_attention_heads, hidden_size=config.hidden_size,
                                     optimization_options=options, opt_level=0, use_gpu=False)
    found.save_model_to_file(str(out))
    small = out.with_name('fused-int8.onnx')
    quantize_dynamic(out, small, op_types_to_quantize=['MatMul', 'Gemm', 'Gather', 'Attention'], per_channel=True, reduce_range=True,
                     weight_type=QuantType.QInt8, extra_options=dict(MatMulConstBOnly=True, DefaultTensorType=1))
    return small

def in_4_bits(file, out, block, level):
    how = DefaultWeightOnlyQuantConfig(block_size=block, accuracy_level=level, op_types_to_quantize=('MatMul', 'Gather'))
    found = MatMulNBitsQuantizer(str(file), algo_config=how)
    found.process()
    found.model.save_model_to_file(str(out))
    return out

def files(model, tmp):
    "{name: (runtime, file)}"
    made = export_onnx(model, tmp)
    whole, small = made['model.onnx']['path'], made['model-int8.onnx']['path']
    plain = tmp/'plain-int8.onnx'
    with no_log():
        quantize_dynamic(whole, plain)
        more = {'ONNX Runtime, optimizer and int8': fused(whole, model.config, tmp/'fused.onnx')}
        for block, level in ((32, 0), (32, 4), (64, 4), (128, 4)):
            more[f'ONNX Runtime, 4 bits, blocks of {block}' + ', int8 sums'*(level == 4)] = in_4_bits(whole, tmp/f'b{block}-{level}.onnx', block, level)
    found = {PLAIN: plain, 'ONNX Runtime, int8 of hkd': small, **more, 'ONNX Runtime, float': whole}
    found = {k: (OnnxModel, f) for k, f in found.items()}
    for bits in (8, 4): found[f'OpenVINO, {bits} bits'] = OpenVINOModel, export_openvino(model, tmp/'openvino', bits)['path']
    return found

def size(file):
    return sum(f.stat().st_size for f in file.parent.iterdir() if f.stem == file.stem)

def timed(model, inputs):
    start = time.perf_counter()
    model.run(inputs)
    return 1000*(time.perf_counter()-start)

def in_turns(models, length, rounds):
    "{name: milliseconds of each round}"
    inputs = {k: {n: x.numpy() for n, x in example_batch(m, 1, length).items() if n in m.names} for k, m in models.items()}
    names, times = list(models), {k: [] for k in models}
    for k in names:
        for _ in range(5): timed(models[k], inputs[k])
    for i in range(rounds):
        for j in range(len(names)):
            k = names[(i+j) % len(names)]
            times[k].append(timed(models[k], inputs[k]))
    return {k: np.array(t) for k, t in times.items()}

def interval(ratios, draws=2000):
    "95 % interval of the median, by drawing the rounds again"
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (draws, len(ratios))), axis=1)
    return np.percentile(medians, [2.5, 97.5]).tolist()

def rows(model, models, found, shipped, length, rounds):
    times = in_turns(models, length, rounds)
    inputs, out = example_batch(model, 1, length), []
    for k, t in times.items():
        ratio = times[PLAIN]/t
        far = logit_difference(model, models[k], inputs)
        more = dict(length=length, threads=1, batch_size=1, latency_ms_p5=np.percentile(t, 5), than_plain=np.median(ratio), than_plain_interval=interval(ratio),
                    artifact_bytes=shipped, logit_difference=far['largest'], logit_size=far['size'], device='cpu')
        p50, p95 = np.percentile(t, [50, 95])
        out.append(row(k, 'dense-control', [], [], 1, 'random head', f'{length} tokens', backend=models[k].backend, latency_ms_p50=p50, latency_ms_p95=p95,
                       bytes_on_disk=size(found[k][1]), metrics=more))
    return out

def main(name=None, rounds=ROUNDS):
    torch.set_num_threads(1)
    start, model = time.time(), student(name or Path(os.environ['HKD_MODELS'])/'minilm-l6-h384-uncased')
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        shipped = artifact_bytes(save_compressed(model, tmp/'artifact'))
        found = files(model, tmp)
        models = {k: runtime(f, model.config, model.processor) for k, (runtime, f) in found.items()}
        every = [r for n in LENGTHS for r in rows(model, models, found, shipped, n, int(rounds))]
    about = dict(model='MiniLM, 6 layers, half of the neurons', parameters=sum(p.numel() for p in model.parameters()), rounds=int(rounds))
    save_results(record(every, ['python', 'benchmarks/edge.py'], about, time.time()-start), ROOT/'nbs/results/edge.json')
    for r in every:
        low, high = r.than_plain_interval
        print(f'{r.split:11}{r.name:46}{r.bytes_on_disk/1e6:7.2f} MB ({r.bytes_on_disk/shipped:.2f})  p5 {r.latency_ms_p5:6.2f} p50 {r.latency_ms_p50:6.2f} ms  '
              f'x{r.than_plain:.2f} [{low:.2f}, {high:.2f}]  logit off by {r.logit_difference:.4f}')

if __name__ == '__main__': main(*sys.argv[1:])

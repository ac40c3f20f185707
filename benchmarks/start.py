"""How long one waits before anything happens: an import, a help text, a finished run found done, an artifact loaded."""
import os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

def seconds(*words, env=None):
    "Of a process from its start to its end"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(HERE), **(env or {})})
    if done.returncode: sys.exit(done.stderr)
    return time.perf_counter()-start, done.stdout

def median(*words, rounds=5, **kw): return statistics.median(seconds(*words, **kw)[0] for _ in range(rounds))

LOAD = '''import sys, time
from hkd.artifact import load_compressed
import torch, transformers.models.bert.modeling_bert
start = time.perf_counter(); load_compressed(sys.argv[1]); print(time.perf_counter()-start)'''

def artifact(folder):
    "The one of SST-2, or one of its shape with random weights"
    if (at := HERE/'runs/sst2-ladder/artifact3').is_dir(): return at
    sys.path.insert(0, str(HERE/'benchmarks'))
    from backends import MINILM, text_model
    from hkd.artifact import save_compressed
    return save_compressed(text_model(3, 9700, **MINILM), folder/'artifact')

def measure(rounds=5, say=lambda text: print(text, file=sys.stderr, flush=True)):
    say('start: imports, help, a finished run, loading')
    with tempfile.TemporaryDirectory() as d:
        demo = ['-m', 'hkd.cli', 'run', 'demo-image', '--runs', f'{d}/runs', '--json']
        first = seconds(*demo, env=dict(HKD_CACHE=f'{d}/cache'))[0]
        loads = [float(seconds('-c', LOAD, str(artifact(Path(d))))[1]) for _ in range(rounds)]
        return dict(import_s=median('-c', 'import hkd', rounds=rounds), help_s=median('-m', 'hkd.cli', '--help', rounds=rounds), demo_image_run_s=first,
                    finished_run_s=median(*demo, rounds=rounds, env=dict(HKD_CACHE=f'{d}/cache')), load_artifact_s=statistics.median(loads))

if __name__ == '__main__': print(measure())

"""Kills runs at random moments: `python tools/torture.py [ROUNDS] [RECIPE...]` (`make torture`: 30 rounds of both demo recipes).

A round starts a recipe as a process of its own, kills it with SIGKILL at a moment drawn at random, starts the same command again, and so on until it ends. Then each file of weights must be that of a run nobody killed, bit for bit, and so must every metric but the timings; and a stage that was finished before a kill must not have been touched again.
"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ENV = {**os.environ, 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': '1', 'TOKENIZERS_PARALLELISM': 'false', 'PYTHONPATH': str(HERE)}

SHORT = {'demo-text': dict(teacher=3, baseline=1, student=2), 'demo-image': dict(teacher=12, baseline=1, student=2)}   # epochs: longer training only makes rounds longer

def start(recipe, runs):
    "The command, in a process group of its own"
    short = [x for stage, epochs in SHORT.get(recipe, {}).items() for x in ('--set', f'{stage}.epochs={epochs}')]
    words = [sys.executable, '-m', 'hkd.cli', 'run', recipe, '--runs', str(runs), '--json', *short]
    return subprocess.Popen(words, cwd=runs.parent, env=ENV | {'HKD_CACHE': str(runs.parent/'cache')}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)

def finished(folder):
    "Stages that are whole, with the moment they were written"
    return {f.parent.name: f.stat().st_mtime_ns for n in ('metrics.json', 'manifest.json') for f in folder.glob(f'[!.]*/{n}') if not f.parent.name.endswith('.partial')}

def outcome(folder):
    "What a run came to, without what depends on the clock"
    from hkd.pipeline import weights_of
    timed = ('latency_ms_p50', 'latency_ms_p95', 'throughput', 'peak_memory_mb', 'energy_j_per_1000')
    rows = [{k: v for k, v in r.items() if k not in timed} for r in json.loads((folder/'results.json').read_text())['rows']]
    trained = {f.parent.name: {k: v for k, v in json.loads(f.read_text()).items() if k in ('metrics', 'steps', 'key')} for f in sorted(folder.glob('*/metrics.json'))}
    return weights_of(folder), rows, trained

def one_round(recipe, seed, longest, home):
    "(kills, seconds, what is wrong)"
    rng, kills, began = random.Random(seed), 0, time.time()
    folder = home/'runs'/recipe
    while True:
        before = finished(folder)
        p = start(recipe, home/'runs')
        try: err = p.communicate(timeout=rng.uniform(1, longest) if kills < 12 else None)[1]
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL); p.communicate(); kills += 1
            err = None
        after = finished(folder)
        if again := [n for n, t in before.items() if after.get(n) != t]: return kills, time.time()-began, f'made again after a kill: {", ".join(again)}'
        if err is None: continue
        if p.returncode: return kills, time.time()-began, f'exit {p.returncode}: {err.strip().splitlines()[-1] if err.strip() else ""}'
        return kills, time.time()-began, None

def torture(recipe, rounds):
    "True if every round ended as the run that nobody killed"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        (tmp/'whole').mkdir()
        began = time.time()
        p = start(recipe, tmp/'whole/runs')
        err = p.communicate()[1]
        if p.returncode: sys.exit(f'{recipe} ends with {p.returncode} though nobody kills it: {err}')
        longest, whole, good = time.time()-began, outcome(tmp/'whole/runs'/recipe), 0
        print(f'{recipe}: {longest:.0f} s without a kill', flush=True)
        for seed in range(rounds):
            home = tmp/str(seed)
            home.mkdir()
            kills, seconds, wrong = one_round(recipe, seed, longest, home)
            if wrong is None:
                same = [a == b for a, b in zip(outcome(home/'runs'/recipe), whole)]
                if not all(same): wrong = f"other {' and '.join(n for n, s in zip(('weights', 'results', 'metrics'), same) if not s)} than without a kill"
            good += wrong is None
            print(f"round {seed}: {kills} kills, {seconds:.0f} s, {wrong or 'the same to the last bit'}", flush=True)
            shutil.rmtree(home)
        print(f'{recipe}: {good} of {rounds} rounds good')
        return good == rounds

if __name__ == '__main__':
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    sys.path.insert(0, str(HERE))
    sys.exit(not all([torture(r, rounds) for r in sys.argv[2:] or ('demo-text', 'demo-image')]))

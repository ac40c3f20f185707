"""What a search costs beside its trials, and how much two workers gain, into nbs/results/search.json.

`python benchmarks/search.py [ROUNDS]`, on a machine with nothing else to do. Each round is a search with one worker and one
with two; both try 20 sets of values, and no trial is dropped early, so that both do the same work. One thread a process."""
import json, os, statistics, sys, tempfile, time
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'
ROOT = Path(__file__).resolve().parent.parent
from hkd.files import atomic_write
from hkd.records import record
from hkd.space import split_space
from hkd.trials import Search, counted, open_study
from hkd.tune import search_with

TRIALS = 20
SHORT = dict(batch_size=64, more=dict(bf16=False, eval_strategy='no'))
RECIPE = dict(name='search', task='demo-text', stage=[
    dict(kind='finetune', name='teacher', model='demo-teacher', seed=0, steps=300, lr=2e-3, **SHORT),
    dict(kind='distill', name='student', model='demo-student', teacher='teacher', steps=600,
         lr=dict(low=1e-4, high=1e-2, log=True), alpha=dict(low=0, high=1), **SHORT)])

def timed(workers, folder):
    "Seconds of a search after its shared teacher is trained, and the sum of its trials' own"
    recipe, space = split_space(RECIPE)
    search = Search(recipe=recipe, space=space, folder=Path(folder), trials=1)
    search_with(search)
    search.trials += TRIALS
    start = time.time()
    search_with(search, workers)
    wall, trials = time.time()-start, counted(open_study(search), ['COMPLETE'])
    assert len(trials) == TRIALS+1, 'not all trials finished'
    return dict(wall=wall, own=sum(t.user_attrs['seconds'] for t in trials[1:]))

def main(rounds=3):
    kept = 'command', 'commit', 'dirty', 'versions', 'hardware'
    made = {k: record([], 'python benchmarks/search.py').data[k] for k in kept}   # of the code as it starts
    start, found = time.time(), {1: [], 2: []}
    for i in range(rounds):
        for workers in found:
            with tempfile.TemporaryDirectory() as folder: found[workers].append(timed(workers, folder))
            print(i, workers, found[workers][-1], flush=True)
    one, two = found.values()
    overhead = statistics.median(t['wall']/t['own']-1 for t in one)
    gain = statistics.median(a['wall']/b['wall'] for a, b in zip(one, two))
    out = dict(made, config=dict(trials=TRIALS, recipe=RECIPE), seconds=time.time()-start, overhead=overhead,
               two_workers_gain=gain, rounds=found)
    atomic_write(ROOT/'nbs/results/search.json', json.dumps(out, indent=1)+'\n')
    print(f'overhead {100*overhead:.1f} %, two workers {gain:.2f}x')

if __name__ == '__main__': main(*map(int, sys.argv[1:]))

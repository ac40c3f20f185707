"""Kills the workers of a search at random moments: no trial may be lost or made twice, and the search must end.

`python tools/workers.py [STORAGE...]` with sqlite, journal, postgresql (a server of its own in a temporary folder, where
Debian's package is installed); all by default. A trial here sleeps for a moment instead of training.
"""
import os, random, shutil, signal, subprocess, sys, tempfile, time
from contextlib import ExitStack, contextmanager
from pathlib import Path

WORKERS, TRIALS, KILLS, BEAT = 4, 40, 10, 3
CODE = f"""
import os, random, time
from hkd import trials
from hkd.tune import _worker
trials.HEARTBEAT = {BEAT}
def run_trial(search, trial, task):
    x = trial.suggest_float('student.alpha', 0, 1)
    trial.set_user_attr('pid', os.getpid())
    time.sleep(random.uniform(.5, 1.5))
    return [x]
trials.run_trial = run_trial
_worker()"""
RECIPE = dict(name='kills', task='demo-text', stage=[dict(
    kind='distill', name='student', model='demo-student', teacher='demo-teacher', alpha=dict(low=0, high=1))])

@contextmanager
def postgresql():
    "The URL of a database on a server that lives as long as this context"
    bin = max(Path('/usr/lib/postgresql').glob('*/bin'), default=None)
    if bin is None: raise FileNotFoundError("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as d:
        own, user = Path(d)/'pg', []
        if os.geteuid() == 0:   # a server refuses to run as root
            shutil.chown(d, 'postgres')
            user = ['runuser', '-u', 'postgres', '--']
        run = lambda *args: subprocess.run([*user, *map(str, args)], check=True, capture_output=True, cwd=d)
        run(bin/'initdb', '-D', own, '-A', 'trust', '-U', 'postgres')
        port = random.randint(20000, 50000)
        run(bin/'pg_ctl', '-D', own, '-w', '-l', f'{d}/log', '-o', f'-p {port} -k {d} -c listen_addresses=127.0.0.1', 'start')
        try: yield f'postgresql+psycopg://postgres@127.0.0.1:{port}/postgres'
        finally: run(bin/'pg_ctl', '-D', own, '-m', 'immediate', 'stop')

def start(search, worker):
    from json import dumps
    process = subprocess.Popen([sys.executable, '-c', CODE], stdin=subprocess.PIPE, text=True)
    with process.stdin as pipe: pipe.write(dumps(dict(search=search.as_json(), worker=worker, until=None)))
    return process

def torture(storage, folder, seed=0):
    "What became of the trials, after the kills"
    from hkd import trials
    from hkd.space import split_space
    recipe, space = split_space(RECIPE)
    trials.HEARTBEAT = BEAT
    search = trials.Search(recipe=recipe, space=space, folder=Path(folder), trials=TRIALS, storage=storage)
    study, rng = trials.open_study(search), random.Random(seed)
    workers, kills, started, begin = [start(search, i) for i in range(WORKERS)], 0, WORKERS, time.time()
    last = 0
    while any(w.poll() is None for w in workers):
        time.sleep(.1)
        running = [t.user_attrs['pid'] for t in trials.counted(study, ['RUNNING']) if 'pid' in t.user_attrs]
        at_work = [w for w in workers if w.poll() is None and w.pid in running]
        if kills < KILLS and time.time() > last and at_work:
            last = time.time()+rng.uniform(.2, 2)
            rng.choice(at_work).send_signal(signal.SIGKILL)   # in the middle of a trial
            kills += 1
        for i,w in enumerate(workers):
            if w.poll() is not None and w.returncode != 0:
                workers[i], started = start(search, started), started+1
        assert time.time()-begin < 900, 'the search does not end'
    states = [t.state.name for t in study.get_trials(deepcopy=False)]
    done = [t for t in study.get_trials(deepcopy=False) if t.state.name == 'COMPLETE']
    values = [t.params['student.alpha'] for t in done]
    failed = [t.params['student.alpha'] for t in trials.counted(study, ['FAIL']) if t.params]   # some of them again
    assert states.count('COMPLETE') == TRIALS, states
    assert len(set(values)) == TRIALS, 'a trial was made twice'
    assert set(failed) <= set(values), 'a trial was lost'
    return dict(complete=len(done), killed=kills, tried_again=len(failed), workers=started, seconds=round(time.time()-begin))

if __name__ == '__main__':
    for name in sys.argv[1:] or ('sqlite', 'journal', 'postgresql'):
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            if name == 'postgresql':
                try: storage = stack.enter_context(postgresql())
                except FileNotFoundError as e: print(f'{name}: skipped, {e}'); continue
            else: storage = dict(sqlite=None, journal=f'{folder}/search.log')[name]
            print(name, torture(storage, folder))

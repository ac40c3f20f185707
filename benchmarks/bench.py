"""All benchmarks, one after the other, into nbs/results/bench.json: `make bench`, or `python benchmarks/bench.py [PART...]` for some of backends, training, precision, growth, start.

A part that isn't named keeps what the record has of it. Nothing else should run on the machine meanwhile.
"""
import importlib, json, sys, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PARTS = ('backends', 'training', 'precision', 'growth', 'start')
OUT = HERE/'nbs/results/bench.json'

def main(parts):
    from hkd.records import load_results, record, save_results
    if bad := [p for p in parts if p not in PARTS]: sys.exit(f"{bad[0]}: no such part; there are {', '.join(PARTS)}")
    kept = load_results(OUT).data if OUT.is_file() else {}
    found = {p: kept[p] for p in PARTS if p in kept}
    rows = kept.get('rows', [])
    if parts and not rows and 'backends' not in parts: sys.exit('the record has no backends yet: name that part too')
    for p in [p for p in PARTS if p in parts or not parts]:
        start = time.time()
        found[p] = importlib.import_module(p).measure() | dict(seconds=time.time()-start)
        rows = found[p].pop('rows', rows)
        found[p]['made'] = {k: record([], 'make bench', {}, 0).data[k] for k in ('commit', 'dirty', 'versions', 'hardware')}   # of this part; others may be older
        rec = record(rows, 'make bench', dict(parts=list(PARTS)), sum(f['seconds'] for f in found.values()))
        rec.data |= found
        save_results(rec, OUT)
    print(json.dumps({p: {k: v for k, v in d.items() if k in ('ratios', 'seconds') or p == 'start'} for p, d in found.items()}, indent=1))

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1:])

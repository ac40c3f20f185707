"""Runs notebooks from top to bottom and saves their outputs: `python tools/execute.py NB...`, or `make run NB=...`.

Left out are the cells that only Colab needs, those marked `eval: false`, `slow` or `cuda`, and the export at the end. What goes to
standard error isn't kept. A notebook with an error stays as it was.
"""
import json, os, re, sys
from pathlib import Path

os.environ |= dict(HKD_HEARTBEAT='0', HF_HUB_OFFLINE='1', TOKENIZERS_PARALLELISM='false')
LEFT_OUT = re.compile(r'^#\|\s*(eval:\s*false|slow|cuda|default_exp)|^# On Colab only|nbdev_export\(\)', re.M)

def execute(path):
    "Run one notebook; the traceback of its first error, if there is one"
    from execnb.nbio import read_nb
    from execnb.shell import CaptureShell
    path, before = path.resolve(), os.getcwd()
    raw, shell = json.loads(path.read_text(encoding='utf-8')), CaptureShell(path=path.parent)
    os.chdir(path.parent)
    try:
        for kept, cell in zip(raw['cells'], read_nb(path).cells):
            if cell.cell_type != 'code' or LEFT_OUT.search(cell.source): continue
            shell.cell(cell)
            outputs = json.loads(json.dumps(cell.get('outputs', [])))
            if error := next((o for o in outputs if o['output_type'] == 'error'), None): return f"cell {kept['id']}\n" + '\n'.join(error['traceback'])
            kept['outputs'] = [o for o in outputs if o.get('name') != 'stderr']
    finally: os.chdir(before)
    path.write_text(json.dumps(raw, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')

if __name__ == '__main__':
    if not sys.argv[1:]: sys.exit('name a notebook, such as nbs/05_prune.ipynb')
    for name in map(Path, sys.argv[1:]):
        if not name.is_file(): sys.exit(f'{name}: no such notebook')
        if error := execute(name): sys.exit(f'{name}: {error}')
        print(name)

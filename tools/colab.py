"""The two cells that let each notebook open and run on Colab, made from settings.ini: `python tools/colab.py` (`make colab`) puts them in.

The badge heads the second cell. The third, hidden, does nothing anywhere but on Colab: there it fetches the repository and installs it; Colab's own torch fits the range in settings.ini, so pip leaves it alone."""
import json, sys
from pathlib import Path
from links import ROOT, settings

CFG = settings()
NBS = ROOT/CFG['nbs_path']

def link(name):
    "Where a notebook opens on Colab"
    user, repo, branch, nbs = (CFG[k] for k in ('user','repo','branch','nbs_path'))
    return f'https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/{nbs}/{name}'

def badge(name):
    "The line that opens a notebook on Colab; on the site tools/links.py makes html of it"
    return f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link(name)})'

def install():
    "The hidden cell; what the pages read lies beside them, so it is linked to where Colab runs them"
    repo, nbs = CFG['repo'], CFG['nbs_path']
    return ('#| hide\n# On Colab only: fetch hkd and what this page reads\n'
            f"![ -e /content ] && cd /content && {{ [ -e {repo} ] || git clone -q --depth 1 {CFG['git_url']}; pip install -q './{repo}[onnx]'; ln -sfn {repo}/{nbs}/* {repo}/recipes .; }}")

def is_install(c): return c['cell_type']=='code' and '![ -e /content ]' in ''.join(c['source'])

def put(nb):
    "A notebook with both cells as they should be; True if that changed it"
    text = nb.read_text(encoding='utf-8')
    d = json.loads(text)
    cells = [c for c in d['cells'] if not is_install(c)]
    old = next((c for c in d['cells'] if is_install(c)), None)
    rest = '\n'.join(l for l in ''.join(cells[1]['source']).split('\n') if 'colab.research.google.com/' not in l).strip()
    cells[1]['source'] = f'{badge(nb.relative_to(NBS).as_posix())}\n\n{rest}'.strip().splitlines(keepends=True)
    cell = dict(cell_type='code', execution_count=None, id=(old or {}).get('id') or f"colab{nb.stem.split('_')[0]}", metadata={}, outputs=[], source=install().splitlines(keepends=True))
    d['cells'] = [*cells[:2], cell, *cells[2:]]
    new = json.dumps(d, indent=1, ensure_ascii=False)+'\n'
    if new==text: return False
    nb.write_text(new, encoding='utf-8')
    return True

if __name__=='__main__':
    for nb in sorted([*NBS.glob('*.ipynb'), *NBS.glob('guides/*.ipynb')]):
        if put(nb): print(nb.name)

"Make README.md from nbs/index.ipynb: `python tools/readme.py`"
import base64, json, re, sys
from links import ROOT, fill, settings

def directives(src):
    "The words after `#|` at the head of a cell, for example {'hide', 'echo: false'}"
    return {' '.join(m.split()) for m in re.findall(r'^#\|(.*)$', src, re.M)}

def strip_directives(src): return re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip()

def rebase(md):
    "Relative links and pictures of a notebook, seen from the repository's root"
    def link(m): return m[0] if re.match(r'[a-z]+:|#|/', m[2]) else f'{m[1]}nbs/{m[2]}'.replace('nbs/../', '')
    return re.sub(r'''(\]\(|\bsrc="|\bhref=")([^)"\s]+)''', link, md)

def outside_fences(f, md):
    "Apply `f` to what is not inside a fenced block of `md`"
    parts = re.split(r'(^```.*?^```[^\n]*$)', md, flags=re.M|re.S)
    return ''.join(p if i%2 else f(p) for i,p in enumerate(parts))

def output_md(out, cell, pictures):
    "One output as markdown; a picture goes to `pictures` and is linked"
    if out.get('name')=='stderr': return ''
    data = out.get('data', {})
    text = lambda t: ''.join(t)
    if 'image/png' in data:
        name = f'images/readme-{cell["id"]}-{len(pictures)}.png'
        pictures[name] = base64.b64decode(text(data['image/png']))
        alt = re.search(r'^#\|\s*fig-(?:alt|cap):\s*(.+)$', text(cell['source']), re.M)
        return f'![{alt[1].strip(chr(34)+chr(39)+" ") if alt else ""}](nbs/{name})'
    if 'text/markdown' in data: return outside_fences(rebase, text(data['text/markdown'])).strip()
    plain = text(out.get('text', data.get('text/plain', ''))).rstrip()
    plain = re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '', plain)
    return f'```text\n{plain}\n```' if plain else ''

def cell_md(cell, pictures):
    "One cell as markdown, '' where the page hides it"
    src, hidden = ''.join(cell['source']), {'hide', 'include: false', 'default_exp'}
    flags = directives(src)
    if any(f in hidden or f.startswith('default_exp') for f in flags): return ''
    if cell['cell_type']=='markdown': return outside_fences(rebase, src).strip()
    if cell['cell_type']!='code': return ''
    code = strip_directives(src)
    shown = code and not flags & {'echo: false', 'hide_input'}
    parts = [f'```python\n{code}\n```'] if shown else []
    if not flags & {'output: false', 'hide_output'}: parts += [output_md(o, cell, pictures) for o in cell['outputs']]
    return '\n\n'.join(p for p in parts if p)

def make():
    "The README's text, and its pictures by their path in nbs/"
    cfg, pictures = settings(), {}
    nb = json.loads((ROOT/cfg['nbs_path']/cfg['readme_nb']).read_text(encoding='utf-8'))
    note = f"<!-- Made from {cfg['nbs_path']}/{cfg['readme_nb']} by `make readme`: change it there. -->"
    body = [cell_md({**c, 'source': fill(''.join(c['source']), cfg)}, pictures) for c in nb['cells']]
    return '\n\n'.join([note]+[b for b in body if b])+'\n', pictures

def differences():
    "What of README.md and its pictures is not what `make` gives"
    text, pictures = make()
    want = {ROOT/'README.md': text.encode()} | {ROOT/'nbs'/k: v for k,v in pictures.items()}
    old = [p for p in (ROOT/'nbs'/'images').glob('readme-*.png') if p not in want]
    return {p: want.get(p) for p in [*want, *old] if p not in want or not p.exists() or p.read_bytes()!=want[p]}

def main():
    "Write what differs, remove pictures that are no longer shown"
    for path, content in differences().items():
        if content is None: path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        print('removed' if content is None else 'wrote', path.relative_to(ROOT))

if __name__=='__main__': sys.exit(main())

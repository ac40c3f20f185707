"""Every check that `make test` runs: `python tools/check.py [NAME...]` (no name: all; see `--list`)

Each function marked `@check` is one check; it raises `Failed` with what to mend. Each notebook counts as one more."""
import ast, base64, builtins, hashlib, itertools, json, multiprocessing, os, re, resource, shutil, subprocess, sys
import tempfile, time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from urllib.parse import unquote
import colab, readme, rules
from links import ROOT, link_text, names, page_of, place, settings

CFG = settings()
NBS, LIB = ROOT/CFG['nbs_path'], ROOT/CFG['lib_path']
TESTS = NBS/'tests'
PY, BIN = sys.executable, Path(sys.executable).parent
HANGS = 2400   # seconds after which a process is taken to hang: ten times what the longest one takes
START_MODULES = 450   # what `hkd --help` may import, the standard library included
IMAGE_KB, FILE_KB = 200, 1500
ENV = {**os.environ, 'HF_HUB_OFFLINE':'1', 'HF_DATASETS_OFFLINE':'1', 'TOKENIZERS_PARALLELISM':'false', 'OMP_NUM_THREADS':'1',
       'MKL_NUM_THREADS':'1', 'PYTHONPATH':str(ROOT), 'PYTHONWARNINGS':'ignore', 'PIP_DISABLE_PIP_VERSION_CHECK':'1'}
ENV.pop('IN_TEST', None)

# Which modules an exported cell may import, function-level imports included. Runs one way: 02 to 05 never import one another.
MAY_IMPORT = {
    'files':        '',
    'checks':       'files former',
    'images':       'files',
    'progress':     '',
    'manifest':     'files',
    'words':        'files',
    'light':        'files images manifest words',
    'splits':       'files checks images',
    'demo':         'files',
    'tables':       'files checks progress words',
    'data':         'files checks progress splits demo tables',
    'batches':      'files images progress words data',
    'architecture': 'files masks',
    'heads':        'files checks architecture',
    'models':       'files masks architecture heads',
    'vocab':        'files architecture',
    'former':       '',
    'kd':           'files checks',
    'shell':        'files checks kd data tables',
    'layer_losses': 'files',
    'kd_losses':    'files checks kd layer_losses',
    'scores':       'checks data words',
    'masks':        'files',
    'label_teacher': 'files',
    'teachers':     'files progress label_teacher data batches scores architecture heads models kd kd_losses',
    'embeddings':   'files label_teacher data batches architecture heads models teachers',
    'resume':       'files data batches architecture models masks teachers',
    'trainer':      'files label_teacher progress data batches scores architecture models layer_losses kd_losses masks teachers resume',
    'training':     'files checks images kd light words embeddings progress data batches scores architecture heads models kd_losses teachers resume trainer',
    'successive':   'files data models teachers training',
    'multiagent':   'files data scores models teachers training',
    'qlora':        'files checks kd data architecture heads models kd_losses masks teachers training',
    'prune':        'files kd data batches architecture heads models kd_losses masks teachers training',
    'artifact':     'files checks manifest data scores architecture heads models masks teachers qlora',
    'predictor':    'files images manifest light shell architecture models training artifact',
    'serve':        'files shell predictor',
    'export':       'files images light words manifest architecture models artifact',
    'web':          'files light manifest architecture models artifact export',
    'openvino':     'files data models artifact export web',
    'stats':        'files',
    'records':      'files former stats',
    'measure':      'files checks progress manifest data scores architecture heads models teachers training qlora artifact '
                    'stats records',
    'bundle':       'files checks images demo data light architecture models export openvino records',
    'report':       'files stats records',
    'recipe':       'files checks former kd',
    'jobs':         'files former recipe',
    'stages':       'files checks label_teacher manifest words data demo architecture models vocab teachers training multiagent '
                    'qlora prune artifact recipe jobs',
    'pipeline':     'files checks label_teacher progress data scores heads models vocab teachers resume training stats records measure report '
                    'recipe jobs stages',
    'space':        'files checks recipe',
    'footprint':    'architecture models teachers artifact measure recipe jobs stages',
    'trials':       'files data training trainer artifact measure footprint jobs pipeline recipe space stages',
    'tune':         'files progress data pipeline recipe records report resume space stages stats trials',
    'hub':          'files checks manifest architecture models artifact stats records measure report recipe jobs',
    'glue':         'files checks report',
    'runs':         'files checks shell data glue records report recipe jobs stages pipeline space',
    'explore':      'files data scores heads teachers training records measure report',
    'all':          'data models vocab kd_losses teachers training successive multiagent qlora prune artifact export hub tune '
                    'measure stats records report recipe pipeline',
    'cli':          'files checks kd shell runs progress',  # at the top of the module; inside functions it may import any
}
LIGHT = {'former', 'kd', 'recipe', 'jobs', 'space'}
REGISTERED = {('artifact', 'export'), ('artifact', 'openvino')}  # a later module that adds its loader, imported when it is first used
TAKE_LONG = {'docs', 'package'}  # run beside the notebooks
LEAVES = {'masks', 'former', 'files', 'checks', 'images', 'progress', 'splits', 'demo', 'words', 'tables', 'architecture', 'heads', 'label_teacher'}  # they
# import leaves only, so earlier notebooks may import them

class Failed(Exception): "A check did not pass; the message says what to mend"
CHECKS = {}

def check(f):
    "Register `f` as a check, called by its name with dashes"
    CHECKS[f.__name__.replace('_','-')] = f
    return f

def sh(*cmd, cwd=ROOT, env=ENV, timeout=HANGS):
    "Run a command; its output when it succeeds, `Failed` with the output otherwise"
    try: r = subprocess.run([str(c) for c in cmd], cwd=cwd, env=env, timeout=timeout, text=True, errors='replace', stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired as e: raise Failed(f'{Path(cmd[0]).name} took more than {timeout} s\n{(e.stdout or b"").decode(errors="replace")}')
    except OSError as e: raise Failed(f'cannot run {cmd[0]}: {e.strerror}')
    if r.returncode: raise Failed(f'exit {r.returncode}: {" ".join(map(str,cmd))[:200]}\n{r.stdout}')
    return r.stdout

def files():
    "What git tracks or would track: everything that is not ignored"
    r = subprocess.run(['git','ls-files','-z','--cached','--others','--exclude-standard'], cwd=ROOT, text=True, capture_output=True)
    if r.returncode: raise Failed('this needs a git clone: git ls-files says '+r.stderr.strip())
    return sorted(p for o in set(r.stdout.split('\0'))-{''} if (p := ROOT/o).is_file())

def rel(p): return Path(p).relative_to(ROOT).as_posix()
def snapshot(*folders):
    "Content hash by path, of all files or of those in `folders`"
    return {rel(p): hashlib.sha1(p.read_bytes()).hexdigest() for p in files() if not folders or any(f in p.parents for f in folders)}
def changed(a, b): return sorted(k for k in a.keys()|b.keys() if a.get(k)!=b.get(k))

def notebooks(): return sorted(p for p in NBS.rglob('*.ipynb') if not re.search(r'/[_.]', '/'+p.relative_to(NBS).as_posix()))
def pages(): return [nb for nb in notebooks() if TESTS not in nb.parents] # what a reader sees; nbs/tests holds the rest
def cells(nb): return json.loads(nb.read_text(encoding='utf-8'))['cells']
def code(nb): return [''.join(c['source']) for c in cells(nb) if c['cell_type']=='code']
def directives(src): return re.findall(r'^#\s*\|\s*(.+?)\s*$', src, re.M)
def module_of(nb): return next((d.split()[1] for s in code(nb) for d in directives(s) if d.startswith('default_exp')), None)

# --- the tree ---

@check
def export_and_clean():
    "nbdev_export and nbdev_clean leave the tree as it was"
    before = snapshot(NBS, LIB)
    sh(BIN/'nbdev_export'), sh(BIN/'nbdev_clean')
    if diff := changed(before, snapshot(NBS, LIB)): raise Failed('export or clean changed (look, then commit): '+', '.join(diff))
    made = {m.replace('.','/')+'.py' for nb in notebooks() if (m := module_of(nb))} | {'__init__.py','_modidx.py'}
    if stray := sorted(p.name for p in LIB.rglob('*.py') if p.relative_to(LIB).as_posix() not in made): raise Failed('no notebook exports '+', '.join(stray))

@check
def readme_is_made():
    "README.md is what `make readme` makes"
    if diff := readme.differences(): raise Failed('run `make readme`, it changes '+', '.join(map(rel, diff)))

MACHINE = re.compile(r'(?<![\w.~$}/+%*-])(?:/(?:home|Users|work|opt)/\w|/roo[t]/|/(?:private/)?tmp/\w+[\w.-]*/|/tmp/tmp\w|/(?:private/)?var/folders/|/usr/(?:local/)?lib/python|[A-Z]:\\{1,2}Users\\|'+'file:'+'//'+r'/)')

@check
def no_machine_paths():
    "No file names a path of the machine it was made on"
    here = [re.escape(str(p)) for p in (ROOT, Path.home()) if len(p.parts)>2]
    here = re.compile(r'(?:'+'|'.join(here)+r')(?![\w])') if here else None
    bad = []
    for p in files():
        try: lines = re.sub(r'\\[nrt]', ' ', p.read_text(encoding='utf-8')).splitlines()
        except UnicodeDecodeError: continue
        bad += [f'{rel(p)}:{i}: {l.strip()[max(0,m.start()-40):m.end()+40]}' for i,l in enumerate(lines,1) if (m := MACHINE.search(l.strip()) or here and here.search(l.strip()))]
    if bad: raise Failed('\n'.join(bad[:20]))

def pictures(nb):
    "Bytes of each picture stored in a notebook's outputs"
    for c in cells(nb):
        for o in c.get('outputs', []):
            for k,v in o.get('data', {}).items():
                if k.startswith('image/'): yield c['id'], len(''.join(v)) if 'svg' in k else len(base64.b64decode(''.join(v)))

@check
def sizes():
    "Pictures are under 200 kB, artifacts that come with the repository under 5.5 MB, other files under 1.5 MB"
    bad = []
    for p in files():
        limit = IMAGE_KB if p.suffix.lower() in {'.png','.jpg','.jpeg','.gif','.svg','.webp'} else FILE_KB
        if rel(p).startswith('artifacts/'): limit = 5500
        if p.stat().st_size>limit*1000: bad.append(f'{rel(p)}: {p.stat().st_size//1000} kB, at most {limit}')
    for nb in notebooks(): bad += [f'{rel(nb)}: the picture of cell {i} has {n//1000} kB, at most {IMAGE_KB}' for i,n in pictures(nb) if n>IMAGE_KB*1000]
    if bad: raise Failed('\n'.join(bad))

@check
def owner_stands_alone():
    "Owner and repository name stand in settings.ini alone (README.md and the index of modules are made from it)"
    names = re.compile('|'.join(re.escape(CFG[k].split('://')[-1]) for k in ('git_url','doc_host'))+'|'+re.escape(f"{CFG['user']}/{CFG['repo']}"))
    made = {'settings.ini', 'README.md', f"{CFG['lib_path']}/_modidx.py"}
    text = {rel(p): p.read_text(encoding='utf-8', errors='ignore') for p in files() if rel(p) not in made}
    for nb in notebooks(): text[rel(nb)] = '\n'.join(''.join(c['source']) for c in cells(nb)).replace(colab.badge(nb.relative_to(NBS).as_posix()), '').replace(f"git clone -q --depth 1 {CFG['git_url']};", '')
    if bad := [k for k,v in text.items() if names.search(v)]: raise Failed('write %(user)s, %(repo)s or %(git_url)s instead, in '+', '.join(bad))

@check
def colab_cells():
    "Each notebook has its badge and its install cell, as `make colab` makes them"
    for nb in pages():
        second, third = cells(nb)[1:3]
        if colab.badge(nb.relative_to(NBS).as_posix()) not in ''.join(second['source']) or ''.join(third['source'])!=colab.install(): raise Failed(f'{rel(nb)}: run `make colab`')

def option_fault(line):
    "What is wrong with a `#| key: value` line for quarto, which reads it as YAML; None if nothing is"
    import yaml
    text = re.sub(r'^\s*#\s*\|\s*', '', line).rstrip()
    if ':' not in text: return None  # a word of nbdev's
    if not re.match(r'[\w-]+:(\s|$)', text): return 'no space after the colon'
    if text.endswith(':'): return None  # nbdev takes `hide:` for `hide`
    try: (key, value), = yaml.safe_load(text).items()
    except yaml.YAMLError as e: return str(e).splitlines()[0]
    plain = text[len(key)+1:].strip()
    if key in ('fig-alt','fig-cap') and not isinstance(value, str): return f'{key} is no text'
    if isinstance(value, str) and plain[0] not in '"\'>|' and value!=plain: return f'YAML reads {value!r}'

def front_matter_fault(text):
    "What is wrong with a raw cell that holds front matter; None if nothing is"
    import yaml
    if not (m := re.match(r'---\s*\n(.*?)^---\s*$', text.strip(), re.M|re.S)): return None
    try: return None if isinstance(yaml.safe_load(m[1]), dict) else 'no list of keys and values'
    except yaml.YAMLError as e: return str(e).replace('\n', ' ')

def cell_faults(cell):
    "(line, fault) for each `#|` line at the head of a code cell, or for its front matter, that is no YAML"
    lines = ''.join(cell['source']).splitlines()
    if cell['cell_type']=='raw': return [(lines[0], f)] if (f := front_matter_fault('\n'.join(lines))) else []
    if cell['cell_type']!='code': return []
    head = list(itertools.takewhile(lambda l: re.match(r'\s*(#\s*\||$)', l), lines))
    return [(l, fault) for l in head if (fault := option_fault(l))]

BAD_OPTIONS = ['#| fig-alt: six steps: trained', '#| fig-alt: [a]', '#| fig-alt: curve #2', '#|fig-alt:steps']
GOOD_OPTIONS = ['#| fig-alt: "six steps: trained"', '#| code-fold: true', '#| default_exp data', '#| hide:']

@check
def cell_options():
    "Every `#|` line and every front matter is YAML that quarto can read (quote a text that holds a colon)"
    if missed := [l for l in BAD_OPTIONS if not option_fault(l)]: raise Failed(f'it misses {missed[0]}')
    if wrong := [l for l in GOOD_OPTIONS if option_fault(l)]: raise Failed(f'it refuses {wrong[0]}')
    faults = ((nb, c, *f) for nb in notebooks() for c in cells(nb) for f in cell_faults(c))
    bad = [f"{rel(nb)}: cell {c.get('id')}: {fault}: {line}" for nb,c,line,fault in faults]
    if bad: raise Failed('\n'.join(bad))

def prints(src):
    "Does a cell print something, whatever happens?"
    try: tree = ast.parse(re.sub(r'^[!%].*$', '', src, flags=re.M))
    except SyntaxError: return False
    return any(isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and getattr(n.value.func, 'id', '')=='print' for n in tree.body)

@check
def outputs_are_stored():
    "What a cell prints is stored with it: the site shows stored outputs"
    for nb in notebooks():
        for c in cells(nb):
            src = ''.join(c['source'])
            if c['cell_type']=='code' and not c['outputs'] and not {'hide','eval: false','cuda'} & set(directives(src)) and prints(src): raise Failed(f"{rel(nb)}: cell {c['id']} prints, but has no output: run the notebook and save it")

@check
def recipes_fit():
    "Each recipe of the repository reads, and has the stages that tools/records.py trains"
    sys.path.insert(0, str(ROOT/'tools'))
    import records
    from hkd.recipe import with_overrides
    from hkd.space import needed, split_space
    for f in sorted([*(ROOT/'recipes').glob('*.toml'), *(LIB/'recipes').glob('*.toml')]): split_space(str(f))
    for what,of,stage,settings in (t for trials in records.TRIED.values() for t in trials):
        if stage not in needed(with_overrides(records.recipe(of), *settings), stage): raise Failed(f'tools/records.py, {what!r}: {of} has no stage {stage}')

# --- the modules ---

def imports(tree, top=False):
    "(module of hkd or other package, line) for each import in `tree`; with `top` only those that run on import"
    def walk(node):
        for n in ast.iter_child_nodes(node):
            if top and isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)): continue
            yield n
            yield from walk(n)
    lib = CFG['lib_name']
    for n in walk(tree):
        if isinstance(n, ast.Import): names = [a.name for a in n.names]
        elif isinstance(n, ast.ImportFrom) and (n.level or n.module==lib): names = [f'{lib}.{n.module}'] if n.level and n.module else [f'{lib}.{a.name}' for a in n.names]
        elif isinstance(n, ast.ImportFrom): names = [n.module]
        elif isinstance(n, ast.Call) and getattr(n.func,'attr',getattr(n.func,'id',''))in('import_module','__import__') and n.args and isinstance(n.args[0],ast.Constant): names = [n.args[0].value]
        else: continue
        yield from ((o, n.lineno) for o in names)

def own(names):
    "The modules of hkd among imported names"
    lib = CFG['lib_name']+'.'
    return [(o[len(lib):].split('.')[0], l) for o,l in names if o.startswith(lib) and not o.startswith(lib+'__')]

@check
def imports_run_one_way():
    "Exported modules import what the table at the top of this file allows, and only what comes before them"
    order, bad = [m for nb in notebooks() if (m := module_of(nb))], []
    for i,m in enumerate(order):
        f = LIB/f'{m}.py'
        if m not in MAY_IMPORT: bad.append(f'{m}: no row in MAY_IMPORT of tools/check.py'); continue
        if not f.exists(): bad.append(f'{rel(f)} is missing: run make export'); continue
        tree = ast.parse(f.read_text(encoding='utf-8'))
        for o,l in own(imports(tree, top=m=='cli')):
            if (m, o) not in REGISTERED and o not in MAY_IMPORT[m].split(): bad.append(f'{rel(f)}:{l}: {m} may not import {o}{" at its top" if m=="cli" else ""}: see MAY_IMPORT in tools/check.py')
        for o,l in own(imports(tree)):
            if o not in order[:i] and o not in LEAVES and (m, o) not in REGISTERED: bad.append(f'{rel(f)}:{l}: {o} is not exported by an earlier notebook')
        if m in LIGHT: bad += [f'{rel(f)}:{l}: {m} imports the standard library and a few modules of hkd only, not {o}' for o,l in imports(tree)
                                      if o.split('.')[0] not in sys.stdlib_module_names and o not in ('hkd.checks', 'hkd.files', 'hkd.former', 'hkd.kd', 'hkd.recipe')]
    if bad: raise Failed('\n'.join(bad))

def modules(): return {f.stem: f.read_text(encoding='utf-8') for f in sorted(LIB.glob('*.py')) if f.stem!='_modidx'}

@check
def house_rules():
    "Short lines; no private name leaves its file; no public name stands in two modules; importing prints nothing"
    subprocess.run([PY, ROOT/'tools/rules.py'], check=True)   # the rules themselves
    bad = rules.defined_twice(modules())
    for name,text in modules().items():
        bad += rules.long_lines(name, text) + rules.private_imports(name, text) + rules.loud_imports(name, text)
    if bad: raise Failed('\n'.join(bad))
    lines = {name: text.count('\n') for name,text in modules().items()}
    longest = max(lines, key=lines.get)
    if lines[longest]>rules.MODULE_LINES: raise Failed(f'{longest} has {lines[longest]} lines: at most {rules.MODULE_LINES}')
    return f'{sum(lines.values()):,} lines in {len(lines)} modules, the longest is {longest} with {lines[longest]}'

FORMER = {'00o_former.ipynb'}   # the page that lists former names
ALLOWED = ['nobody would say', r'study\.tell', 'optimism']   # the demo's grammar; a method of Optuna; an emotion

@check
def plain_words():
    "Pages, tests and README use the present words, not those that `rules.OLD` replaces"
    texts = {rel(nb): '\n'.join(''.join(c['source']) for c in cells(nb)) for nb in notebooks() if nb.name not in FORMER}
    texts['README.md'] = (ROOT/'README.md').read_text(encoding='utf-8')
    bad = [f'{name}: {old!r}, write: {new}' for name,text in texts.items() for old,new in rules.old_words(text, ALLOWED)]
    if bad: raise Failed('\n'.join(bad[:40]))

@check
def pages_show_results():
    "At least half of the visible code cells have an output"
    shown = [rules.shown(cells(nb)) for nb in pages()]
    some,all_ = (sum(column) for column in zip(*shown))
    if some<.5*all_: raise Failed(f'{some} of {all_} visible code cells have an output')
    return f'{some} of {all_} visible code cells'

HEAVY = {'torch','transformers','datasets','numpy','pandas','matplotlib','huggingface_hub'}

def imported(code):
    "Modules that a new process has after some Python code"
    out = sh(PY, '-c', f'import sys\n{code}\nprint("imported:", *sys.modules)')
    return set(out.rpartition('imported:')[2].split())

def undefined(tree):
    "Names that a module reads and nothing in it defines, with their lines"
    nodes, found = list(ast.walk(tree)), {*dir(builtins), '__file__', '__name__'}
    for n in nodes:
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): found.add(n.name)
        elif isinstance(n, ast.arg): found.add(n.arg)
        elif isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load): found.add(n.id)
        elif isinstance(n, (ast.Import, ast.ImportFrom)): found |= {(a.asname or a.name).split('.')[0] for a in n.names}
        elif isinstance(n, ast.ExceptHandler) and n.name: found.add(n.name)
    return [(n.id, n.lineno) for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id not in found]

@check
def names_are_defined():
    "No module reads a name that it neither defines nor imports, such as a library whose import was moved away"
    assert undefined(ast.parse('import os\ndef f(x): return re.sub(x, os.sep)')) == [('re', 2)]
    bad = [f'{rel(f)}:{line}: {name}' for f in sorted(LIB.glob('*.py')) for name,line in undefined(ast.parse(f.read_text(encoding='utf-8')))]
    if bad: raise Failed('\n'.join(bad))

@check
def import_is_light():
    "`import hkd` and `hkd --help` load no heavy library, and not many modules"
    version = sh(PY, '-c', 'import hkd; print(hkd.__version__)').strip()
    if version!=CFG['version']: raise Failed(f'hkd is version {version}, settings.ini says {CFG["version"]}')
    for code in ('import hkd', 'from hkd.cli import main; main(["--help"])'):
        found = imported(code)
        cure = 'import heavy packages inside functions'
        if heavy := HEAVY & found: raise Failed(f'{code} imports {", ".join(sorted(heavy))}: {cure}')
        if len(found)>START_MODULES: raise Failed(f'{code} imports {len(found)} of {START_MODULES} modules: {cure}')
    return f'{len(found)} modules'

# --- the pages ---

@cache
def heading_ids(text):
    "The anchors of a page's headings, as quarto names them"
    heads = re.findall(r'^#{1,6}\s+(.+?)\s*$', text, re.M)
    ids = re.findall(r'\{[^}]*#([\w.-]+)', text)+re.findall(r'\bid="([^"]+)"', text)
    plain = [re.sub(r'\{.*?\}|[`*]|\[([^\]]*)\]\([^)]*\)', r'\1', h).strip().lower() for h in heads]
    slugs = [re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', h)) for h in plain]
    return {*ids, *slugs, *(re.sub(r'^[^a-z]+', '', s) for s in slugs), *(s.replace('.','') for s in slugs)}

def prose(text): return re.sub(r'^(```|~~~).*?^\1|`[^`\n]*`', '', text, flags=re.M|re.S)
def links(text): return re.findall(r'''(?:\]\(<?|\bsrc="|\bhref=")([^)\s">]+)''', prose(text))
@cache
def page_text(p):
    "What a page says: its markdown cells and its markdown and html outputs"
    if p.suffix!='.ipynb': return p.read_text(encoding='utf-8')
    def texts(c):
        if c['cell_type'] in ('markdown','raw'): yield ''.join(c['source'])
        for o in c.get('outputs', []):
            for k in ('text/markdown','text/html'): yield ''.join(o.get('data', {}).get(k, ''))
    return '\n\n'.join(t for c in cells(p) for t in texts(c))

SITE = f"{CFG['doc_host']}{CFG['doc_baseurl']}/"

def broken(page, root, html=()):
    "Links of `page` into the site that lead nowhere; `html` maps a page's published name to its notebook"
    for url in links(page_text(page)):
        if html: url = url.removeprefix(SITE)
        if re.match(r'[a-z][a-z+.-]*:|//|\{\{', url): continue
        name, _, anchor = unquote(url).partition('#')
        target = (page.parent/name).resolve() if name else page
        if name.endswith('.html') and root in target.parents: target = dict(html).get(target.relative_to(root).as_posix(), target)
        if not target.exists() or root not in [target, *target.parents]: yield f'{page.name}: {url}'
        elif anchor and target.suffix in {'.ipynb','.md','.qmd'} and anchor.lower() not in heading_ids(page_text(target)): yield f'{page.name}: {url} (no such heading)'

def two_places(nb):
    "Names in a notebook's prose that are ambiguous: two other pages document them"
    for c in cells(nb):
        seen = []
        if c['cell_type']=='markdown': link_text(''.join(c['source']), seen.append)
        for name in seen:
            pages = sorted({p for p,_ in names().get(name, [])})
            if len(pages)>1 and not place(name, page_of(nb)):
                where = ' and '.join(pages)
                yield f"{rel(nb)}: cell {c['id']}: `{name}` is on {where}: write `MODULE.{name}`"

def code_blocks(cell):
    "Signatures and other code blocks in the markdown that a cell puts out"
    texts = [''.join(o.get('data', {}).get('text/markdown', '')) for o in cell.get('outputs', [])]
    return [b for t in texts for b in re.findall(r'^```.*?^```', t, re.M|re.S)]

def page_faults(page, nb):
    "What is wrong with a page that nbdev made of `nb`"
    made, source = cells(page), f"/blob/{CFG['branch']}/{CFG['lib_path']}/{module_of(nb)}.py#L"
    if f'<a href="{colab.link(nb.relative_to(NBS).as_posix())}">' not in page_text(page): yield 'no link to Colab'
    yield from (f'{fault}: {line}' for c in made for line,fault in cell_faults(c))
    yield from (f'a raw link in {b.splitlines()[1]}' for c in made for b in code_blocks(c) if '](' in b)
    unfolded = [s for s in code(page) if '"Exported source"' in s and 'code-fold: true' not in s]
    yield from (f'exported source is not folded: {s.splitlines()[-1]}' for s in unfolded)
    for c in made:
        src = ''.join(c['source'])
        drawn = any(k.startswith('image/') for o in c.get('outputs', []) for k in o.get('data', {}))
        if drawn and not re.search(r'^#\| *(fig-alt|output: false|include: false)', src, re.M):
            yield f"cell {c['id']} draws a picture without fig-alt"
    for url in re.findall(r'^\[source\]\((\S+?)\)', page_text(page), re.M):
        if not re.search(re.escape(source)+r'\d+$', url): yield f'a source link leads to {url}'

def sidebar(item):
    "The pages that _quarto.yml lists, in order"
    if isinstance(item, str): return [item]
    return ([item['href']] if 'href' in item else [])+[p for o in item.get('contents', []) for p in sidebar(o)]

@check
def docs():
    "The site's pages can be made (all but quarto's part), the sidebar lists each, every relative link resolves"
    import yaml
    warn = {**ENV, 'PYTHONWARNINGS':'default'}  # nbdev warns of imports that share a cell with work
    out = sh(PY, '-c', 'from nbdev.quarto import refresh_quarto_yml, proc_nbs; refresh_quarto_yml(); proc_nbs(force=True, n_workers=0)', env=warn)
    if 'containing imports and other code' in out: raise Failed(out)
    proc, nbs = ROOT/'_proc', [nb.relative_to(NBS).as_posix() for nb in pages()]
    bad = [f'_proc has no {o}' for o in nbs if not (proc/o).exists()]
    listed = sidebar(yaml.safe_load((proc/'_quarto.yml').read_text())['website']['sidebar'])
    bad += [f'_quarto.yml lists {o}, which is not there' for o in listed if o not in nbs]+[f'_quarto.yml does not list {o}' for o in nbs if o not in listed]
    html = {re.sub(r'^\d+[a-zA-Z0-9]*_', '', o.lower()).replace('.ipynb','.html'): proc/o for o in nbs}
    for o in nbs:
        if not (proc/o).exists(): continue
        bad += broken(proc/o, proc, html)
        bad += [f'_proc/{o}: {fault}' for fault in page_faults(proc/o, NBS/o)]
    for nb in pages(): bad += two_places(nb)
    for o in ('README.md','CONTRIBUTING.md','CHANGELOG.md'): bad += broken(ROOT/o, ROOT) if (ROOT/o).exists() else [f'{o} is missing']
    if bad: raise Failed('\n'.join(bad))

# --- the package ---

def copy_tree(dest):
    "The files that git would carry, copied to `dest`"
    for p in files():
        q = dest/rel(p)
        q.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(p, q)

@check
def package():
    "sdist and wheel build; the wheel, installed apart, imports every module and runs `hkd` outside the repository"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        env = {k:v for k,v in ENV.items() if k!='PYTHONPATH'}
        copy_tree(tmp/'src')
        sh(PY, '-m', 'build', '--no-isolation', '--outdir', tmp/'dist', tmp/'src', cwd=tmp, env=env)
        wheel, = (tmp/'dist').glob('*.whl')
        if not list((tmp/'dist').glob('*.tar.gz')): raise Failed('no sdist')
        if f'-{CFG["version"]}-' not in wheel.name: raise Failed(f'{wheel.name} is not version {CFG["version"]}')
        sh(PY, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', tmp/'apart', wheel, cwd=tmp, env=env)
        mods = sorted('hkd' if p.stem=='__init__' else f'hkd.{p.stem}' for p in LIB.glob('*.py'))
        script = f'import importlib\nfor m in {mods}:\n    f = importlib.import_module(m).__file__\n    assert f.startswith({str(tmp/"apart")!r}), f'
        env['PYTHONPATH'] = str(tmp/'apart')
        (tmp/'empty').mkdir()
        sh(PY, '-c', script, cwd=tmp/'empty', env=env)
        sh(tmp/'apart'/'bin'/'hkd', '--help', cwd=tmp/'empty', env=env)
        shown = sh(tmp/'apart'/'bin'/'hkd', 'recipes', 'bert', cwd=tmp/'empty', env=env)
        if '[[stage]]' not in shown or not all((tmp/'apart'/'hkd'/f).is_file() for f in ('card.md', 'page/index.html')): raise Failed('the wheel lacks recipes, the card or the page')
        if left := list((tmp/'empty').iterdir()): raise Failed(f'importing wrote {left}')
        return f'{len(mods)} modules'

# --- the notebooks ---

def runs(src):
    "Will nbdev_test run this code cell?"
    flags, words = set(CFG['tst_flags'].split()), directives(src)
    if 'nbdev_export(' in src or re.sub(r'^\s*#.*$', '', src, flags=re.M).strip()=='': return False
    return not any(w.split()[0] in flags or re.fullmatch(r'eval:\s*false', w, re.I) for w in words)

FORKS = multiprocessing.get_context('forkserver')

def test_one(nb, log):
    "What `nbdev_test` does with a notebook; what it prints goes into a file"
    from nbdev.test import test_nb
    with open(log, 'wb') as f: [os.dup2(f.fileno(), fd) for fd in (1, 2)]
    try: passed, _ = test_nb(nb, skip_flags=CFG['tst_flags'].split(), basepath=ROOT)
    finally: log.with_name('cpu').write_text(str(cpu_seconds()))
    sys.exit(not passed)

def cpu_seconds():
    "Processor time of this process and of those that it started and that have ended"
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime+u.ru_stime for u in used)

CPU = {}   # notebook -> seconds of processor time, which depend less on what else the machine does

def run_notebook(nb):
    "Run one notebook's default cells in a process of its own: (seconds, None or what went wrong, a note)"
    start, err = time.perf_counter(), None
    with tempfile.TemporaryDirectory() as tmp:
        log = Path(tmp)/'log'
        p = FORKS.Process(target=test_one, args=(nb, log))
        p.start()
        p.join(HANGS)
        if p.is_alive():
            p.terminate(); p.join(5); p.kill()
            err = f'took more than {HANGS} s\n'
        elif p.exitcode: err = f'exit {p.exitcode}\n'
        if err and log.exists(): err += log.read_text(errors='replace')
        if (cpu := log.with_name('cpu')).exists(): CPU[nb] = float(cpu.read_text())
    if not any(map(runs, code(nb))): err = 'no cell of it runs'
    return time.perf_counter()-start, err, f'cpu {CPU[nb]:.0f} s' if nb in CPU else ''

# --- running them ---

def report(name, seconds, err=None, note=''):
    "One line a check; what went wrong under it"
    print(f'{"FAIL" if err else "ok":4} {seconds:6.1f} s  {name}'+(f'  ({note})' if note else ''), flush=True)
    if err: print('     '+err.strip().replace('\n','\n     '), flush=True)
    return not err

def run_check(name):
    start = time.perf_counter()
    try: note, err = CHECKS[name](), None
    except Failed as e: note, err = '', str(e)
    except Exception as e: note, err = '', f'{type(e).__name__}: {e}'
    return report(name, time.perf_counter()-start, err, note or '')

def run_together(names, nbs):
    "Two at a time, one thread each: the checks that take long, then the notebooks, the largest first"
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(run_check, n) for n in names]
        jobs = [(nb, pool.submit(run_notebook, nb)) for nb in sorted(nbs, key=lambda p: -len(''.join(code(p))))]
        return [job.result() for job in slow]+[report(rel(nb), *job.result()) for nb,job in jobs]

def main(names):
    os.chdir(ROOT)
    os.environ.clear(); os.environ.update(ENV)
    FORKS.set_forkserver_preload(['preload'])
    if names==['--list']: return print(*CHECKS, *map(rel, notebooks()), sep='\n')
    if unknown := [n for n in names if n not in CHECKS and n not in map(rel, notebooks())]: sys.exit(f'no check or notebook is called {unknown[0]}: see tools/check.py --list')
    start = time.perf_counter()
    asked = [n for n in CHECKS if n in names or not names]
    passed = [run_check(n) for n in asked if n not in TAKE_LONG]
    after = snapshot()
    passed += run_together([n for n in asked if n in TAKE_LONG], [nb for nb in notebooks() if rel(nb) in names or not names])
    if not notebooks(): passed.append(report('notebooks', 0, 'there are none'))
    if not names:
        left = changed(after, snapshot())
        passed.append(report('nothing-left-behind', 0, 'the notebooks changed '+', '.join(left) if left else None))
    print(f'{time.perf_counter()-start:.0f} s in all, cpu {sum(CPU.values()):.0f} s in the notebooks')
    print(f'{sum(passed)} passed, {len(passed)-sum(passed)} failed')
    sys.exit(not all(passed))

if __name__=='__main__': main(sys.argv[1:])
